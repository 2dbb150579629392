"""What a layer reads and computes at some places of the calibration pictures, as a matrix product.

The quantised layers before it run as the device runs them, in int8 kernels; the float network runs beside. Of each
picture the same number of places is taken, so memory does not depend on the number of pictures.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from qatflow.graph.bias_steps import with_fine_biases
from qatflow.graph.cut import cut
from qatflow.graph.edit import only_consumer
from qatflow.graph.families import REMOVED
from qatflow.graph.graph import Graph, Node
from qatflow.graph.kinds import reach, same_padding
from qatflow.graph.operations import BatchNorm, Conv2D, Dense, DepthwiseConv2D, Input, Relu, Relu6
from qatflow.graph.shapes import shapes
from qatflow.quantisation.rounding import Clip, Samples
from qatflow.tflite.lower import convert
from qatflow.tflite.run import Model
from qatflow.trial.pictures import Pictures

PLACES = 2**15
"""The most places of a layer."""
BYTES = 2**27
"""The most memory that the layer's inputs and outputs at these places take."""
SAMPLED = (Conv2D, DepthwiseConv2D, Dense)
"""Layers that have samples. A transposed convolution has none: its outputs are sums of unequal numbers of products."""

Taken = tuple[np.ndarray, np.ndarray]
"""Inputs [groups, places, reads] and targets [groups, places, makes]."""


@dataclass(frozen=True)
class Layer:
    """A layer with what the device computes together with it.

    Attributes:
        node: with the kernel.
        norm: the batch-norm behind it; None: none.
        clip: the activation function behind both, as far as it clips.
    """

    node: Node
    norm: Node | None
    clip: Clip

    @staticmethod
    def of(graph: Graph, node: Node) -> "Layer":
        """Return the layer of a node with a kernel."""
        norm = _behind(graph, node)
        if norm is None or not isinstance(norm.operation, BatchNorm):
            norm = None
        clip = getattr(node.operation, "activation", None)
        last = _behind(graph, norm or node)
        if clip is None and last is not None:
            clip = {Relu: "relu", Relu6: "relu6"}.get(type(last.operation))
        return Layer(node, norm, clip)

    def gain_and_offset(self, graph: Graph) -> tuple[np.ndarray, np.ndarray]:
        """Return what the sums of products are multiplied by, and what is added then, both float64 [channels]."""
        channels = graph.kernel_channels(self.node)
        bias = graph.weights.get(self.node.weight("bias"), np.zeros(channels)).astype(np.float64)
        if self.norm is None:
            return np.ones(channels), bias
        assert isinstance(self.norm.operation, BatchNorm)
        roles = ("gamma", "beta", "moving_mean", "moving_variance")
        gamma, beta, mean, variance = (graph.weights[self.norm.weight(role)].astype(np.float64) for role in roles)
        gain = gamma / np.sqrt(variance + self.norm.operation.epsilon)
        return gain, beta + (bias - mean) * gain


def sample(graph: Graph, quantised: Graph, layer: Layer, pictures: Pictures, seed: int) -> Samples:
    """Return a layer's samples over the pictures.

    Args:
        graph: float.
        quantised: the same network, of which at least all before the layer is quantised as it will be; with integers
            of just their layer's width.
        layer: of both.
        pictures: calibration pictures.
        seed: of the choice of the places.
    """
    node = layer.node
    assert node.kernel is not None
    places = _places(graph, node, pictures.count)

    def begin() -> Callable[[np.ndarray, np.ndarray], Taken]:
        read, compute = _source(with_fine_biases(quantised), node.inputs[0]), _target(graph, layer)

        def take(inputs: np.ndarray, labels: np.ndarray) -> Taken:
            taken = [_at(places, seed, graph, node, picture, read, compute) for picture in inputs]
            return np.concatenate([x for x, _ in taken], axis=1), np.concatenate([y for _, y in taken], axis=1)

        return take

    inputs, targets = zip(*pictures.each(begin), strict=True)
    kernel = graph.weights[node.kernel]
    channels = graph.kernel_channels(node)
    gain, offset = layer.gain_and_offset(quantised)
    scale = np.broadcast_to(quantised.weight_scales[node.kernel].scale, channels)
    return Samples(
        inputs=np.concatenate(inputs, axis=1),
        targets=np.concatenate(targets, axis=1),
        kernel=as_matrix(node, kernel),
        scale=_by_group(node, kernel, scale[None]),
        gain=_by_group(node, kernel, gain[None].astype(np.float32)),
        offset=_by_group(node, kernel, offset[None].astype(np.float32)),
        clip=layer.clip,
        bits=quantised.weight_scales[node.kernel].bits,
    )


def as_matrix(node: Node, kernel: np.ndarray) -> np.ndarray:
    """Return a kernel as [groups, reads, makes]."""
    if node.is_depthwise:
        return kernel.reshape(-1, *kernel.shape[2:]).transpose(1, 0, 2)
    return _by_group(node, kernel, kernel.reshape(-1, kernel.shape[-1]))


