"""A float .tflite quantised after training by ai-edge-quantizer, with calibration pictures. No TensorFlow here."""

import contextlib
import functools
import io
import re
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from qatflow.tflite.builder import SIGNATURE
from qatflow.tflite.read import inputs, probabilities_end

Ranges = dict[str, dict[str, np.ndarray]]
LEFT_IN_FLOAT = ("INPUT", "OUTPUT", "SOFTMAX")  # as in our own models, and sigmoids at the end: small values survive


def quantise(float_model: bytes, pictures: np.ndarray, keep_in_float: Sequence[str] = ()) -> bytes:
    """Return the int8 .tflite of a float one: weights per channel, activations asymmetric.

    The recipe is ai-edge-quantizer's `static_wi8_ai8` (Jacob et al. 2018, arXiv:1712.05877), with input, output,
    softmax and sigmoids at the end left in float32. An activation's range is from the least to the greatest value of
    all pictures; the tool's own moving average over them forgets all but the last twenty or so, and clips the rest.
    Tensors keep their names.

    Args:
        float_model: bytes of a float .tflite with one input, of this project's writer.
        pictures: float32 [n, height, width, channels], whose activations set the ranges.
        keep_in_float: operators that make a tensor whose name contains one of these texts stay in float.
    """
    from ai_edge_quantizer import quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    (name,) = (tensor.name for tensor in inputs(float_model))
    with _silence():
        tool = quantizer.Quantizer(float_model, recipe.static_wi8_ai8())
        for operation in LEFT_IN_FLOAT:
            tool.update_quantization_recipe(
                regex=".*", operation_name=TFLOperationName[operation], algorithm_key=AlgorithmName.NO_QUANTIZE
            )
        for pattern in (
            *(f".*{re.escape(text)}.*" for text in keep_in_float),
            *(f"^{re.escape(name)};" for name in probabilities_end(float_model)),
        ):
            tool.update_quantization_recipe(
                regex=pattern,
                operation_name=TFLOperationName.ALL_SUPPORTED,
                algorithm_key=AlgorithmName.NO_QUANTIZE,
            )
        ranges = functools.reduce(
            _wider, (tool.calibrate({SIGNATURE: [{name: picture[None]}]}, num_threads=1) for picture in pictures)
        )
        result = tool.quantize(ranges)
    return bytes(result.quantized_model)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the tool's summary, its progress bar for each picture and its warning of memory out of the log."""
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _wider(one: Ranges, other: Ranges) -> Ranges:
    """Return the ranges of both: `min` and `max` by tensor, as ai-edge-quantizer keeps them."""
    ends = {"min": np.minimum, "max": np.maximum}
    return {name: {end: of(one[name][end], other[name][end]) for end, of in ends.items()} for name in one}
