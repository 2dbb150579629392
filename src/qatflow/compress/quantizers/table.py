"""The table of activation quantisers, by the names of the compress YAML."""

from qatflow.compress.quantizers.abs_max import AbsMax
from qatflow.compress.quantizers.activations import ActivationQuantizer
from qatflow.compress.quantizers.moving_average_abs_max import MovingAverageAbsMax
from qatflow.compress.quantizers.moving_average_min_max import MovingAverageMinMax
from qatflow.compress.quantizers.range_abs_max import RangeAbsMax

ACTIVATION_QUANTIZERS: dict[str, type[ActivationQuantizer]] = {
    "moving_average_abs_max": MovingAverageAbsMax,
    "range_abs_max": RangeAbsMax,
    "abs_max": AbsMax,
    "moving_average_min_max": MovingAverageMinMax,
}
