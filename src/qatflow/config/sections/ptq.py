"""The section of quantisation after training."""

from typing import Literal

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section


class PtqSection(Section):
    """Quantisation after training, for method ptq."""

    tool: Literal["ai_edge_quantizer", "qatflow"] = Field(
        "ai_edge_quantizer",
        description="ai_edge_quantizer: 8 bits, weights rounded to the nearest integer, asymmetric activations; "
        "qatflow: our own graph, with the types and widths of the compress YAML's QuantizationStrategy and the keys "
        "below.",
    )
    weight_range: Literal["max", "mse"] = Field(
        "max",
        description="Which part of a kernel's range gets integers. max: all of it; mse: what gives the least squared "
        "error, for each scale by itself.",
    )
    rounding: Literal["nearest", "adaround"] = Field(
        "nearest",
        description="nearest: each weight by itself; adaround: trained layer by layer on the calibration pictures, so "
        "that the layer's outputs stay near those in float (Nagel et al. 2020, arXiv:2004.10568). Takes minutes.",
    )
    rounding_steps: int = Field(
        1000, ge=1, le=bounds.STEPS, description="Steps of Adam for each layer, with rounding adaround."
    )
    bias_correction: bool = Field(
        False,
        description="Subtract the mean error of each output channel over the calibration pictures from its bias (Nagel "
        "et al. 2019, arXiv:1906.04721, §4.2).",
    )
    batch_norm: Literal["keep", "reestimate", "match"] = Field(
        "keep",
        description="reestimate: batch-norm's mean and variance are measured again on the calibration pictures, with "
        "quantised weights and activations; match: each channel gets the mean and variance that it has in the float "
        "model for the same pictures. keep: all are those of the float model.",
    )
    equalize_layers: bool = Field(
        False,
        description="Before quantisation, bring the channels between two layers without batch-norm to the same range "
        "in both kernels, through ReLU (Nagel et al. 2019, §4.1). The float model's outputs stay the same.",
    )
