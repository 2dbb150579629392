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
        group: name of the group of its output channels, which is the kernel of the group's first layer; None where they
            must stay, and for a depthwise convolution, whose channels are those of its input.
        fixed: why they must stay; an empty text where they may go.
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
    """The record of one pruning.

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
        """Return the record as plain JSON values."""
        return asdict(self)

    def text(self) -> str:
        """Return the result in one line."""
        before, after = self.before, self.after
        multiply_adds_gone = 100 * (1 - after.multiply_adds / before.multiply_adds)
        parameters_gone = 100 * (1 - after.parameters / before.parameters)
        thinner = sum(layer.channels_after < layer.channels_before for layer in self.layers)
        return (
            f"pruned: {thinner} of {len(self.layers)} layers thinner, {multiply_adds_gone:.1f} % of the "
            f"multiply-adds and {parameters_gone:.1f} % of the parameters are gone ({after.multiply_adds / 1e6:.2f} M "
            f"and {after.parameters / 1e6:.3f} M are left)"
        )


def pruning_record(candidates: Candidates, ratios: Mapping[str, float], after: Graph) -> PruningRecord:
    """Return the record of a pruning.

    Args:
        candidates: of the graph before.
        ratios: share of the units that went, by group.
        after: the thin graph.
    """
    graph, channels = candidates.graph, candidates.channels
    group_of = {kernel: group.name for group in channels.groups for kernel in group.unit_of}
    before_by_node, after_by_node = counts(graph), counts(after)
    shapes_before, shapes_after = shapes(graph), shapes(after)
    layers = [
        PrunedLayer(
            node.name,
            type(node.operation).__name__,
            group_of.get(node.kernel),
            channels.fixed.get(node.kernel, ""),
            shapes_before[node.name][-1],
            shapes_after[node.name][-1],
            before_by_node[node.name],
            after_by_node[node.name],
        )
        for node in graph.nodes
        if node.kernel is not None
    ]
    return PruningRecord(tuple(layers), dict(ratios), total(graph), total(after))
