"""A graph of the same layers with other numbers of channels and other window sizes, to be trained from scratch.

Tied channels (`graph/channels.py`) get their new number together, larger or smaller. When the window of a depthwise
convolution changes, so does its padding, so that every tensor keeps its height and width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from qatflow.graph.channels import NEVER, Channels
from qatflow.graph.edit import only_consumer
from qatflow.graph.graph import Graph, Node, all_trained
from qatflow.graph.kinds import CONSTANTS, VECTORS, kind_of, with_channels
from qatflow.graph.operations import DepthwiseConv2D, Pad, Pair
from qatflow.graph.shapes import shapes

ONES = ("gamma", "moving_variance")
"""Roles of the vectors that start as ones; the others start as zeros."""


@dataclass(frozen=True)
class Sizes:
    """The sizes to change.

    Attributes:
        channels: new number of units of a group of channels, by the group's name; the others keep theirs.
        windows: new height and width of a depthwise kernel, by the kernel's name; the others keep theirs.
    """

    channels: Mapping[str, int] = field(default_factory=dict)
    windows: Mapping[str, int] = field(default_factory=dict)


def glorot_uniform(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Return a new kernel as Keras draws it, float32 of that shape.

    The values are uniform in ±√(6 / (fan in + fan out)) (Glorot and Bengio 2010). Fans are those of Keras for every
    kind of kernel: the last two axes, times the elements of the window before them.

    Args:
        shape: of the kernel.
        random: generator of the values.
    """
    window = prod(shape[:-2])
    limit = np.sqrt(6 / (window * (shape[-2] + shape[-1])))
    return random.uniform(-limit, limit, shape).astype(np.float32)


def fixed_channels(channels: Channels) -> dict[str, str]:
    """Return why a kernel's number of channels cannot change, by kernel: those that `channels` fixes, and more.

    A constant with a value per channel has none for a new channel. If a tensor holds some channels of a group more
    often than others, its new number of channels is not defined.
    """
    reasons = {**channels.fixed, **channels.counted}
    first = 0
    for group in channels.groups:
        for name, places in channels.of_tensor.items():
            times = np.bincount(places[(places >= first) & (places < first + group.size)] - first, minlength=group.size)
            if times.any() and np.ptp(times):
                reasons |= dict.fromkeys(group.unit_of, f"'{name}' has some of the channels tied to them, and not all")
                break
        first += group.size
    return reasons


def fixed_windows(graph: Graph) -> dict[str, str]:
    """Return why the window of a depthwise kernel must stay, by kernel; kernels that can change are not listed."""
    reasons = {}
    for node in graph.nodes:
        if isinstance(node.operation, DepthwiseConv2D):
            assert node.kernel is not None
            reason = _fixed_window(graph, node, graph.weights[node.kernel].shape)
            if reason:
                reasons[node.kernel] = reason
    return reasons


def resized(graph: Graph, channels: Channels, sizes: Sizes, seed: int) -> Graph:
    """Return the graph in these sizes, with new weights in every layer.

    Kernels are drawn as Keras draws them, biases are zero, the slopes of a PReLU are the mean of the old ones, and
    batch-norm starts as an identity. The same sizes and seed give the same weights. A 1 × 1 depthwise convolution,
    which scales or does nothing, keeps its weights (ones if its number of channels changes).

    Args:
        graph: in float.
        channels: the graph's channels.
        sizes: at least 1, windows odd; none of those that `fixed_channels` and `fixed_windows` list.
        seed: of the kernels.

    Raises:
        ValueError: the graph is quantised, or `sizes` do not belong to this graph.
    """
    _check(graph, channels, sizes)
    numbers = _numbers(channels, sizes.channels)
    pads: dict[str, Pad] = {}
    for node in graph.nodes:
        if node.kernel is not None and node.kernel in sizes.windows:
            pads |= _padded(graph, node, sizes.windows[node.kernel])
    nodes, weights = [], {}
    for node in graph.nodes:
        if node.kernel is not None:
            weights[node.kernel] = _kernel(graph, node, numbers, sizes.windows.get(node.kernel), seed)
        for role in VECTORS:
            name = node.weight(role)
            if name in graph.weights:
                fresh = (np.ones if role in ONES else np.zeros)(numbers[node.name], np.float32)
                keeps = _scales(graph, node) and fresh.shape == graph.weights[name].shape
                weights[name] = graph.weights[name] if keeps else fresh
                if role in CONSTANTS:  # for more channels they are repeated
                    weights[name] = np.resize(graph.weights[name], numbers[node.name])
        operand = graph.weights.get(node.operand or "")
        if operand is not None:
            weights[node.operand or ""] = _operand(node, operand, numbers[node.name])
        operation = with_channels(node.operation, numbers[node.name])
        nodes.append(replace(node, operation=pads.get(node.name, operation)))
    changed = all_trained(replace(graph, nodes=tuple(nodes), weights=weights))  # since all weights are new
    shapes(changed)  # raises if it does not fit together
    return changed


