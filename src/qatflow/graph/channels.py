"""Which channels of a graph can only be removed together.

Each output channel of a convolution or dense layer is followed through the graph. Operations that treat each channel
separately pass it on: batch-norm, activations, pools, padding, and depthwise convolutions, whose `multiplier` output
channels belong to the channel they read. A grouped convolution ties the channels at the same place of its groups. Sums
and products tie the channels of their inputs, whatever their ranks; a single channel that is broadcast to all channels
is tied to none and stays. A weight in the place of a second tensor (a constant, the slopes of a PReLU) has a value per
channel or is broadcast; it gets thinner like a bias. A concatenation puts channels behind one another, and flattening
repeats them for each pixel. `kinds.py` says what each operation does. Channels that are tied are removed together or
not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from qatflow.graph.graph import Graph, Node
from qatflow.graph.kinds import Shape, kind_of
from qatflow.graph.operations import Crop, Permute
from qatflow.graph.shapes import shapes

NEVER = -1
"""Stands for a unit's number where a channel cannot be removed."""


@dataclass(frozen=True)
class ChannelGroup:
    """Layers whose output channels can only be removed together.

    A unit is a set of channels that are removed as one: usually one channel of each layer, several where a depthwise
    multiplier or a concatenation ties them.

    Attributes:
        name: kernel of the first layer, which names the group.
        size: number of units.
        unit_of: unit of each output channel, int [channels], by kernel (conv and dense), in the order of the layers.
    """

    name: str
    size: int
    unit_of: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Channels:
    """What can be removed from a graph.

    Attributes:
        groups: what can be removed, in the order of the graph.
        fixed: why the channels of a kernel must stay, by kernel, for those in no group.
        counted: why the number of a kernel's channels cannot become another one in a network that starts anew, by
            kernel, for those in a group: a constant has a value for each.
        of_tensor: for each channel of each node's tensor, the position of its unit among all units (those of the
            first group, then those of the second, …), or NEVER; int [channels], by the node's name.
    """

    groups: tuple[ChannelGroup, ...]
    fixed: Mapping[str, str]
    of_tensor: Mapping[str, np.ndarray]
    counted: Mapping[str, str] = field(default_factory=dict)


def channels(graph: Graph) -> Channels:
    """Return which channels can be removed, and which others must be removed with each.

    The channels of the input pictures and of the graph's outputs stay, as do those that the kernel of a frozen layer
    makes or reads, and all channels tied to any of them. A frozen layer without a kernel (batch-norm, for example) has
    a value per channel: it loses those of the channels that go, and keeps the others.
    """
    trace = _Trace(graph, shapes(graph))
    for node in graph.nodes:
        trace.add(node)
    for name in graph.outputs:
        trace.fix(trace.of_tensor[name], f"'{name}' is an output of the graph")
    return trace.result()


