"""`qatflow.quantise`: a float graph quantised after training."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from qatflow.base.errors import UserError
from qatflow.config.recipe.calibration import CalibrationMethod
from qatflow.config.recipe.recipe import QuantizationStrategySection, undeployable
from qatflow.config.sections.model import kept_by_name
from qatflow.config.sections.ptq import PtqSection
from qatflow.graph.float_layers import check_float_layers
from qatflow.graph.graph import Graph
from qatflow.graph.operations import Input
from qatflow.ptq.graph import quantise_graph
from qatflow.quantisation.placement import QuantSettings
from qatflow.trial.pictures import PicturesInMemory

Bits = int | Mapping[str, int]


def quantise(
    graph: Graph,
    pictures: np.ndarray,
    *,
    weight_bits: Bits = 8,
    activation_bits: Bits = 8,
    keep_in_float: Literal["auto"] | Sequence[str] = (),
    weight_quantize_type: str = "channel_wise_abs_max",
    activation_quantize_type: str = "moving_average_min_max",
    calibration_method: CalibrationMethod = "max",
    rounding: Literal["nearest", "adaround"] = "nearest",
    rounding_steps: int = 1000,
    bias_correction: bool = False,
    batch_norm: Literal["keep", "reestimate", "match"] = "keep",
    weight_range: Literal["max", "mse"] = "max",
    equalize_layers: bool = False,
    seed: int = 1,
) -> Graph:
    """Return a float graph quantised after training, without labels: what `ptq.tool: qatflow` does in the workflow.

    Names and values of the options are those of the sections `ptq` and QuantizationStrategy (config/README.md).

    Args:
        graph: float.
        pictures: calibration pictures as the network reads them, float32 [n, height, width, channels]. They set the
            ranges of the activations; 100 to 200 of them are usual.
        weight_bits: 2 to 8, for all layers, or by the beginning of the kernels' names: {"default": 8, "conv1": 4}.
        activation_bits: 8 or 16, likewise by the beginning of the layers' names.
        keep_in_float: layers whose name contains one of these texts stay in float; `auto`: those without an int8 form.
        weight_quantize_type: channel_wise_abs_max (one scale per channel), or abs_max (one per tensor).
        activation_quantize_type: moving_average_min_max (asymmetric), or moving_average_abs_max.
        calibration_method: how a range is found: max, percentile, mse or entropy.
        rounding: nearest, or adaround, which is trained layer by layer and takes minutes.
        rounding_steps: of adaround, for each layer.
        bias_correction: whether each channel's mean error is taken from its bias.
        batch_norm: keep, reestimate or match: what becomes of its statistics.
        weight_range: max, or mse: what gives the least squared error.
        equalize_layers: whether channels are brought to the same range before.
        seed: of adaround.

    Returns:
        The graph with integers (int8) and scales, for `convert`.

    Raises:
        UserError: the pictures are none of the network's, the graph is quantised already, an option has a value that is
            not allowed, or layers have no int8 form and are not kept in float (lists all of them).
    """
    if graph.weight_scales:
        raise UserError("the graph is quantised already: quantise takes a float one")
    inputs = checked_pictures(
        pictures, [node.operation.shape for node in graph.nodes if isinstance(node.operation, Input)]
    )
    strategy = _section(
        QuantizationStrategySection,
        {
            "class": "QuantizationStrategy",
            "weight_bits": weight_bits,
            "activation_bits": activation_bits,
            "weight_quantize_type": weight_quantize_type,
            "activation_quantize_type": activation_quantize_type,
            "calibration_method": calibration_method,
            "skip_pattern": ["skip_quant", *kept_by_name(keep_in_float)],
        },
    )
    if impossible := undeployable(strategy):
        raise UserError("; ".join(f"{key}: {reason}" for key, reason in impossible.items()))
    section = _section(
        PtqSection,
        {
            "tool": "qatflow",
            "rounding": rounding,
            "rounding_steps": rounding_steps,
            "bias_correction": bias_correction,
            "batch_norm": batch_norm,
            "weight_range": weight_range,
            "equalize_layers": equalize_layers,
        },
    )
    check_float_layers(graph, keep_in_float)
    settings = QuantSettings.of(strategy)
    return quantise_graph(graph, settings, section, PicturesInMemory(inputs), seed, log=lambda line: None)


def checked_pictures(pictures: np.ndarray, shapes: Sequence[Sequence[int]]) -> np.ndarray:
    """Return pictures as float32 [n, height, width, channels].

    Args:
        pictures: of the user.
        shapes: of the inputs of the networks that will read them.

    Raises:
        UserError: there are none, they have another shape, or values are not finite.
    """
    values = np.asarray(pictures)
    for shape in shapes:
        if values.ndim != 4 or tuple(values.shape[1:]) != tuple(shape) or not len(values):
            wanted = ", ".join(map(str, shape))
            raise UserError(f"the pictures have the shape {list(values.shape)}, and the network reads [n, {wanted}]")
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise UserError("the pictures have values that are no finite numbers")
    return values.astype(np.float32)


def _section(section: Any, values: Mapping[str, Any]) -> Any:
    try:
        return section.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{'.'.join(map(str, first['loc']))}: {first['msg']} (got {first['input']!r})") from None
