"""What a pruning did to a graph, layer by layer."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from qatflow.graph.counts import Count, counts, total
from qatflow.graph.graph import Graph
from qatflow.graph.shapes import shapes
from qatflow.pruning.candidates import Candidates


@dataclass(frozen=True)
class PrunedLayer:
    """A convolution, depthwise convolution or dense layer.

    Attributes:
        layer: its name.
        kind: Conv2D, DepthwiseConv2D or Dense.
        group: name of the group its output channels belong to, by the kernel of the group's first layer; None where
            they must stay, and for a depthwise convolution, whose channels are those that it reads.
        fixed: why they must stay; an empty text where they need not.
        channels_before: output channels.
        channels_after: output channels that are left.
        before: multiply-adds and parameters.
        after: what is left of them.
    """

    layer: str
    kind: str
    group: str | None
    fixed: str
    channels_before: int
    channels_after: int
    before: Count
    after: Count


@dataclass(frozen=True)
class PruningRecord:
    """Of one pruning.

    Attributes:
        layers: every layer with a kernel, in the order of the graph.
        ratios: share of its units that went, by group.
        before: multiply-adds and parameters of the whole graph.
        after: what is left of them.
    """

    layers: tuple[PrunedLayer, ...]
    ratios: Mapping[str, float]
    before: Count
    after: Count

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return asdict(self)

    def text(self) -> str:
        """Return what was reached, as one line."""
        gone = [
            100 * (1 - getattr(self.after, of) / getattr(self.before, of)) for of in ("multiply_adds", "parameters")
        ]
        thinner = sum(layer.channels_after < layer.channels_before for layer in self.layers)
        return (
            f"pruned: {thinner} of {len(self.layers)} layers thinner, {gone[0]:.1f} % of the multiply-adds and "
            f"{gone[1]:.1f} % of the parameters are gone ({self.after.multiply_adds / 1e6:.2f} M and "
            f"{self.after.parameters / 1e6:.3f} M are left)"
        )


def pruning_record(candidates: Candidates, ratios: Mapping[str, float], after: Graph) -> PruningRecord:
    """Return the report.

    Args:
        candidates: of the graph before.
        ratios: by which it was pruned.
        after: the thin graph.
    """
    graph, found = candidates.graph, candidates.channels
    group_of = {kernel: group.name for group in found.groups for kernel in group.unit_of}
    before_by_node, after_by_node = counts(graph), counts(after)
    made_before, made_after = shapes(graph), shapes(after)
    layers = [
        PrunedLayer(
            node.name,
            type(node.operation).__name__,
            group_of.get(node.kernel),
            found.fixed.get(node.kernel, ""),
            made_before[node.name][-1],
            made_after[node.name][-1],
            before_by_node[node.name],
            after_by_node[node.name],
        )
        for node in graph.nodes
        if node.kernel is not None
    ]
    return PruningRecord(tuple(layers), dict(ratios), total(graph), total(after))
