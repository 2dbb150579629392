"""Compares a graph with the ONNX model it was made from: the same pictures must give the same values in every tensor.

The other side is the reference implementation in the onnx package, in NumPy. TensorFlow must have been started.
"""

import numpy as np

from qatflow.models.onnx.reference import Reference
from qatflow.models.onnx.translate import TranslatedOnnx
from qatflow.pretrained.compared import LIMIT_OF_FILE, GraphLayers, compare, random_pictures
from qatflow.trial.start import float_model_outputs

PICTURES = 1
"""Of the data; the reference takes seconds for a picture of 224 × 224."""


def check_same_onnx(origin: TranslatedOnnx, path: str, pictures: np.ndarray, seed: int = 0) -> None:
    """Raise if the graph computes other values than the ONNX model in inference.

    Args:
        origin: the model and its graph.
        path: of the model, for messages.
        pictures: prepared pictures of the data, float32 [n, height, width, channels]; one is used, and random ones.
        seed: of the random ones.

    Raises:
        UserError: it does; names the first tensor that differs, and by how much. Or values are not finite.
    """
    original = Reference(origin)
    own = GraphLayers(origin.graph, list(original.nodes.values()))
    inputs = [*pictures[:PICTURES], *random_pictures(origin.graph, pictures, seed)]
    results = []
    for picture in inputs:
        expected, actual = original.values(picture), own.values(picture)
        for tensor, node in original.nodes.items():
            compare(f"{path}: {tensor}", actual[node], expected[tensor], "by ONNX' definition")
        results.append(expected[origin.model.output])
    for written, result in zip(float_model_outputs(origin.graph, np.stack(inputs)), results, strict=True):
        compare(f"{path}, as a .tflite,", written, result, "by ONNX' definition", LIMIT_OF_FILE)
