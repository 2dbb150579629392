"""A graph without some of its channels, and without everything that belongs to them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from qatflow.graph.channels import NEVER, Channels
from qatflow.graph.graph import Graph, Node
from qatflow.graph.kinds import VECTORS, with_channels
from qatflow.graph.shapes import shapes

Keep = Mapping[str, Sequence[int]]
"""The units of a group that stay, ascending, by the group's name; groups that are not named keep all."""


def thin(graph: Graph, channels: Channels, keep: Keep) -> Graph:
    """Return the graph with only the units in `keep`: kernels, biases, batch-norm and all readers get thinner.

    Args:
        graph: in float.
        channels: the graph's channels.
        keep: at least one unit of each named group.

    Raises:
        ValueError: the graph is quantised, or `keep` does not belong to this graph.
    """
    if graph.weight_scales:
        raise ValueError("a quantised graph cannot be thinned: quantisation comes last")
    stays = _stays(channels, keep)
    weights, nodes = dict(graph.weights), []
    for node in graph.nodes:
        outputs = stays[node.name]
        if node.layout is not None and node.kernel is not None:
            kernel = graph.weights[node.kernel]
            weights[node.kernel] = node.layout.thinned(kernel, _read(node, kernel, stays), outputs)
        for role in VECTORS:
            name = node.weight(role)
            if name in weights:
                weights[name] = weights[name][outputs]
        operand = weights.get(node.operand or "")
        if operand is not None and operand.shape[-1] == len(outputs) > 1:
            weights[node.operand or ""] = operand[..., outputs]
        nodes.append(replace(node, operation=with_channels(node.operation, int(outputs.sum()))))
    thinner = replace(graph, nodes=tuple(nodes), weights=weights)
    shapes(thinner)  # raises if it does not fit together
    return thinner


def as_if_thin(graph: Graph, channels: Channels, keep: Keep) -> Graph:
    """Return a graph with the original shapes that computes what the thin one does: nothing reads the other units.

    So one built model can try many choices. Arguments and errors are those of `thin`.
    """
    stays = _stays(channels, keep)
    weights = dict(graph.weights)
    for node in graph.nodes:
        if node.layout is not None and node.kernel is not None and not node.layout.by_itself:
            kernel = weights[node.kernel].copy()
            np.moveaxis(kernel, node.layout.reads, 0)[~_read(node, kernel, stays)] = 0
            weights[node.kernel] = kernel
    return replace(graph, weights=weights)


def _read(node: Node, kernel: np.ndarray, stays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return for each input channel of a kernel whether it stays: those of the first group, since all are alike."""
    assert node.layout is not None
    return stays[node.inputs[0]][: kernel.shape[node.layout.reads]]


def _stays(channels: Channels, keep: Keep) -> dict[str, np.ndarray]:
    """Return for each channel of each node's tensor whether it stays, bool [channels]."""
    unknown = set(keep) - {group.name for group in channels.groups}
    if unknown:
        raise ValueError(f"not groups of this graph: {sorted(unknown)}")
    units = []
    for group in channels.groups:
        kept = np.asarray(keep.get(group.name, range(group.size)), int)
        if not kept.size or kept[0] < 0 or kept[-1] >= group.size or (np.diff(kept) <= 0).any():
            raise ValueError(f"{group.name}: {kept.tolist()} are not ascending units of {group.size}, at least one")
        units.append(np.isin(np.arange(group.size), kept))
    # one more behind the last, which is where NEVER (−1) points
    stays = np.concatenate([*units, [True]]).astype(bool)
    assert NEVER == -1
    return {name: stays[places] for name, places in channels.of_tensor.items()}
