"""Post-training quantisation of a float .tflite by ai-edge-quantizer, with calibration pictures; no TensorFlow."""

import contextlib
import functools
import io
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

from qatflow.config.recipe.calibration import CalibrationMethod
from qatflow.graph.layer_texts import EXACT
from qatflow.quantisation.calibration import Histogram, calibrated_range
from qatflow.tflite.builder import SIGNATURE
from qatflow.tflite.kernel_bounds import too_small
from qatflow.tflite.read import float_only, inputs, operators, probabilities_end
from qatflow.tflite.same_rounding import with_same_rounding
from qatflow.tflite.tensors import Tensors

CalibrationRanges = dict[str, dict[str, np.ndarray]]
Histograms = dict[str, Histogram]
"""Of tensors, by name."""
BITS = 8
STEPS = 255
MARGIN = 1.01
TOOLS_LEAST = 1e-9  # the tool replaces any smaller range by this
ROUNDS = 12
FURTHER = 256.0  # factor on the scale in a round in which a bias still does not fit
LEFT_IN_FLOAT = ("INPUT", "OUTPUT", "SOFTMAX")  # as in our own models, like sigmoids at the end: small values survive


def quantise(
    float_model: bytes,
    pictures: np.ndarray,
    keep_in_float: Sequence[str] = (),
    method: CalibrationMethod = "max",
) -> bytes:
    """Return the int8 .tflite of a float one, with the ranges of some pictures, float32 [n, height, width, channels].

    `quantise_with` describes it; `method` is how the ranges are found.
    """
    ranges = begin_calibration(float_model, keep_in_float)(pictures)
    if method != "max":
        ranges = narrowed(ranges, begin_counting(float_model, ranges)(pictures), method)
    return quantise_with(ranges, float_model, keep_in_float)


def begin_calibration(
    float_model: bytes, keep_in_float: Sequence[str] = ()
) -> Callable[[np.ndarray], CalibrationRanges]:
    """Return a function from pictures, float32 [n, height, width, channels], to the ranges of the tensors over them.

    A range goes from the smallest to the largest value over all pictures; the tool's own moving average would forget
    all but about the last twenty, and clip the rest. So it does not matter how the pictures are divided and ordered.
    """
    (name,) = (tensor.name for tensor in inputs(float_model))
    tool = _tool(float_model, keep_in_float)

    def ranges(pictures: np.ndarray) -> CalibrationRanges:
        with _silence():
            return functools.reduce(
                wider, (tool.calibrate({SIGNATURE: [{name: picture[None]}]}, num_threads=1) for picture in pictures)
            )

    return ranges


def begin_counting(float_model: bytes, ranges: CalibrationRanges) -> Callable[[np.ndarray], Histograms]:
    """Return a function from pictures, float32 [n, height, width, channels], to the histograms of the tensors.

    Args:
        float_model: bytes of the float .tflite.
        ranges: of its tensors over all calibration pictures.
    """
    model = Tensors(float_model)
    largest = {name: max(-float(ends["min"].min()), float(ends["max"].max())) for name, ends in ranges.items()}
    computed = {tensor.name for tensor in inputs(float_model)}
    computed |= {output.name for operator in operators(float_model) for output in operator.outputs}
    counted = {name: end for name, end in largest.items() if name in computed and np.isfinite(end)}

    def histograms(pictures: np.ndarray) -> Histograms:
        found = {name: Histogram.empty(end) for name, end in counted.items()}
        for picture in pictures:
            model.run(picture)
            found = {name: histogram.plus(model.value(name)) for name, histogram in found.items()}
        return found

    return histograms


def joined(first: Histograms, second: Histograms) -> Histograms:
    """Return the histograms of the values of both."""
    return {name: histogram.joined(second[name]) for name, histogram in first.items()}


def narrowed(ranges: CalibrationRanges, histograms: Histograms, method: CalibrationMethod) -> CalibrationRanges:
    """Return the part of each range that gets integers, as `calibration_method` finds it for asymmetric grids."""
    parts = dict(ranges)
    for name, histogram in histograms.items():
        ends = ranges[name]
        low, high = min(float(ends["min"].min()), 0.0), max(float(ends["max"].max()), 0.0)
        part = calibrated_range(method, histogram, (low, high), BITS, "both_ends")
        parts[name] = {
            **ends, "min": np.full_like(ends["min"], part[0]), "max": np.full_like(ends["max"], part[1]),
        }  # fmt: skip
    return parts


