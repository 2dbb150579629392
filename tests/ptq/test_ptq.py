"""Quantisation after training: an int8 model that answers like the float one, in the folder that goes to the device."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.graphs import pictures, small_graph
from helpers.numpy_network import execute
from helpers.small_data import prepared_digits
from helpers.small_networks import network
from qatflow.config.recipe.calibration import CalibrationMethod
from qatflow.data.reader import calibration, tensors
from qatflow.graph.graph import Node
from qatflow.graph.operations import Rescale
from qatflow.ptq.quantise import quantise
from qatflow.ptq.run import quantise_after_training
from qatflow.quantisation.calibration import Histogram, calibrated_range
from qatflow.tflite.lower import convert
from qatflow.tflite.read import WEIGHTED, operators
from qatflow.tflite.run import Model


def test_every_layer_is_int8_and_the_softmax_stays_in_float():
    content = quantise(convert(small_graph()).content, pictures(16))
    found = operators(content)
    assert [(o.name, o.outputs[0].dtype) for o in found] == [
        ("QUANTIZE", "INT8"), ("CONV_2D", "INT8"), ("DEPTHWISE_CONV_2D", "INT8"), ("CONV_2D", "INT8"),
        ("ADD", "INT8"), ("MEAN", "INT8"), ("FULLY_CONNECTED", "INT8"), ("DEQUANTIZE", "FLOAT32"),
        ("SOFTMAX", "FLOAT32"),
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "in_float"), [("l", {"left", "logits"}), ("=left", {"left"}), ("=l", set())])
def test_a_text_keeps_the_layers_that_it_means_in_float(text: str, in_float: set[str]):
    found = operators(quantise(convert(small_graph()).content, pictures(16), [text]))
    assert {o.outputs[0].name for o in found if o.name in WEIGHTED and o.outputs[0].dtype == "FLOAT32"} == in_float


def test_pictures_are_rescaled_in_float_before_they_are_quantised():
    graph, channels = small_graph(), pictures(1).shape[-1]
    first, *behind = graph.nodes
    own = {node: tuple("rescaled" if name == first.name else name for name in node.inputs) for node in behind}
    nodes = (first, Node("rescaled", Rescale(), (first.name,)), *(replace(node, inputs=own[node]) for node in behind))
    constants = {
        "rescaled/factor": np.full(channels, 0.5, np.float32),
        "rescaled/offset": np.ones(channels, np.float32),
    }
    rescaled = replace(graph, nodes=nodes, weights={**graph.weights, **constants})
    found = operators(quantise(convert(rescaled).content, pictures(8)))
    assert [(o.name, o.outputs[0].dtype) for o in found[:4]] == [
        ("MUL", "FLOAT32"), ("ADD", "FLOAT32"), ("QUANTIZE", "INT8"), ("CONV_2D", "INT8"),
    ]  # fmt: skip


def test_the_weights_are_rounded_per_channel_and_the_ranges_are_those_of_the_calibration():
    float_model = convert(small_graph()).content
    images = pictures(16)
    real = {o.inputs[1].name: o.inputs[1].data for o in operators(float_model) if o.name in WEIGHTED}
    found = operators(quantise(float_model, images))
    for operator in found:
        if operator.name in WEIGHTED:
            kernel = operator.inputs[1]
            values = np.moveaxis(real[kernel.name], kernel.axis, -1).reshape(-1, kernel.scale.size)
            np.testing.assert_allclose(kernel.scale, np.abs(values).max(axis=0) / 127, rtol=1e-6)
            steps = np.moveaxis(kernel.data, kernel.axis, -1).reshape(values.shape)
            assert np.abs(steps * kernel.scale - values).max() <= kernel.scale.max() * 0.501
    first = found[0].outputs[0]
    np.testing.assert_allclose(first.scale, (images.max() - images.min()) / 255, rtol=1e-5)
    tensors = execute(small_graph(), images)
    for name, node in (("left", "left_bn"), ("sum", "sum_relu"), ("logits", "logits")):
        (tensor,) = (o.outputs[0] for o in found if o.outputs[0].name == name)
        least, greatest = min(tensors[node].min(), 0), max(tensors[node].max(), 0)
        np.testing.assert_allclose(tensor.scale, (greatest - least) / 255, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("method", ["percentile", "mse", "entropy"])
def test_a_calibration_method_narrows_the_range_of_each_tensor(method: CalibrationMethod):
    float_model, images = convert(small_graph()).content, pictures(120)
    images[0, 0, 0, 0] = 8.0  # an outlier
    values = execute(small_graph(), images)
    found = operators(quantise(float_model, images, method=method))
    by_name = {"input": found[0].outputs[0]} | {o.outputs[0].name: o.outputs[0] for o in found}
    for name, node in (("input", "input"), ("left", "left_bn"), ("sum", "sum_relu"), ("logits", "logits")):
        tensor = by_name[name]
        real = values[node].astype(np.float32)
        ends = (min(float(real.min()), 0.0), max(float(real.max()), 0.0))
        counted = Histogram.empty(max(-ends[0], ends[1])).plus(real)
        low, high = calibrated_range(method, counted, ends, 8, "both_ends")
        # a value near an edge may count in the next bin, and change the threshold by one candidate
        np.testing.assert_allclose(tensor.scale, (high - low) / 255, rtol=0.02, err_msg=name)
        if node == "input":
            assert float(tensor.scale[0]) < 0.995 * (ends[1] - ends[0]) / 255


def test_the_same_pictures_give_the_same_bytes():
    float_model = convert(small_graph()).content
    assert quantise(float_model, pictures(8)) == quantise(float_model, pictures(8))


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["MobileNetV1", "MobileNetV2", "small ResNet"])
def test_the_folder_holds_a_model_that_answers_like_the_float_one(name: str, tmp_path: Path):
    data = prepared_digits(tmp_path / "data")
    content = convert(network(name)).content
    (tmp_path / "float.tflite").write_bytes(content)
    size = quantise_after_training(tmp_path / "float.tflite", data.folder / "manifest.json", tmp_path / "ptq")
    assert sorted(path.name for path in (tmp_path / "ptq").iterdir()) == [
        "labels.txt", "model.tflite", "optimization.json", "preprocessing.json",
    ]  # fmt: skip
    assert (tmp_path / "ptq" / "labels.txt").read_text().split() == list(data.labels)
    quantised = (tmp_path / "ptq" / "model.tflite").read_bytes()
    assert size == len(quantised) < 0.5 * len(content)
    about = json.loads((tmp_path / "ptq" / "optimization.json").read_text())
    assert about["operators_before"]["CONV_2D"] == about["operators_after"]["CONV_2D"] > 0
    assert about["calibration_pictures"] == len(calibration(data))
    for operator in operators(quantised):
        if operator.name in WEIGHTED:
            assert {operator.inputs[0].dtype, operator.inputs[1].dtype, operator.outputs[0].dtype} == {"INT8"}
    images, _ = tensors(data, "test", 100)
    found, expected = Model(quantised).outputs(images), Model(content).outputs(images)
    assert found.dtype == np.float32
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.9
