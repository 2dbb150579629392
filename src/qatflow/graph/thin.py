"""Channels removed from a graph, with all that belongs to them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from qatflow.graph.channels import NEVER, Channels
from qatflow.graph.graph import Graph
from qatflow.graph.kinds import VECTORS, with_channels
from qatflow.graph.shapes import shapes

Keep = Mapping[str, Sequence[int]]
"""The units of a group that stay, ascending, by the group's name; of a group that is not named all stay."""


def thin(graph: Graph, found: Channels, keep: Keep) -> Graph:
    """Return the graph without the other units: kernels, biases, batch-norm and what reads the channels get thinner.

    Args:
        graph: in float.
        found: its channels.
        keep: at least one unit of each group that is named.

    Raises:
        ValueError: the graph is quantised, or `keep` is not of this graph.
    """
    if graph.weight_scales:
        raise ValueError("a quantised graph cannot be thinned: quantisation comes last")
    stays = _stays(found, keep)
    weights, nodes = dict(graph.weights), []
    for node in graph.nodes:
        made = stays[node.name]
        if node.layout is not None and node.kernel is not None:
            weights[node.kernel] = node.layout.thinned(graph.weights[node.kernel], stays[node.inputs[0]], made)
        for role in VECTORS:
            name = node.weight(role)
            if name in weights:
                weights[name] = weights[name][made]
        nodes.append(replace(node, operation=with_channels(node.operation, int(made.sum()))))
    thinner = replace(graph, nodes=tuple(nodes), weights=weights)
    shapes(thinner)  # raises where it does not fit together
    return thinner


def as_if_thin(graph: Graph, found: Channels, keep: Keep) -> Graph:
    """Return a graph of the same shapes that computes what the thin one does: nothing reads the other units.

    A model that is built once can then try many. Arguments and errors as `thin`.
    """
    stays = _stays(found, keep)
    weights = dict(graph.weights)
    for node in graph.nodes:
        if node.layout is not None and node.kernel is not None and not node.layout.by_itself:
            kernel = weights[node.kernel].copy()
            np.moveaxis(kernel, node.layout.reads, 0)[~stays[node.inputs[0]]] = 0
            weights[node.kernel] = kernel
    return replace(graph, weights=weights)


def _stays(found: Channels, keep: Keep) -> dict[str, np.ndarray]:
    """Return for each channel of each node's tensor whether it stays, bool [channels]."""
    unknown = set(keep) - {group.name for group in found.groups}
    if unknown:
        raise ValueError(f"no groups of this graph: {sorted(unknown)}")
    units = []
    for group in found.groups:
        kept = np.asarray(keep.get(group.name, range(group.size)), int)
        if not kept.size or kept[0] < 0 or kept[-1] >= group.size or (np.diff(kept) <= 0).any():
            raise ValueError(f"{group.name}: {kept.tolist()} are not ascending units of {group.size}, at least one")
        units.append(np.isin(np.arange(group.size), kept))
    # one more behind the last, which NEVER (−1) finds
    stays = np.concatenate([*units, [True]]).astype(bool)
    assert NEVER == -1
    return {name: stays[places] for name, places in found.of_tensor.items()}
