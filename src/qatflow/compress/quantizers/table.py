"""The tables of the quantisers of activations and weights, by the names of the compress YAML."""

from qatflow.compress.quantizers.abs_max import AbsMax
from qatflow.compress.quantizers.activations import ActivationQuantizer
from qatflow.compress.quantizers.calibrated import Calibrated
from qatflow.compress.quantizers.fake_quant import Phase
from qatflow.compress.quantizers.learned_grid import LearnedGrid
from qatflow.compress.quantizers.lsq import LearnedStep, LearnedStepWeight
from qatflow.compress.quantizers.moving_average_abs_max import MovingAverageAbsMax
from qatflow.compress.quantizers.moving_average_min_max import MovingAverageMinMax
from qatflow.compress.quantizers.pact import LearnedClip
from qatflow.compress.quantizers.range_abs_max import RangeAbsMax
from qatflow.compress.quantizers.weights import AbsMaxWeight, ScaledWeight
from qatflow.config.recipe.calibration import CalibrationMethod
from qatflow.config.recipe.recipe import FirstScale
from qatflow.quantisation.grids import Fit

ACTIVATION_QUANTIZERS: dict[str, type[ActivationQuantizer]] = {
    "moving_average_abs_max": MovingAverageAbsMax,
    "range_abs_max": RangeAbsMax,
    "abs_max": AbsMax,
    "moving_average_min_max": MovingAverageMinMax,
    "lsq": LearnedStep,
    "pact": LearnedClip,
}
WEIGHT_QUANTIZERS: dict[str, type[ScaledWeight]] = {
    "abs_max": AbsMaxWeight,
    "channel_wise_abs_max": AbsMaxWeight,
    "lsq": LearnedStepWeight,
    "channel_wise_lsq": LearnedStepWeight,
}


def weight_quantizer(kind: str, bits: int, channels: int | None, phase: Phase, first: FirstScale) -> ScaledWeight:
    """Return a quantiser of weights.

    Args:
        kind: weight_quantize_type.
        bits: width of the integers.
        channels: number of output channels where each has a scale; None: one scale.
        phase: what the model's quantisers are doing.
        first: where scales start that are trained.
    """
    make = WEIGHT_QUANTIZERS[kind]
    return make(bits, channels, phase, first) if issubclass(make, LearnedStepWeight) else make(bits, channels, phase)


def activation_quantizer(
    kind: str, bits: int, phase: Phase, fit: Fit, method: CalibrationMethod
) -> ActivationQuantizer:
    """Return a quantiser of activations.

    Args:
        kind: activation_quantize_type.
        bits: width of the integers.
        phase: what the model's quantisers are doing.
        fit: how the integers fit the range.
        method: how the range is found from the calibration pictures.
    """
    make = ACTIVATION_QUANTIZERS[kind]
    if issubclass(make, LearnedGrid):
        return make(bits, phase, fit, method)
    quantizer = make(bits, phase, fit)
    return quantizer if method == "max" or quantizer.dynamic else Calibrated(quantizer, method)
