"""Layers in float between layers in int8: wherever they meet, the device computes what training saw."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from helpers.numpy_network import execute
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    Add,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Elu,
    Identity,
    Input,
    LeakyRelu,
    MaxPool,
    Multiply,
    Operation,
    Pad,
    Relu,
    Reshape,
    Sigmoid,
    Softmax,
    UpSample,
)
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model
from qatflow.tflite.verify import verify
from qatflow.trial.float_ranges import float_ranges

SIZE, CHANNELS = 8, 4
KEPT = "kept"  # what is named to stay in float

FLOAT: dict[str, Operation] = {
    "softmax": Softmax(),
    "elu": Elu(),
    "kept sigmoid": Sigmoid(),
    "kept leaky ReLU": LeakyRelu(0.2),
    "kept ReLU": Relu(),
    "kept convolution": Conv2D((1, 1), "same"),
}
PASSING: dict[str, tuple[Operation, ...]] = {
    "nothing": (),
    "max-pooling": (MaxPool((2, 2), (2, 2), "valid"),),
    "dropout and padding": (Dropout(0.1), Pad((0, 2), (2, 0))),
    "shape there and back": (Reshape((SIZE * SIZE, CHANNELS)), Reshape((SIZE, SIZE, CHANNELS))),
    "up-sampling and pooling": (UpSample((2, 2), False), Identity(), MaxPool((2, 2), (2, 2), "valid")),
}


class Builder:
    """A graph put together node by node, with random weights."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)
        self.nodes: list[Node] = [Node("input", Input((SIZE, SIZE, 2)))]
        self.weights: dict[str, np.ndarray] = {}
        self.channels = {"input": 2}

    def add(self, name: str, operation: Operation, *inputs: str) -> str:
        source = self.channels[inputs[0]]
        node = Node(name, operation, inputs)
        self.nodes.append(node)
        made = sum(self.channels[one] for one in inputs) if isinstance(operation, Concat) else source
        if node.kernel is not None:
            made = source if node.is_depthwise else CHANNELS
            shapes = {Conv2D: (3, 3, source, made), DepthwiseConv2D: (3, 3, source, 1), Dense: (source, made)}
            # without a bias, whose own rounding would be the largest difference between float64 and the device
            self.weights[node.kernel] = self.random.normal(0, 0.4, shapes[type(operation)]).astype(np.float32)
        self.channels[name] = made
        return name

    def chain(self, source: str, name: str, operations: tuple[Operation, ...]) -> str:
        for place, operation in enumerate(operations):
            source = self.add(f"{name}_{place}", operation, source)
        return source

    def ended(self, source: str) -> Graph:
        end = self.add("end", Conv2D((1, 1), "same"), source)
        return Graph(tuple(self.nodes), (end,), self.weights)


def _into(operation: Operation) -> Callable[[Builder, str, str], str]:
    return lambda b, passed, other: b.add("tail", operation, passed)


def _with_int8(operation: Operation) -> Callable[[Builder, str, str], str]:
    def joined(b: Builder, passed: str, other: str) -> str:
        # of one shape, and so passed on the same way
        return b.add("tail", Conv2D((1, 1), "same"), b.add("joined", operation, other, passed))

    return joined


def _both(b: Builder, passed: str, other: str) -> str:
    """Read by a float operation and by an int8 one."""
    left = b.add("left", Elu(), passed)
    return b.add("sum", Add(), left, b.add("tail", Conv2D((1, 1), "same"), passed))


def _kept_join(b: Builder, passed: str, other: str) -> str:
    """A concatenation in float of a float and an int8 tensor, read by int8."""
    return b.add("tail", Conv2D((1, 1), "same"), b.add(f"{KEPT}_concat", Concat(), other, passed))


TAILS: dict[str, Callable[[Builder, str, str], str]] = {
    "convolution": _into(Conv2D((1, 1), "same")),
    "depthwise": _into(DepthwiseConv2D((1, 1), "same")),
    "ReLU": _into(Relu()),
    "sigmoid": _into(Sigmoid()),
    "float again": _into(Elu()),
    "add": _with_int8(Add()),
    "multiply": _with_int8(Multiply()),
    "concat": _with_int8(Concat()),
    "both": _both,
    "kept concat": _kept_join,
}


INEXACT = ("add", "concat", "ReLU")
"""Where a kernel of the device rounds once more, from one scale to another, by a multiplier of few bits."""


def family(seed: int, in_float: str, passing: str, tail: str) -> Graph:
    """int8, then float, then what passes it on, then a tail; int8 first passed on to float as well."""
    b = Builder(seed)
    first = b.add("conv_relu", Relu(), b.add("conv", Conv2D((1, 1), "same"), "input"))
    other = b.chain(first, "beside", PASSING[passing])
    name = KEPT if in_float.startswith("kept") else "float"
    middle = b.add(name, FLOAT[in_float], b.chain(first, "before", (Dropout(0.1),)))
    passed = b.chain(middle, "passing", PASSING[passing])
    return b.ended(TAILS[tail](b, passed, other))


def quantised(graph: Graph, images: np.ndarray, coarse: float = 1.0) -> Graph:
    """As training would: scales by the values, those of tensors made in float coarser on demand."""
    settings = QuantSettings(8, 8, "abs_max", "moving_average_abs_max", skip_pattern=(KEPT,))
    kernels = quantised_kernels(graph, skip=settings.skip_pattern)
    names = quantised_tensors(graph, kernels, settings.skip_pattern)
    ranges = float_ranges(graph, names, images)
    for name in ("float", KEPT):
        if name in ranges:
            ranges[name] = (ranges[name][0] * coarse, ranges[name][1] * coarse)
    return as_if_quantised(graph, settings, ranges)


def images(count: int = 12) -> np.ndarray:
    return np.random.default_rng(7).normal(0, 1, (count, SIZE, SIZE, 2)).astype(np.float32)


@pytest.mark.parametrize("in_float", FLOAT)
def test_device_and_training_agree_wherever_float_and_int8_meet(in_float: str):
    for seed, (passing, tail) in enumerate(product(PASSING, TAILS)):
        case = f"{in_float}, {passing}, {tail}"
        # steps so coarse that a value which is rounded on one side only shows
        graph = quantised(family(seed, in_float, passing, tail), images(), coarse=np.e**2)
        converted = convert(graph)
        verify(converted.graph, converted.content)
        expected = execute(graph, images(), fake_quant=True)[graph.outputs[0]]
        found = Model(converted.content).outputs(images()).reshape(expected.shape)
        differences = np.abs(found - expected) / graph.activation_scales["end"].scale
        if tail in INEXACT:
            assert differences.mean() < 0.5, case
        else:
            assert (differences < 0.01).mean() > 0.99, case


@pytest.mark.parametrize("in_float", FLOAT)
def test_every_kernel_that_is_not_named_runs_in_int8(in_float: str):
    for passing, tail in product(PASSING, TAILS):
        graph = family(0, in_float, passing, tail)
        content = convert(quantised(graph, images(2))).content
        weighted = {o.inputs[1].name: o.inputs[1].dtype for o in operators(content) if len(o.inputs) == 3}
        kernels = {node.kernel: node.name for node in graph.nodes if node.kernel is not None}
        assert weighted == {k: "FLOAT32" if KEPT in n else "INT8" for k, n in kernels.items()}, (passing, tail)
        made = {o.name: o.outputs[0].dtype for o in operators(content)}
        if in_float == "kept ReLU":
            assert made["RELU"] == "FLOAT32" or tail == "ReLU"
