"""The quantisers of weights and activations, by the names of the compress YAML."""

from qatflow.compress.quantizers.activations import ActivationQuantizer
from qatflow.compress.quantizers.moving_average_abs_max import MovingAverageAbsMax
from qatflow.compress.quantizers.range_abs_max import RangeAbsMax

ACTIVATION_QUANTIZERS: dict[str, type[ActivationQuantizer]] = {
    "moving_average_abs_max": MovingAverageAbsMax,
    "range_abs_max": RangeAbsMax,
}

__all__ = ["ACTIVATION_QUANTIZERS", "ActivationQuantizer"]
