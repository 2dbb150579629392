"""How a model is to be quantised."""

from dataclasses import dataclass

from qatflow.compress.placement import OPERATION_TYPES
from qatflow.config.recipe.recipe import QuantizationStrategySection

SMALLEST = 1e-8
"""Least max|x| (or greatest less least value) that a scale is made of: a tensor of zeros still needs a grid."""


@dataclass(frozen=True)
class QuantSettings:
    """What a QuantizationStrategy asks for; names and values are those of the compress YAML."""

    weight_bits: int
    activation_bits: int
    weight_quantize_type: str
    activation_quantize_type: str
    quantizable_op_type: tuple[str, ...] = tuple(OPERATION_TYPES)
    skip_pattern: tuple[str, ...] = ()

    @staticmethod
    def default() -> "QuantSettings":
        """Return the settings of a strategy that says nothing."""
        return QuantSettings.of(QuantizationStrategySection.model_validate({"class": "QuantizationStrategy"}))

    @staticmethod
    def of(strategy: QuantizationStrategySection) -> "QuantSettings":
        """Return the settings of a strategy of the YAML."""
        return QuantSettings(
            strategy.weight_bits,
            strategy.activation_bits,
            strategy.weight_quantize_type,
            strategy.activation_quantize_type,
            tuple(strategy.quantizable_op_type),
            tuple(strategy.skip_pattern),
        )
