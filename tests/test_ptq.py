"""The baseline: a float model quantised after training."""

from pathlib import Path

import numpy as np
import pytest

from small_data import prepared_digits
from small_networks import network

pytestmark = pytest.mark.tensorflow


def test_the_converter_makes_an_int8_model_that_answers_like_the_float_one(tmp_path: Path):
    from qatflow.data.reader import tensors
    from qatflow.graph.store import save
    from qatflow.ptq.baseline import quantise_after_training
    from qatflow.tflite.from_graph import convert
    from qatflow.tflite.read import WEIGHTED, operators
    from qatflow.tflite.run import Model

    data = prepared_digits(tmp_path / "data")
    graph = network("small ResNet")
    save(graph, tmp_path / "float")
    size = quantise_after_training(tmp_path / "float", data.folder / "manifest.json", tmp_path / "ptq.tflite", 2)
    content = (tmp_path / "ptq.tflite").read_bytes()
    assert size == len(content)
    weighted = [operator for operator in operators(content) if operator.name in WEIGHTED]
    assert len(weighted) == 7
    for operator in weighted:
        assert operator.inputs[0].dtype == operator.inputs[1].dtype == operator.outputs[0].dtype == "INT8"
    pictures, _ = tensors(data, "test", 100)
    found = Model(tmp_path / "ptq.tflite").outputs(pictures)
    expected = Model(convert(graph).lowered.content).outputs(pictures)
    assert found.dtype == np.float32
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.9