def _check(graph: Graph, channels: Channels, sizes: Sizes) -> None:
    if graph.weight_scales:
        raise ValueError("a quantised graph cannot be resized: quantisation comes last")
    names = {group.name for group in channels.groups}
    reasons = fixed_channels(channels)
    for name, number in sizes.channels.items():
        if name not in names or name in reasons:
            raise ValueError(f"{name}: {reasons.get(name, 'no group of this graph has that name')}")
        if number < 1:
            raise ValueError(f"{name}: {number} channels, but at least one is needed")
    windows = {node.kernel for node in graph.nodes if isinstance(node.operation, DepthwiseConv2D)}
    reasons = fixed_windows(graph)
    for name, window in sizes.windows.items():
        if name not in windows or name in reasons:
            raise ValueError(f"{name}: {reasons.get(name, 'no depthwise kernel of this graph has that name')}")
        if window < 1 or window % 2 == 0:
            raise ValueError(f"{name}: a window of {window}, but it must be odd")


def _numbers(channels: Channels, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the new number of channels of each node's tensor."""
    # how many new channels stand for each old one: the group's new size over its old size
    share = np.concatenate(
        [*(np.full(group.size, sizes.get(group.name, group.size) / group.size) for group in channels.groups), [1.0]]
    )
    assert NEVER == -1
    return {name: round(float(share[places].sum())) for name, places in channels.of_tensor.items()}


def _kernel(graph: Graph, node: Node, numbers: Mapping[str, int], window: int | None, seed: int) -> np.ndarray:
    assert node.kernel is not None and node.layout is not None
    old = graph.weights[node.kernel]
    shape = node.layout.resized(old.shape, numbers[node.inputs[0]] // node.groups, numbers[node.name])
    if window:
        shape = (window, window, *shape[2:])
    if _scales(graph, node):
        return old if shape == old.shape else np.ones(shape, np.float32)
    # each kernel has a random stream of its own, so that no other layer's size changes it
    return glorot_uniform(shape, np.random.default_rng([seed, *node.kernel.encode()]))


def _operand(node: Node, values: np.ndarray, channels: int) -> np.ndarray:
    """Return the weight in the place of a second tensor: a constant as it is, a trained one as its mean everywhere."""
    operand = kind_of(node.operation).operand
    assert operand is not None
    if not operand.trained:
        return values
    last = channels if values.shape[-1] > 1 else 1
    return np.full((*values.shape[:-1], last), values.mean(), np.float32)


def _scales(graph: Graph, node: Node) -> bool:
    """Return whether the node is a 1 × 1 depthwise convolution."""
    return node.is_depthwise and graph.weights[node.kernel or ""].shape[:2] == (1, 1)


def _fixed_window(graph: Graph, node: Node, shape: tuple[int, ...]) -> str:
    assert isinstance(node.operation, DepthwiseConv2D)
    if shape[:2] == (1, 1):
        return "it is of single pixels"
    if shape[0] != shape[1] or shape[0] % 2 == 0:
        return f"it is {shape[0]} × {shape[1]}, and an odd square is what can change"
    before = graph.node(node.inputs[0])
    if node.operation.padding == "valid" and not (
        isinstance(before.operation, Pad) and not before.operation.lowest and only_consumer(graph, before) is not None
    ):
        return "no zeros are put around the pictures before it"
    return ""


def _padded(graph: Graph, node: Node, window: int) -> dict[str, Pad]:
    """Return the padding that fits another window, by the node that pads; empty if the convolution pads itself."""
    assert isinstance(node.operation, DepthwiseConv2D)
    if node.operation.padding == "same":
        return {}
    pad = graph.node(node.inputs[0])
    assert isinstance(pad.operation, Pad)
    more = [(window - graph.weights[node.kernel or ""].shape[0]) // 2 * step for step in node.operation.dilations]
    rows, columns = _more(pad.operation.rows, more[0]), _more(pad.operation.columns, more[1])
    if min(*rows, *columns) < 0:
        raise ValueError(f"{node.kernel}: a window of {window} leaves fewer than no zeros in '{pad.name}'")
    return {pad.name: Pad(rows, columns)}


def _more(zeros: Pair, more: int) -> Pair:
    return zeros[0] + more, zeros[1] + more
