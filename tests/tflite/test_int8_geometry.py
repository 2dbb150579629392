"""Convolutions, pools and resizes in int8: LiteRT's kernels against NumPy, which rounds as training does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from helpers.numpy_network import execute
from qatflow.device.run.cut import cut_at, cut_points
from qatflow.graph.cut import cut
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    AveragePool,
    Conv2D,
    Conv2DTranspose,
    Crop,
    DepthwiseConv2D,
    Input,
    MaxPool,
    Permute,
    Relu,
    Relu6,
    Rescale,
    Resize,
    UpSample,
)
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model
from qatflow.tflite.single_operator import single_operators

PICTURE = (9, 7, 6)
ALL_KERNELS = (OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES, OpResolverType.BUILTIN_REF)
XNNPACK = ALL_KERNELS[:1]


def chain(operations: list[Any]) -> Graph:
    """A convolution, so that there is a grid, and operations `0`, `1`, … behind one another."""
    random = np.random.default_rng(3)
    nodes, weights = [Node("input", Input(PICTURE))], {}
    for name, operation in [("first", Conv2D((1, 1), "same")), *((str(n), o) for n, o in enumerate(operations))]:
        nodes.append(Node(name, operation, (nodes[-1].name,)))
        if isinstance(operation, Rescale):  # of every sign, and none
            weights[f"{name}/factor"] = np.array([0.5, -2, 1, 0, 3e-3, -1], np.float32)
            weights[f"{name}/offset"] = np.array([1, 0, -3, 2, 0.1, -0.2], np.float32)
        if type(operation) in KERNELS:
            role, shape = KERNELS[type(operation)](getattr(operation, "groups", 1))
            channels = shape[-1] if role == "kernel" else shape[-2] * shape[-1]
            weights[f"{name}/{role}"] = random.normal(0, 0.3, shape).astype(np.float32)
            weights[f"{name}/bias"] = random.normal(0, 0.5, channels).astype(np.float32)
    return Graph(tuple(nodes), (nodes[-1].name,), weights)


def pictures() -> np.ndarray:
    return np.random.default_rng(1).normal(0.3, 1, (2, *PICTURE)).astype(np.float32)


def quantised(graph: Graph, activations: str) -> Graph:
    """The graph with the ranges that its tensors have."""
    ranges = {name: (float(t.min()), float(t.max())) for name, t in execute(graph, pictures()).items()}
    return as_if_quantised(graph, QuantSettings(8, 8, "channel_wise_abs_max", activations), ranges)


def litert(content: bytes, kernels: OpResolverType) -> np.ndarray:
    interpreter: Any = Interpreter(model_content=content, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    outputs = []
    for picture in pictures():
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.stack(outputs).astype(np.float64)


KERNELS: dict[type, Callable[[int], tuple[str, tuple[int, ...]]]] = {
    Conv2D: lambda groups: ("kernel", (3, 2, 6 // groups, 6)),
    DepthwiseConv2D: lambda groups: ("depthwise_kernel", (3, 2, 6, 3)),
    Conv2DTranspose: lambda groups: ("kernel", (3, 2, 6, 5)),
}
"""Role and shape of the kernel of a layer in that many groups."""
GRIDS = ("moving_average_abs_max", "moving_average_min_max")

CASES: dict[str, tuple[list[Any], tuple[OpResolverType, ...]]] = {
    "groups": ([Conv2D((1, 1), "same", groups=2)], ALL_KERNELS),
    "groups, strides": ([Conv2D((2, 2), "valid", groups=3), Relu()], ALL_KERNELS),
    "groups, dilations": ([Conv2D((1, 1), "same", (2, 3), groups=2)], ALL_KERNELS),
    "groups of one channel": ([Conv2D((1, 2), "same", groups=6)], ALL_KERNELS),
    "depthwise, multiplier": ([DepthwiseConv2D((2, 2), "same")], ALL_KERNELS),
    "rescale": ([Rescale()], ALL_KERNELS),
    "transposed, same": ([Conv2DTranspose((2, 2), "same"), Relu6()], ALL_KERNELS),
    "transposed, valid": ([Conv2DTranspose((1, 2), "valid")], ALL_KERNELS),
    "transposed, apart": ([Conv2DTranspose((4, 3), "same"), Relu()], ALL_KERNELS),
    "transposed, valid and apart": ([Conv2DTranspose((4, 3), "valid")], ALL_KERNELS),
    "crop": ([Crop((2, 1), (0, 3))], ALL_KERNELS),
    "permute": ([Permute((2, 0, 1))], ALL_KERNELS),
    "average, valid": ([AveragePool((2, 2), (1, 2), "valid")], ALL_KERNELS),
    "average, same": ([AveragePool((3, 3), (2, 1), "same")], ALL_KERNELS),
    "average of a maximum": ([MaxPool((2, 2), (1, 1), "same"), AveragePool((4, 3), (1, 1), "same")], ALL_KERNELS),
    # LiteRT's own kernels cut off instead of rounding; the device runs XNNPACK
    "bilinear": ([UpSample((2, 2), bilinear=True)], XNNPACK),
    "bilinear, any size": ([Resize(4, 17, bilinear=True)], XNNPACK),
    "nearest, any size": ([Resize(12, 5, bilinear=False)], ALL_KERNELS),
    "nearest": ([UpSample((2, 3), bilinear=False)], ALL_KERNELS),
}  # fmt: skip


@pytest.mark.parametrize("activations", GRIDS)
@pytest.mark.parametrize("name", CASES)
def test_the_int8_kernel_computes_what_training_rounds(name: str, activations: str):
    operations, runs = CASES[name]
    graph = quantised(chain(operations), activations)
    output = graph.outputs[0]
    grid = graph.activation_scale(output)
    assert grid is not None and grid.scale is not None
    for run in runs:
        source = litert(convert(cut(graph, None, ["first"])).content, run)
        expected = execute(cut(graph, ["first"], None), source, fake_quant=True)[output]
        assert np.ptp(expected) > 50 * grid.scale
        differ = np.rint((litert(convert(graph).content, run) - expected) / grid.scale)
        # a kernel's bias is rounded to int32, and weights of other factors than 2 to 2^-11; nothing else is inexact
        inexact = isinstance(operations[0], (Rescale, *KERNELS)) or name == "bilinear, any size"
        assert np.abs(differ).max() <= inexact and (differ != 0).mean() <= 0.01, (run, differ)


@pytest.mark.parametrize("name", CASES)
def test_each_operator_runs_alone_and_where_the_model_is_cut(name: str):
    """As a search measures it, and as a run looks for the layer in which host and device part."""
    content = convert(quantised(chain(CASES[name][0]), GRIDS[0])).content
    wanted = {one.outputs[0].name: one.outputs[0].shape for one in operators(content)}
    alone = {one.output: Model(one.model()) for one in single_operators(content)}
    assert {output: model.output.shape for output, model in alone.items()} == wanted
    for place in cut_points(content):
        assert Model(cut_at(content, place.tensor)).output.shape == wanted[place.name]