def quantise_with(ranges: CalibrationRanges, float_model: bytes, keep_in_float: Sequence[str] = ()) -> bytes:
    """Return the int8 .tflite of a float one: weights per channel, activations asymmetric.

    The recipe is ai-edge-quantizer's `static_wi8_ai8` (Jacob et al. 2018, arXiv:1712.05877), with input, output,
    softmax, sigmoids at the end and layers without an int8 form left in float32. Tensors keep their names. A tensor
    that is zero for all pictures gets a scale that kernels can write, and a warning. Scales at which ARM and x86 would
    round differently are replaced by the nearest at which they do not.

    Args:
        ranges: of the tensors, by `begin_calibration`.
        float_model: bytes of a float .tflite with one input, written by this project.
        keep_in_float: texts that mean layers (`graph.layer_texts`), whose operators stay in float.
    """
    tool = _tool(float_model, keep_in_float)
    with _silence():
        content = bytes(tool.quantize(ranges).quantized_model)
        raised: set[str] = set()
        for _ in range(ROUNDS):
            least = _least_scales(content, raised)
            if not least:
                break
            raised |= set(least)
            ranges = {key: _wide(ends, least[key]) if key in least else ends for key, ends in ranges.items()}
            content = bytes(tool.quantize(ranges).quantized_model)
    for tensor in sorted(raised):
        print(f"warning: {tensor} is (nearly) zero for all pictures: its scale is the smallest that int8 kernels take")
    return with_same_rounding(content)


def _tool(float_model: bytes, keep_in_float: Sequence[str]) -> Any:
    """Return ai-edge-quantizer's tool with the recipe."""
    from ai_edge_quantizer import quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    with _silence():
        tool = quantizer.Quantizer(float_model, recipe.static_wi8_ai8())
        for operation in LEFT_IN_FLOAT:
            tool.update_quantization_recipe(
                regex=".*", operation_name=TFLOperationName[operation], algorithm_key=AlgorithmName.NO_QUANTIZE
            )
        for pattern in (
            *(_scope(text) for text in keep_in_float),
            *(f"^{re.escape(name)};" for name in probabilities_end(float_model)),
            *(f"^{re.escape(name)}(/.*)?;" for name in float_only(float_model)),
        ):
            tool.update_quantization_recipe(
                regex=pattern,
                operation_name=TFLOperationName.ALL_SUPPORTED,
                algorithm_key=AlgorithmName.NO_QUANTIZE,
            )
    return tool


def _scope(text: str) -> str:
    """Return the tool's expression for the operators that a text for layers' names means."""
    # the tool ends each tensor's name with a semicolon
    return f"^{re.escape(text[len(EXACT) :])};" if text.startswith(EXACT) else re.escape(text)


def _least_scales(content: bytes, raised: Collection[str]) -> dict[str, float]:
    """Return the scale that each tensor with too small a scale must have at least, by name.

    The scale of a tensor that a kernel cannot write is raised; a raised one is raised further until the biases of the
    layers that read the tensor fit int32, where the tool would otherwise clip them.
    """
    every = operators(content)
    least = too_small(every)
    now = {o.outputs[0].name: float(o.outputs[0].scale[0]) for o in every if o.outputs[0].name in raised}
    for operator in every:
        source, bias = operator.source, operator.bias
        if source is None or bias is None or bias.data is None or bias.dtype != "INT32":
            continue
        clipped = np.isin(bias.data, (np.iinfo(np.int32).min, np.iinfo(np.int32).max)).any()
        # a tensor that only passes values on has the scale of the raised tensor
        least |= {name: FURTHER * scale for name, scale in now.items() if clipped and scale == source.scale[0]}
    for operator in every:  # an input of a concatenation has the scale of its output, which is then what must be raised
        output = operator.outputs[0]
        shared = [t for t in operator.inputs if t is not None and t.name in least and t.scale.size == 1]
        most = max((least[t.name] for t in shared if output.scale.size and t.scale[0] == output.scale[0]), default=0.0)
        if most > least.get(output.name, 0.0):
            least[output.name] = most
    return least


def _wide(ends: dict[str, np.ndarray], scale: float) -> dict[str, np.ndarray]:
    """Return a range, `min` and `max`, wide enough for a scale above `scale`."""
    low, high = np.minimum(ends["min"], 0.0), np.maximum(ends["max"], 0.0)
    width = STEPS * scale * MARGIN
    if (high - low).max() < TOOLS_LEAST:
        return {**ends, "min": np.zeros_like(ends["min"]), "max": np.full_like(ends["max"], width)}
    factor = width / (high - low)
    return {**ends, "min": (low * factor).astype(low.dtype), "max": (high * factor).astype(high.dtype)}


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the tool's summary, its progress bars and its memory warning out of the log."""
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
        for kind in (UserWarning, RuntimeWarning):
            warnings.simplefilter("ignore", kind)
        yield


def wider(first: CalibrationRanges, second: CalibrationRanges) -> CalibrationRanges:
    """Return ranges that cover both: `min` and `max` by tensor, as ai-edge-quantizer stores them."""
    ends = {"min": np.minimum, "max": np.maximum}
    return {name: {end: ufunc(first[name][end], second[name][end]) for end, ufunc in ends.items()} for name in first}
