"""A float .tflite quantised after training by ai-edge-quantizer, with calibration pictures. No TensorFlow here."""

import contextlib
import io

import numpy as np

from qatflow.tflite.builder import SIGNATURE
from qatflow.tflite.read import inputs

LEFT_IN_FLOAT = ("INPUT", "OUTPUT", "SOFTMAX")  # as in our own models: small probabilities survive


def quantise(float_model: bytes, pictures: np.ndarray) -> bytes:
    """Return the int8 .tflite of a float one: weights per channel, activations asymmetric.

    The recipe is ai-edge-quantizer's `static_wi8_ai8` (Jacob et al. 2018, arXiv:1712.05877): an activation's range is
    a moving average (0.95) of each picture's least and greatest value. Input, output and softmax are left in float32.
    Tensors keep their names.

    Args:
        float_model: bytes of a float .tflite with one input, of this project's writer.
        pictures: float32 [n, height, width, channels], whose activations set the ranges.
    """
    from ai_edge_quantizer import quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    (name,) = (tensor.name for tensor in inputs(float_model))
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a summary of its own
        tool = quantizer.Quantizer(float_model, recipe.static_wi8_ai8())
        for operation in LEFT_IN_FLOAT:
            tool.update_quantization_recipe(
                regex=".*", operation_name=TFLOperationName[operation], algorithm_key=AlgorithmName.NO_QUANTIZE
            )
        ranges = tool.calibrate({SIGNATURE: [{name: picture[None]} for picture in pictures]}, num_threads=1)
        result = tool.quantize(ranges)
    return bytes(result.quantized_model)
