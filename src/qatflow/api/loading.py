"""`qatflow.load`: a model file, or a folder that the workflow wrote, as a graph."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph import store
from qatflow.graph.graph import Graph
from qatflow.models.from_keras import translated as translated_keras
from qatflow.models.onnx.file import is_onnx
from qatflow.models.onnx.quantised_graph import quantised_onnx
from qatflow.models.onnx.translate import float_onnx
from qatflow.models.onnx.translate import translated as translated_onnx
from qatflow.models.own_file import model_of
from qatflow.models.saved.weights_file import description
from qatflow.pretrained.compared import check_same
from qatflow.pretrained.compared_onnx import check_same_onnx
from qatflow.pretrained.keras_weights import load_weights
from qatflow.training.runtime import DEEPEST

FORMS = "a .keras, .h5 or .onnx file, a SavedModel of tf-keras, or a folder with `model` and `weights`"
NO_PICTURES = np.empty((0, 0, 0, 0), np.float32)


def load(path: str | Path) -> Graph:
    """Return the graph of an image classifier.

    A float model is run on random pictures, and its graph must compute the same in every layer, within 1e-4 of the
    layer's largest value. No code in the file is run. Keras' models need TensorFlow, which takes some seconds.

    Args:
        path: a model saved whole by Keras 2 or 3 (.keras, .h5), a SavedModel of tf-keras, an ONNX file, float or with
            QuantizeLinear and DequantizeLinear; or a folder with `model` and `weights`, such as
            `results/<experiment>/output/float` and `pretrain/<name>_pretrained`.

    Returns:
        The graph, for pictures of [height, width, channels], with float32 weights, or with integers and their scales.

    Raises:
        UserError: there is no such file, it is damaged or of another form, it has layers that are not supported (lists
            all of them), or its graph computes other values.
    """
    path = Path(path)
    if path.is_dir() and (path / "model").is_file():
        return store.load(path)
    if not path.exists():
        raise UserError(f"{path} does not exist: give {FORMS}")
    if path.suffix == ".tflite":
        raise UserError(
            f"{path} is a .tflite file, which cannot become a graph again: give the model that it was made from, as"
            f" {FORMS}"
        )
    return _onnx(path) if is_onnx(path) else _keras(path)


def _onnx(path: Path) -> Graph:
    if translated_onnx(path).is_quantised:
        return quantised_onnx(path).graph
    _prepare_tensorflow()
    origin = float_onnx(path)
    check_same_onnx(origin, str(path), NO_PICTURES)
    return origin.graph


def _keras(path: Path) -> Graph:
    described = description(path)
    _prepare_tensorflow()
    keras: Any = model_of(described, str(path))
    load_weights(keras, path, f"the model of {path}")
    origin = translated_keras(keras)
    check_same(keras, origin, NO_PICTURES)
    return origin.graph


def _prepare_tensorflow() -> None:
    """Set what must be set before TensorFlow is imported, if it is not yet, and change nothing else of it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    sys.setrecursionlimit(max(sys.getrecursionlimit(), DEEPEST))
