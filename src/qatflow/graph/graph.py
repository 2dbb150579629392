"""The graph of a network: nodes in order of execution, their weights, and the scales of quantised tensors."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.families import PASS_THROUGH
from qatflow.graph.kinds import KINDS, Kernel
from qatflow.graph.operations import Conv2D, Operation


@dataclass(frozen=True)
class Node:
    """One operation. Its output tensor has the node's name; its weights are named `<node>/<role>`."""

    name: str
    operation: Operation
    inputs: tuple[str, ...] = ()

    def weight(self, role: str) -> str:
        """Return the name of the node's weight of that role (`kernel`, `bias`, `gamma`, …)."""
        return f"{self.name}/{role}"

    @property
    def kernel(self) -> str | None:
        """Name of the weight that is quantised; None for operations without one."""
        return None if self.layout is None else self.weight(self.layout.role)

    @property
    def layout(self) -> Kernel | None:
        """Layout of that weight; None for operations without one."""
        kind = KINDS.get(type(self.operation))
        return None if kind is None else kind.kernel

    @property
    def groups(self) -> int:
        """In how many parts the channels are read and written, each by itself; 1 for all but grouped convolutions."""
        return self.operation.groups if isinstance(self.operation, Conv2D) else 1

    @property
    def operand(self) -> str | None:
        """Name of the weight that stands, or would stand, in the place of a second tensor; None for other operations.

        Whether the graph has it follows from the number of inputs, and is checked with the shapes.
        """
        kind = KINDS.get(type(self.operation))
        return None if kind is None or kind.operand is None else self.weight(kind.operand.role)

    @property
    def is_depthwise(self) -> bool:
        """Whether the kernel's output channels are its last two axes (in × multiplier) rather than the last one."""
        return self.layout is not None and self.layout.by_itself


@dataclass(frozen=True)
class WeightScale:
    """How a kernel's integers stand for real values: real = integer · scale.

    The integers are −(2^(bits−1)−1) … 2^(bits−1)−1, or these times a power of two within int8 (`bias_steps.py`).

    Attributes:
        bits: width of the integers.
        scale: float32, [1] for one scale per tensor (`abs_max`), [channels] for one per output channel.
    """

    bits: int
    scale: np.ndarray


@dataclass(frozen=True)
class ActivationScale:
    """How an activation's integers stand for real values: real = (integer − zero_point) · scale.

    Attributes:
        bits: width of the integers, −2^(bits−1) … 2^(bits−1)−1.
        scale: step between two integers, a float32 value; None: computed for each input as max|x| / (2^(bits−1)−1), or
            as max|x| / (2^bits−1) with the zero point −2^(bits−1).
        zero_point: the integer that stands for 0; 0 for symmetric quantisation, −2^(bits−1) for a tensor without
            negative values that uses every integer.
    """

    bits: int
    scale: float | None
    zero_point: int = 0


@dataclass(frozen=True)
class Graph:
    """A network that can be stored, cut, optimised and executed.

    Attributes:
        nodes: in an order in which each node comes after its inputs.
        outputs: names of the nodes whose tensors are the result.
        weights: arrays by `<node>/<role>`: float32, or integers (int8 up to 8 bits, int16 above) for kernels that have
            an entry in `weight_scales`.
        weight_scales: scale of each quantised kernel, by the weight's name.
        activation_scales: scale of each quantised tensor, by the node's name.
        in_float: names of the nodes that run in float, even if their tensors have scales.
        frozen: names of the nodes whose weights training leaves as they are.
        moving_statistics: names of the batch-norms that use their moving statistics in training too, and keep them.
        aliases: other names of nodes, such as PaddleSlim's `image` and `fc_0.tmp_2`.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    weights: Mapping[str, np.ndarray]
    weight_scales: Mapping[str, WeightScale] = field(default_factory=dict)
    activation_scales: Mapping[str, ActivationScale] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    in_float: frozenset[str] = frozenset()
    frozen: frozenset[str] = frozenset()
    moving_statistics: frozenset[str] = frozenset()

    def node(self, name: str) -> Node:
        """Return the node with that name, or else with that alias.

        Raises:
            UserError: there is none; the message lists the nearest names.
        """
        for wanted in (name, self.aliases.get(name)):
            for node in self.nodes:
                if node.name == wanted:
                    return node
        known = [*(node.name for node in self.nodes), *self.aliases]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:3]
        raise UserError(f"the graph has no node '{name}'; the nearest names are {', '.join(near)}")

    def consumers(self, name: str) -> list[Node]:
        """Return the nodes that read the tensor `name`."""
        return [node for node in self.nodes if name in node.inputs]

    def kernel_channels(self, node: Node) -> int:
        """Return the number of output channels of a node's kernel."""
        assert node.layout is not None and node.kernel is not None
        return node.layout.channels(self.weights[node.kernel].shape)

    def activation_scale(self, name: str) -> ActivationScale | None:
        """Return the scale of a tensor, or of the tensor whose values it only moves or picks; None if in float."""
        while name not in self.activation_scales:
            node = self.node(name)
            if not isinstance(node.operation, PASS_THROUGH):
                return None
            (name,) = node.inputs
        return self.activation_scales[name]

    def real_weight(self, name: str) -> np.ndarray:
        """Return a weight as real values in float32: integers are multiplied by their scale."""
        values = self.weights[name]
        scale = self.weight_scales.get(name)
        return values if scale is None else values.astype(np.float32) * along_channels(scale.scale, values)

    def in_real_values(self) -> "Graph":
        """Return the float graph whose weights are the real values of the integers."""
        weights = {name: self.real_weight(name) for name in self.weights}
        return replace(self, weights=weights, weight_scales={}, activation_scales={}, in_float=frozenset())

    def with_nodes(self, nodes: Iterable[Node], outputs: tuple[str, ...] | None = None) -> "Graph":
        """Return the graph with these nodes alone; weights, scales and aliases of other nodes are dropped."""
        kept = tuple(nodes)
        names = {node.name for node in kept}
        return replace(
            self,
            nodes=kept,
            outputs=self.outputs if outputs is None else outputs,
            weights={key: value for key, value in self.weights.items() if key.rsplit("/", 1)[0] in names},
            weight_scales={key: value for key, value in self.weight_scales.items() if key.rsplit("/", 1)[0] in names},
            activation_scales={key: value for key, value in self.activation_scales.items() if key in names},
            aliases={key: value for key, value in self.aliases.items() if value in names},
            in_float=self.in_float & names,
            frozen=self.frozen & names,
            moving_statistics=self.moving_statistics & names,
        )


def all_trained(graph: Graph) -> Graph:
    """Return the graph in which training changes every weight."""
    return replace(graph, frozen=frozenset(), moving_statistics=frozenset())


def along_channels(scale: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return `scale` ([1] or [channels]) in a shape that multiplies `kernel` per output channel.

    The output channels are the last axis of a conv or dense kernel, and the last two axes (in × multiplier) of a
    depthwise kernel.
    """
    if scale.size in (1, kernel.shape[-1]):
        return scale
    return scale.reshape(kernel.shape[-2:])
