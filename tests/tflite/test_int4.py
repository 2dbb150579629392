"""Kernels stored as INT4: the integers by hand, and LiteRT's outputs with and without XNNPACK."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from helpers.graphs import pictures, small_graph
from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed
from qatflow.device.run.tolerance import float_tolerance_of, tolerance_of
from qatflow.graph.bias_steps import with_least_integers
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Conv2D, Conv2DTranspose, Dense, DepthwiseConv2D, Input, Operation
from qatflow.graph.store import save
from qatflow.optimize.optimize import optimize
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.report.network import network
from qatflow.sensitivity.forms import layer_forms
from qatflow.tflite.builder import packed
from qatflow.tflite.int4 import check_same_outputs, with_int4_kernels
from qatflow.tflite.lower import convert
from qatflow.tflite.packing import pack, unpack
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model
from qatflow.tflite.verify import verify
from qatflow.trial.float_ranges import float_ranges

LAYERS: dict[str, tuple[Operation, str, tuple[int, ...], tuple[int, ...]]] = {
    "CONV_2D": (Conv2D((2, 2), "valid"), "kernel", (3, 3, 3, 5), (9, 9, 3)),
    "CONV_2D, grouped": (Conv2D((1, 1), "same", groups=2), "kernel", (3, 3, 4, 16), (9, 9, 8)),
    "DEPTHWISE_CONV_2D": (DepthwiseConv2D((1, 1), "same"), "depthwise_kernel", (3, 3, 5, 1), (9, 9, 5)),
    "FULLY_CONNECTED": (Dense(), "kernel", (34, 17), (34,)),
    "TRANSPOSE_CONV": (Conv2DTranspose((2, 2), "same"), "kernel", (3, 3, 8, 4), (5, 5, 8)),
}
"""Each operator with a kernel: the operation, the kernel's name and shape, and the picture's."""
VERSIONS = {"CONV_2D": 7, "DEPTHWISE_CONV_2D": 7, "FULLY_CONNECTED": 10}


def quantised(graph: Graph, inputs: np.ndarray, bits: Any = 4, activations: int = 8) -> Graph:
    settings = QuantSettings(bits, activations, "channel_wise_abs_max", "moving_average_abs_max")
    return as_if_quantised(
        graph, settings, float_ranges(graph, quantised_tensors(graph, quantised_kernels(graph)), inputs)
    )


def outputs(content: bytes, inputs: np.ndarray, xnnpack: bool) -> np.ndarray:
    """The outputs of LiteRT, with XNNPACK as on a device or by its own kernels alone."""
    kinds = OpResolverType
    kind = kinds.AUTO if xnnpack else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    found = []
    for picture in inputs:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).ravel())
    return np.asarray(found)


def tensors(content: bytes) -> dict[str, tuple[int, bytes]]:
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    found = model.subgraphs[0].tensors
    return {t.name.decode(): (t.type, bytes(np.asarray(model.buffers[t.buffer].data, np.uint8))) for t in found
            if model.buffers[t.buffer].data is not None}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_within_a_step_of_int8_and_equal_in_litert_s_own_kernels(name: str):
    operation, weight, shape, picture = LAYERS[name]
    random = np.random.default_rng(3)
    kernel = {f"layer/{weight}": random.normal(0, 1, shape).astype(np.float32)}
    graph = Graph((Node("input", Input(picture)), Node("layer", operation, ("input",))), ("layer",), kernel)
    inputs = random.normal(0, 1, (20, *picture)).astype(np.float32)
    made = convert(with_least_integers(quantised(graph, inputs, {".*": 4})))
    content, stored = with_int4_kernels(made.content, [f"layer/{weight}"])
    if name == "TRANSPOSE_CONV":  # LiteRT refuses such a kernel there
        assert (content, stored) == (made.content, [])
        return
    assert stored == [f"layer/{weight}"]
    # by hand: two a byte, the first in the lower half, the last alone if they are odd
    before, after = tensors(made.content), tensors(content)
    values = np.frombuffer(before[f"layer/{weight}"][1], np.int8)
    assert np.abs(values).max() == 7
    halves = np.append(values, np.zeros(values.size % 2, np.int8)).astype(int) & 15
    assert after[f"layer/{weight}"] == (schema.TensorType.INT4, bytes(list(halves[::2] | halves[1::2] << 4)))
    (operator,) = (one for one in operators(content) if one.kernel is not None)
    assert np.array_equal(operator.kernel.data.ravel(), values) and operator.version == VERSIONS[operator.name]
    verify(made.graph, content, stored)
    np.testing.assert_array_equal(outputs(content, inputs, False), outputs(made.content, inputs, False))
    step = float(operator.outputs[0].scale[0])
    most = np.abs(np.rint((outputs(content, inputs, True) - outputs(made.content, inputs, True)) / step)).max()
    # XNNPACK takes INT4 in dense layers; the others round as LiteRT's own kernels do
    assert most == (0 if name == "FULLY_CONNECTED" else 1)
    assert (tolerance_of(content, Model(content).output, None).value > 0) is (name != "FULLY_CONNECTED")


@pytest.mark.parametrize("activations", [8, 16])
def test_a_network_is_stored_by_the_optimise_stage_and_computes_what_int8_does(
    activations: int, tmp_path: Path, capsys
):
    """Kernels of 8 bits stay; with 16 bits, which depthwise kernels cannot have, all values are equal."""
    bits = {"dw/": 8 if activations == 16 else 3, "left/": 4}
    graph = quantised(small_graph(), pictures(20), bits, activations)
    save(graph, tmp_path / "int8", integers="integer")
    files = (tmp_path / "int8/model", tmp_path / "int8/weights", None)
    as_int8 = optimize(*files, tmp_path / "plain").content
    assert "INT4" not in capsys.readouterr().out
    assert as_int8 == convert(graph).content
    least = with_least_integers(graph)
    assert any(not np.array_equal(least.weights[name], values) for name, values in graph.weights.items())
    plain = convert(least).content
    small = optimize(*files, tmp_path / "small", int4_storage=True)
    assert (tmp_path / "small/model.tflite").read_bytes() == small.content
    types = {one.kernel.name: one.kernel.dtype for one in operators(small.content) if one.kernel is not None}
    narrow = ["left/kernel"] if activations == 16 else ["dw/depthwise_kernel", "left/kernel"]
    assert types == {name: "INT4" if name in narrow else "INT8" for name in ("conv/kernel", *bits_of(graph))}
    before, after = (read_sealed(tmp_path / f"{name}/optimization.json") for name in ("plain", "small"))
    halved = sum(graph.weights[name].size // 2 for name in narrow)
    assert before["parameter_bytes"] - after["parameter_bytes"] == halved > 0
    printed = capsys.readouterr().out
    assert f"kernels stored as INT4: {len(narrow)}; LiteRT's own kernels give the same outputs as with int8" in printed
    assert f"warning: {len(narrow)} of 4 layers with weights have INT4 kernels; LiteRT unpacks" in printed
    assert "takes 4.8 times as long" in printed
    assert unpack(pack(small.content), "it") == small.content
    shown = {node.name: node.weight_bits for node in network(small.content, (), ())}
    assert (shown["left"], shown["dw"]) == (4, 8 if activations == 16 else 3)
    plain_float = convert(small_graph()).content
    for one, other in zip(*(layer_forms(plain_float, content) for content in (plain, small.content)), strict=True):
        assert one.name == other.name and one.form.weights.keys() == other.form.weights.keys()
        assert all(np.array_equal(one.form.weights[place], other.form.weights[place]) for place in one.form.weights)
    inputs = pictures(50, seed=5)
    np.testing.assert_array_equal(outputs(small.content, inputs, False), outputs(plain, inputs, False))
    apart = np.abs(outputs(small.content, inputs, True) - outputs(plain, inputs, True)).max()
    allowed = tolerance_of(small.content, Model(small.content).output, None)
    if activations == 16:
        assert apart == 0 and allowed.value == 0
    else:
        assert 0 < apart < 16 / 256 and allowed.value == 64 / 256 and "INT4 kernels" in allowed.reason
    assert tolerance_of(plain, Model(plain).output, None).value == 0
    assert float_tolerance_of(plain_float, Model(plain_float).output, allowed).value == 1e-4


def bits_of(graph: Graph) -> list[str]:
    return [name for name in graph.weight_scales if name != "conv/kernel"]


def test_integers_that_are_not_those_of_training_are_refused():
    graph = quantised(small_graph(), pictures(20), {"left/": 4})
    made = convert(graph)
    content, stored = with_int4_kernels(made.content, ["left/kernel"])
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (kernel,) = (one for one in model.subgraphs[0].tensors if one.name == b"left/kernel")
    buffer = model.buffers[kernel.buffer]
    buffer.data = np.asarray(buffer.data) ^ np.array([1, *[0] * (len(buffer.data) - 1)], np.uint8)
    other = packed(model)
    with pytest.raises(UserError, match="CONV_2D left: its integers are not those of training"):
        verify(made.graph, other, stored)
    with pytest.raises(UserError, match="stored as INT4, the model computes another value at"):
        check_same_outputs(made.content, other)
    for stored_otherwise in ([], ["left/kernel", "dw/depthwise_kernel"]):
        with pytest.raises(UserError, match="would run in float on the device"):
            verify(made.graph, content, stored_otherwise)


def test_without_narrow_kernels_nothing_changes(tmp_path: Path, capsys):
    graph = quantised(replace(small_graph()), pictures(20), 5)
    save(graph, tmp_path / "int8", integers="integer")
    found = optimize(tmp_path / "int8/model", tmp_path / "int8/weights", None, tmp_path / "out", int4_storage=True)
    assert found.content == convert(graph).content
    assert "no layer has weights of at most 4 bits" in capsys.readouterr().out


def test_coarse_steps_of_biases_are_said_and_larger_integers_refused(tmp_path: Path, capsys):
    """With 2 bits everywhere and no larger integers, the first layer's bias has the coarsest steps."""
    graph = quantised(small_graph(), pictures(20), {".*": 2})
    save(graph, tmp_path / "int8", integers="integer")
    made = optimize(tmp_path / "int8/model", tmp_path / "int8/weights", None, tmp_path / "out", int4_storage=True)
    (first, *_) = [one for one in operators(made.content) if one.kernel is not None]
    steps = float(first.source.scale[0] * first.kernel.scale.max() / first.outputs[0].scale[0])
    assert steps > 3
    expected = f"warning: int4_storage: a step of the bias is up to {steps:.1f} steps of the layer's output, which "
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(expected))
    assert line.endswith(": conv")
    with pytest.raises(ValueError, match="conv/kernel: its integers do not fit INT4"):
        with_int4_kernels(convert(graph).content, ["conv/kernel"])
