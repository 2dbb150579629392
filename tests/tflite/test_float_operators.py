"""Norms and attention, which run in float between int8 layers: NumPy, LiteRT, quantisation after training."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.numpy_network import compute, execute
from helpers.transformer import int8, transformer
from qatflow.base.errors import UserError
from qatflow.graph.channels import channels
from qatflow.graph.counts import counts
from qatflow.graph.float_layers import check_float_layers, float_layers
from qatflow.graph.graph import Node
from qatflow.graph.operations import (
    Attention,
    GroupNorm,
)
from qatflow.graph.shapes import shapes
from qatflow.graph.store import load, save
from qatflow.ptq.quantise import quantise
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model
from qatflow.tflite.tensors import Tensors
from qatflow.tflite.verify import verify

PICTURES = np.random.default_rng(3).normal(size=(12, 8, 8, 1)).astype(np.float32)
IN_FLOAT = {
    "group": "GroupNorm", "norm": "LayerNorm", "attention": "Attention", "gelu": "Gelu", "unit": "UnitNorm",
}  # fmt: skip


def test_the_float_model_equals_numpy_in_every_tensor():
    graph = transformer()
    expected = execute(graph, PICTURES[:3])
    model = Tensors(convert(graph).content)
    for place, picture in enumerate(PICTURES[:3]):
        model.run(picture)
        for name in (node.name for node in graph.nodes):
            np.testing.assert_allclose(model.value(name)[0], expected[name][place], rtol=0, atol=2e-5, err_msg=name)
    np.testing.assert_allclose(
        Model(convert(graph).content).outputs(PICTURES), execute(graph, PICTURES)["p"], rtol=0, atol=1e-5
    )


def test_what_has_no_int8_form_stays_in_float_between_int8_layers():
    graph = transformer()
    assert float_layers(graph) == IN_FLOAT
    with pytest.raises(UserError, match=r"group \(GroupNorm\), norm \(LayerNorm\), .*Set model\.keep_in_float to auto"):
        check_float_layers(graph, ["gelu"])
    said = "group (GroupNorm), norm (LayerNorm), attention (Attention), gelu (Gelu), unit (UnitNorm)"
    assert check_float_layers(graph, "auto").endswith(f"in float, also on the device: {said}")
    quantised = int8(graph, PICTURES)
    converted = convert(quantised)
    found = verify(converted.graph, converted.content)
    for operator in found:
        name = operator.outputs[0].name
        inside = name.split("/")[0] in IN_FLOAT and not name.endswith("/int8")
        expected = "FLOAT32" if inside or operator.name in ("DEQUANTIZE", "SOFTMAX") else "INT8"
        assert operator.outputs[0].dtype == expected, name
    assert sum(operator.name == "FULLY_CONNECTED" for operator in found) == 6


def test_each_int8_layer_is_at_most_a_step_from_what_it_computes_of_its_own_inputs():
    quantised = int8(transformer(), PICTURES)
    content = convert(quantised).content
    grids = {o.outputs[0].name: o.outputs[0] for o in operators(content) if o.outputs[0].scale.size}
    model = Tensors(content)
    for picture in PICTURES[:4]:
        model.run(picture)
        tensors = {}
        for node in quantised.nodes:
            name = f"{node.name}/int8" if f"{node.name}/int8" in grids else node.name
            values = model.value(name).astype(float)
            step = float(grids[name].scale[0]) if name in grids else 0.0
            seen = (values - grids[name].zero_point[0]) * step if step else values
            if node.inputs:
                expected = compute(quantised, node, tensors)
                low, high = (np.asarray([-128, 127]) - grids[name].zero_point[0]) * step if step else (-np.inf, np.inf)
                assert np.abs(seen - np.clip(expected, low, high)).max() <= 1.01 * step + 2e-5, node.name
            tensors[node.name] = seen


def test_quantisation_after_training_keeps_the_same_layers_in_float():
    graph = transformer()
    found = operators(quantise(convert(graph).content, PICTURES))
    weighted = [operator for operator in found if operator.name in ("FULLY_CONNECTED", "CONV_2D")]
    assert len(weighted) == 7 and {operator.inputs[1].dtype for operator in weighted} == {"INT8"}
    inner = [operator for operator in found if operator.outputs[0].name.split("/")[0] in IN_FLOAT]
    kinds = {operator.name for operator in inner if operator.outputs[0].dtype == "FLOAT32"}
    assert {"RSQRT", "BATCH_MATMUL", "SOFTMAX", "L2_NORMALIZATION", "GELU"} <= kinds
    computed = [operator for operator in inner if operator.name not in ("QUANTIZE", "DEQUANTIZE")]
    assert {operator.outputs[0].dtype for operator in computed} == {"FLOAT32"}
    outputs = Model(quantise(convert(graph).content, PICTURES)).outputs(PICTURES)
    np.testing.assert_allclose(outputs, execute(graph, PICTURES)["p"], rtol=0, atol=0.05)


def test_channels_that_are_normed_or_attended_stay(tmp_path):
    graph = transformer()
    about = channels(graph)
    assert not about.groups or {group.name for group in about.groups} == set()
    assert "over all of them" in about.fixed["query/kernel"] and "over all of them" in about.fixed["value/kernel"]
    # 16 places attend to 16 others: 12 channels of queries, then 9 of values
    assert counts(graph)["attention"].multiply_adds == 16 * 16 * (12 + 9)
    assert counts(graph)["norm"].parameters == 12
    save(graph, tmp_path / "graph")
    assert load(tmp_path / "graph").nodes == graph.nodes


@pytest.mark.parametrize(
    ("operation", "inputs", "message"),
    [
        (GroupNorm(4, 1e-3), ("patches",), "its 4 groups do not divide the 6 channels"),
        (Attention(5, 1.0), ("query", "key", "value"), "its 5 heads do not divide the channels"),
        (Attention(3, 1.0), ("query", "value", "key"), r"its inputs have the shapes .*\[others, m\]"),
    ],
)
def test_heads_and_groups_that_do_not_fit_are_refused(operation, inputs, message):
    graph = transformer()
    nodes = [*graph.nodes[:8], Node("wrong", operation, inputs)]
    weights = {**graph.weights, "wrong/gamma": np.ones(6, np.float32), "wrong/beta": np.ones(6, np.float32)}
    with pytest.raises(UserError, match=message):
        shapes(replace(graph, nodes=tuple(nodes), outputs=("wrong",), weights=weights))
