"""The channels that a strategy may remove, the least important first."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.channels import ChannelGroup, Channels, channels
from qatflow.graph.graph import Graph, all_trained
from qatflow.graph.kernels import UNFREEZE, frozen_kernels, matching
from qatflow.graph.names import listed
from qatflow.graph.thin import Keep, as_if_thin, thin
from qatflow.pruning.importance import CRITERIA, Criterion, importance

ANY = "*"
"""Among the criteria, stands for all kernels that are not named."""


@dataclass(frozen=True)
class Candidates:
    """A graph and what may be removed of it.

    Attributes:
        graph: in float.
        channels: of the graph.
        order: units in the order in which they go, int [units], by group, for the groups that are pruned. The least
            important come first; those that always stay come last.
        stay: how many units always stay, by group: the most important one of each layer, which would have no channels
            otherwise.
        frozen: kernels that are to be pruned, and whose channels stay because the kernel of a frozen layer makes or
            reads them.
    """

    graph: Graph
    channels: Channels
    order: Mapping[str, np.ndarray]
    stay: Mapping[str, int]
    frozen: tuple[str, ...] = ()

    def message(self) -> str:
        """Return which kernels are not pruned because of frozen layers; an empty text if there are none."""
        if not self.frozen:
            return ""
        return f"frozen layers have the channels of {listed(self.frozen)}, which are not pruned; {UNFREEZE}"

    @property
    def groups(self) -> list[ChannelGroup]:
        """The groups that may be pruned, in the order of the graph."""
        return [group for group in self.channels.groups if group.name in self.order]

    def removed(self, group: str, ratio: float) -> int:
        """Return how many units of a group go at a ratio: rounded, as in PaddleSlim, but never all of a layer."""
        size = len(self.order[group])
        return min(round(size * ratio), size - self.stay[group])

    def keep(self, ratios: Mapping[str, float]) -> Keep:
        """Return the units that stay when a share `ratios[group]` of each group goes."""
        return {
            group: np.sort(self.order[group][self.removed(group, ratio) :]).tolist() for group, ratio in ratios.items()
        }

    def thin(self, ratios: Mapping[str, float]) -> Graph:
        """Return the graph without these shares of the groups' units."""
        return thin(self.graph, self.channels, self.keep(ratios))

    def as_if_thin(self, ratios: Mapping[str, float]) -> Graph:
        """Return a graph of the same shapes that computes what `thin` would."""
        return as_if_thin(self.graph, self.channels, self.keep(ratios))


def candidates(graph: Graph, pruned_params: str, criterions: Mapping[str, str]) -> Candidates:
    """Return what may be removed of a graph.

    Args:
        graph: in float.
        pruned_params: regular expression for the beginning of kernels' names (`<layer>/kernel`). A group of tied layers
            is pruned if any of their names matches, as in PaddleSlim.
        criterions: name of the criterion by kernel; `*` for all others.

    Raises:
        UserError: no kernel, or none that can be pruned, matches; or a criterion names no kernel.
    """
    known = channels(graph)
    kernels = [*known.fixed, *(kernel for group in known.groups for kernel in group.unit_of)]
    for name in criterions:
        if name != ANY and name not in kernels:
            near = difflib.get_close_matches(name, kernels, n=3, cutoff=0.4) or kernels[:3]
            raise UserError(f"criterions: no kernel is called '{name}'; the nearest are {', '.join(near)}")
    # in the graph's order, as the message lists them
    wanted = matching([node.kernel for node in graph.nodes if node.kernel in kernels], pruned_params, "pruned_params")
    groups = [group for group in known.groups if set(wanted) & set(group.unit_of) and group.size > 1]
    if not groups:
        why = "; ".join(f"{kernel}: {known.fixed.get(kernel, 'it has one channel')}" for kernel in wanted)
        hint = f"; {UNFREEZE}" if _only_frozen(graph, known, wanted) else ""
        raise UserError(
            f"pruned_params: nothing of '{pruned_params}' can be pruned, the channels must stay: {why}{hint}"
        )

    def criterion(kernel: str) -> Criterion:
        return CRITERIA[criterions.get(kernel, criterions.get(ANY, "l1_norm"))]

    order, stay = {}, {}
    for group in groups:
        ranked = np.argsort(importance(graph, group, criterion), kind="stable")
        best = _best_of_each_layer(group, ranked)
        order[group.name] = np.concatenate([ranked[~np.isin(ranked, best)], ranked[np.isin(ranked, best)]])
        stay[group.name] = len(best)
    return Candidates(graph, known, order, stay, _only_frozen(graph, known, wanted))


def _only_frozen(graph: Graph, known: Channels, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the kernels among `wanted` whose channels could go if no layer were frozen."""
    if not frozen_kernels(graph):
        return ()
    otherwise = channels(all_trained(graph)).fixed
    return tuple(kernel for kernel in wanted if kernel in known.fixed and kernel not in otherwise)


def _best_of_each_layer(group: ChannelGroup, ranked: np.ndarray) -> np.ndarray:
    """Return the units that always stay. Layers that a concatenation lays side by side have some units each.

    Args:
        group: of tied layers.
        ranked: its units, int [units], the most important last.
    """
    rank = np.argsort(ranked)
    return np.unique([units[np.argmax(rank[units])] for units in group.unit_of.values()])