def as_kernel(matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the kernel of that shape of a matrix as `as_matrix` gives it."""
    return matrix.transpose(1, 0, 2).reshape(shape)


def _by_group(node: Node, kernel: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return values of output channels, [n, channels], as [groups, n, makes]."""
    groups = kernel.shape[2] if node.is_depthwise else node.groups
    return np.ascontiguousarray(values.reshape(len(values), groups, -1).transpose(1, 0, 2))


def _behind(graph: Graph, node: Node) -> Node | None:
    behind = only_consumer(graph, node)
    while behind is not None and isinstance(behind.operation, REMOVED):
        behind = only_consumer(graph, behind)
    return behind


def _places(graph: Graph, node: Node, pictures: int) -> int:
    """Return how many places of a picture are taken."""
    known = shapes(graph)
    kernel, made = graph.weights[node.kernel or ""], known[node.name]
    total = math.prod(made[:-1])
    reads = kernel.shape[0] * kernel.shape[1] * known[node.inputs[0]][-1] if kernel.ndim == 4 else kernel.shape[0]
    most = max(1, min(PLACES, BYTES // (4 * (reads + made[-1]))))
    return min(total, -(-most // pictures))


def _source(quantised: Graph, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from a picture to a tensor of the quantised network, in real values without the batch."""
    node = quantised.node(name)
    if isinstance(node.operation, Input):
        known = quantised.activation_scales.get(name)
        if known is None or known.scale is None:
            return lambda picture: picture
        scale, zero, half = np.float32(known.scale), known.zero_point, 2 ** (known.bits - 1)
        return lambda picture: (np.clip(np.rint(picture / scale) + zero, -half, half - 1) - zero) * scale
    return _tensor(cut(quantised, None, [name]))


def _target(graph: Graph, layer: Layer) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from a picture to what the float layer computes before its activation function."""
    node = layer.node
    if layer.norm is None and getattr(node.operation, "activation", None) is not None:
        plain = replace(node, operation=replace(node.operation, activation=None))  # type: ignore[arg-type]
        graph = graph.with_nodes([plain if other.name == node.name else other for other in graph.nodes])
    return _tensor(cut(graph, None, [(layer.norm or node).name]))


def _tensor(graph: Graph) -> Callable[[np.ndarray], np.ndarray]:
    model = Model(convert(graph).content)
    shape = model.output.shape[1:]
    return lambda picture: model.outputs(picture[None])[0].reshape(shape)


def _at(
    places: int,
    seed: int,
    graph: Graph,
    node: Node,
    picture: np.ndarray,
    read: Callable[[np.ndarray], np.ndarray],
    compute: Callable[[np.ndarray], np.ndarray],
) -> Taken:
    """Return inputs and targets at some places of a picture, which the picture itself decides."""
    source, made = read(picture), compute(picture)
    total = math.prod(made.shape[:-1])
    random = np.random.default_rng([seed, zlib.crc32(picture.tobytes())])
    chosen = np.arange(total) if places == total else np.sort(random.choice(total, places, replace=False))
    kernel = graph.weights[node.kernel or ""]
    targets = _by_group(node, kernel, made.reshape(total, -1)[chosen])
    if isinstance(node.operation, Dense):
        return np.ascontiguousarray(source.reshape(total, -1)[chosen][None]), targets
    windows = _windows(node, kernel.shape, source, chosen, made.shape[1])
    if node.is_depthwise:
        return np.ascontiguousarray(windows.transpose(2, 0, 1)), targets
    parts = windows.reshape(*windows.shape[:2], node.groups, -1).transpose(2, 0, 1, 3)
    return np.ascontiguousarray(parts.reshape(node.groups, len(chosen), -1)), targets


def _windows(node: Node, kernel: tuple[int, ...], source: np.ndarray, chosen: np.ndarray, columns: int) -> np.ndarray:
    """Return what the kernel covers at each place: [places, height · width, channels]."""
    operation = node.operation
    assert isinstance(operation, Conv2D | DepthwiseConv2D)
    axes = list(zip(source.shape[:2], kernel[:2], operation.strides, operation.dilations, strict=True))
    zeros = [
        same_padding(size, reach(window, dilation), stride) if operation.padding == "same" else (0, 0)
        for size, window, stride, dilation in axes
    ]
    padded = np.pad(source, (*zeros, (0, 0)))
    rows, across = (
        place[:, None] * stride + np.arange(window) * dilation
        for place, (_, window, stride, dilation) in zip(np.divmod(chosen, columns), axes, strict=True)
    )
    covered: np.ndarray = padded[rows[:, :, None], across[:, None, :]]
    return covered.reshape(len(chosen), -1, source.shape[2])