@dataclass
class _Trace:
    """Channels numbered in order of appearance, the ties between them, and the reasons why some must stay."""

    graph: Graph
    known: dict[str, Shape]
    count: int = 0
    of_tensor: dict[str, np.ndarray] = field(default_factory=dict)
    of_kernel: dict[str, np.ndarray] = field(default_factory=dict)
    ties: list[np.ndarray] = field(default_factory=list)
    reasons: list[tuple[np.ndarray, str]] = field(default_factory=list)
    counted: list[tuple[np.ndarray, str]] = field(default_factory=list)

    def new(self, number: int) -> np.ndarray:
        self.count += number
        return np.arange(self.count - number, self.count)

    def fix(self, numbers: np.ndarray, reason: str) -> None:
        self.reasons.append((numbers, reason))

    def tie(self, first: np.ndarray, second: np.ndarray) -> None:
        self.ties.append(np.stack([first, second]))

    def add(self, node: Node) -> None:
        sources = [self.of_tensor[name] for name in node.inputs]
        self.of_tensor[node.name] = self._output_channels(node, sources)
        if node.kernel is not None and node.name in self.graph.frozen:
            self.fix(self.of_tensor[node.name], f"'{node.name}' is frozen")
            self.fix(sources[0], f"'{node.name}', which reads them, is frozen")

    def _output_channels(self, node: Node, sources: list[np.ndarray]) -> np.ndarray:
        number = self.known[node.name][-1]
        match kind_of(node.operation).channels:
            case "pictures":
                numbers = self.new(number)
                self.fix(numbers, "they are those of the pictures")
                return numbers
            case "new":
                assert node.kernel is not None
                made = self.of_kernel[node.kernel] = self.new(number)
                for numbers in (sources[0], made):
                    self._tie_groups(numbers, node.groups)
                return made
            case "multiplied":
                return np.repeat(sources[0], number // len(sources[0]))
            case "joined":
                along_channels = node.operation.axis == -1  # type: ignore[union-attr]
                return np.concatenate(sources) if along_channels else self._combined(node, number, sources)
            case "part":
                return self._part(node, number, sources[0])
            case "together":
                return self._combined(node, number, sources)
            case "reshaped":
                return self._reshaped(node, number, sources[0])
            case "permuted":
                return self._permuted(node, number, sources[0])
            case "mixed":
                reason = f"the {type(node.operation).__name__.lower()} '{node.name}' is over all of them"
                for source in sources:
                    self.fix(source, reason)
                return sources[-1]
            case "each":
                return sources[0]

    def _combined(self, node: Node, number: int, sources: list[np.ndarray]) -> np.ndarray:
        full = [source for source in sources if len(source) == number]
        operand = kind_of(node.operation).operand
        values = None if operand is None else self.graph.weights.get(node.weight(operand.role))
        if operand is not None and values is not None and values.shape[-1] == number > 1:
            if not full:
                full = [self.new(number)]
                self.fix(full[0], f"they are those of the {operand.role} of '{node.name}'")
            elif not operand.trained:
                self.counted.append((full[0], f"'{node.name}' has a constant for each of them"))
        for source in sources:
            if len(source) != number:
                self.fix(source, f"'{node.name}' applies the only one to every channel")
        for source in full[1:]:
            self.tie(full[0], source)
        return full[0]

    def _part(self, node: Node, number: int, source: np.ndarray) -> np.ndarray:
        assert isinstance(node.operation, Crop)
        if len(source) != number:  # with fewer channels, the same numbers would cut elsewhere
            self.fix(source, f"'{node.name}' takes {number} of them, by their places")
        first = node.operation.channels[0]
        return source[first : first + number]

    def _permuted(self, node: Node, number: int, source: np.ndarray) -> np.ndarray:
        assert isinstance(node.operation, Permute)
        if node.operation.axes[-1] == len(node.operation.axes) - 1:
            return source
        made = self.new(number)
        for numbers in (source, made):
            self.fix(numbers, f"'{node.name}' makes them rows or columns")
        return made

    def _tie_groups(self, numbers: np.ndarray, groups: int) -> None:
        """Tie the channels at the same place of every group: groups stay equally large if all lose the same places."""
        first, *others = numbers.reshape(groups, -1)
        for group in others:
            self.tie(first, group)

    def _reshaped(self, node: Node, number: int, source: np.ndarray) -> np.ndarray:
        elements = np.broadcast_to(source, self.known[node.inputs[0]]).reshape(-1, number)
        if (elements == elements[0]).all():
            return elements[0].copy()
        mixed = self.new(number)
        for numbers in (source, mixed):
            self.fix(numbers, f"'{node.name}' lays channels and places into one another")
        return mixed

    def result(self) -> Channels:
        unit = self._joined(self.ties)
        # the channels of a kernel belong to one group, and so does everything tied to any of them
        rows = [np.stack([numbers[:-1], numbers[1:]]) for numbers in self.of_kernel.values()]
        group = self._joined([*self.ties, *rows])
        why, counted = _by_label(group, self.reasons), _by_label(group, self.counted)
        members: dict[int, list[str]] = {}
        for kernel, numbers in self.of_kernel.items():
            members.setdefault(int(group[numbers[0]]), []).append(kernel)
        place = np.full(self.count, NEVER)  # of each unit among all units, by label
        groups, first = [], 0
        for label, kernels in members.items():
            if label in why:
                continue
            labels = [unit[self.of_kernel[kernel]] for kernel in kernels]
            every = list(dict.fromkeys(np.concatenate(labels).tolist()))
            place[every] = np.arange(first, first + len(every))
            unit_of = {kernel: place[own] - first for kernel, own in zip(kernels, labels, strict=True)}
            groups.append(ChannelGroup(kernels[0], len(every), unit_of))
            first += len(every)
        fixed = {kernel: why[label] for label, kernels in members.items() if label in why for kernel in kernels}
        of_tensor = {name: place[unit[numbers]] for name, numbers in self.of_tensor.items()}
        held = {
            kernel: counted[label]
            for label, kernels in members.items()
            if label in counted and label not in why
            for kernel in kernels
        }
        return Channels(tuple(groups), fixed, of_tensor, held)

    def _joined(self, ties: list[np.ndarray]) -> np.ndarray:
        """Return a label for each channel; channels that ties connect, directly or indirectly, have the same one."""
        first, second = np.concatenate([np.empty((2, 0), int), *ties], axis=1)
        # here, since importing it takes a quarter of a second, and most jobs prune nothing
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        links = coo_array((np.ones(first.size, bool), (first, second)), shape=(self.count, self.count))
        return connected_components(links, directed=False)[1]


def _by_label(labels: np.ndarray, reasons: list[tuple[np.ndarray, str]]) -> dict[int, str]:
    """Return the first reason for each label of channels."""
    first: dict[int, str] = {}
    for numbers, reason in reasons:
        for label in np.unique(labels[numbers]):
            first.setdefault(int(label), reason)
    return first
