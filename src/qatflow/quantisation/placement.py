"""Which tensors of a graph are quantised, and how.

Each tensor that an int8 kernel will read or write gets one quantiser, behind the operation that computes it and behind
what the device fuses into that operation (batch-norm, then ReLU or ReLU6). PaddleSlim quantises only the inputs of
conv, depthwise conv and dense layers; the sums, means and logits between them would then run in float on the device.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from qatflow.config.recipe.calibration import CalibrationMethod
from qatflow.config.recipe.recipe import FirstScale, QuantizationStrategySection
from qatflow.graph.families import CLIPPING, FIXED_GRID, FLOAT_ONLY, FUSED, ONE_GRID, PASS_THROUGH, REMOVED
from qatflow.graph.float_layers import rescaled_pictures
from qatflow.graph.graph import Graph, Node
from qatflow.graph.head import head_of
from qatflow.graph.kinds import QUANTISED_KERNEL, kind_of
from qatflow.graph.layer_texts import is_named
from qatflow.graph.operations import BatchNorm, Conv2D, Conv2DTranspose, Dense, DepthwiseConv2D, Input, Relu, Relu6
from qatflow.quantisation.grids import WIDEST_FROM_ZERO, Fit

OPERATION_TYPES: dict[str, tuple[type, ...]] = {
    "conv2d": (Conv2D, Conv2DTranspose), "depthwise_conv2d": (DepthwiseConv2D,), "mul": (Dense,),
}  # fmt: skip


@dataclass(frozen=True)
class QuantSettings:
    """What a QuantizationStrategy asks for; names and values are those of the compress YAML."""

    weight_bits: int | Mapping[str, int]
    activation_bits: int | Mapping[str, int]
    weight_quantize_type: str
    activation_quantize_type: str
    quantizable_op_type: tuple[str, ...] = tuple(OPERATION_TYPES)
    skip_pattern: tuple[str, ...] = ()
    full_range: bool = True
    calibration_method: CalibrationMethod = "max"
    clip_decay: float = 1e-4
    first_weight_scale: FirstScale = "mean"

    @staticmethod
    def default() -> "QuantSettings":
        """Return the settings of a strategy in which no key is set."""
        return QuantSettings.of(QuantizationStrategySection.model_validate({"class": "QuantizationStrategy"}))

    @staticmethod
    def of(strategy: QuantizationStrategySection) -> "QuantSettings":
        """Return the settings of a strategy of the compress YAML."""
        return QuantSettings(
            strategy.weight_bits,
            strategy.activation_bits,
            strategy.weight_quantize_type,
            strategy.activation_quantize_type,
            tuple(strategy.quantizable_op_type),
            tuple(strategy.skip_pattern),
            strategy.full_range,
            strategy.calibration_method,
            strategy.clip_decay,
            strategy.first_weight_scale,
        )


def quantised_kernels(
    graph: Graph, types: Collection[str] = tuple(OPERATION_TYPES), skip: Collection[str] = ()
) -> dict[str, str]:
    """Return the weight name of each quantised kernel, by its node's name.

    Args:
        graph: the float graph.
        types: kinds of layers that are quantised, by PaddleSlim's names for them.
        skip: layers whose name contains one of these texts stay in float.
    """
    wanted = tuple(kind for name in types for kind in OPERATION_TYPES[name])
    return {
        node.name: node.kernel
        for node in graph.nodes
        if node.kernel is not None and isinstance(node.operation, wanted) and not is_named(node.name, skip)
    }


def quantised_operands(graph: Graph, kernels: Collection[str], skip: Collection[str] = ()) -> dict[str, str]:
    """Return the name of each weight that an int8 kernel reads in the place of a second tensor, by its node's name.

    Args:
        graph: the float graph.
        kernels: names of the nodes whose kernels are quantised.
        skip: layers whose name contains one of these texts stay in float.
    """
    runs = _Runs(graph, frozenset(kernels), tuple(skip), head_of(graph).activation, rescaled_pictures(graph))
    return {
        node.name: node.operand
        for node in graph.nodes
        if node.operand is not None and node.operand in graph.weights and has_own_scale(node) and runs.int8(node)
    }


def has_own_scale(node: Node) -> bool:
    """Return whether the weight in the place of a second tensor is quantised by itself, not to the output's scale."""
    operand = kind_of(node.operation).operand
    return operand is not None and operand.own_scale


def quantised_tensors(graph: Graph, kernels: Collection[str], skip: Collection[str] = ()) -> set[str]:
    """Return the names of the nodes whose output tensor is quantised.

    Args:
        graph: the float graph.
        kernels: names of the nodes whose kernels are quantised.
        skip: layers whose name contains one of these texts stay in float, with a kernel or without.
    """
    runs = _Runs(graph, frozenset(kernels), tuple(skip), head_of(graph).activation, rescaled_pictures(graph))
    return {node.name for node in graph.nodes if runs.ends_a_group(node) and (runs.int8(node) or runs.feeds_int8(node))}


def shared_scales(graph: Graph, bits: Mapping[str, int]) -> dict[str, str]:
    """Return, for each tensor without a scale of its own, the node behind it whose scale it has, by node names.

    The kernels of a concatenation, a maximum and a minimum copy or pick, so their inputs need the scale of their
    output. An input of the same width that nothing else reads is written with that scale at once; any other is
    requantised on the device.

    Args:
        graph: the float graph.
        bits: width of each quantised tensor, by the name of its node.
    """
    links: dict[str, str] = {}
    for node in graph.nodes:
        consumers = graph.consumers(node.name)
        alone = len(consumers) == 1 and node.name not in graph.outputs and type(node.operation) not in FIXED_GRID
        behind = consumers[0].name if alone else ""
        if {node.name, behind} <= set(bits) and isinstance(consumers[0].operation, ONE_GRID):
            links |= {node.name: behind} if bits[node.name] == bits[behind] else {}
    return {name: _last(links, name) for name in links}


def fits(settings: QuantSettings, bits: Mapping[str, int], never_negative: Collection[str]) -> Mapping[str, Fit]:
    """Return how the integers fit the range of each tensor, by its node's name.

    Args:
        settings: how the graph is quantised.
        bits: width of each quantised tensor, by the name of its node.
        never_negative: names of the nodes whose tensors have no value below 0.
    """
    if settings.activation_quantize_type == "moving_average_min_max":
        return dict.fromkeys(bits, "both_ends")
    full = {name for name, width in bits.items() if settings.full_range and width <= WIDEST_FROM_ZERO}
    return {name: "from_zero" if name in full and name in never_negative else "around_zero" for name in bits}


def nodes_in_float(graph: Graph, skip: Collection[str]) -> frozenset[str]:
    """Return the names of the nodes without a kernel that run in float, whatever is quantised around them.

    Args:
        graph: the float graph.
        skip: texts in the names of layers that stay in float. Operations that only move values follow their neighbours.
    """
    last, rescaled = head_of(graph).activation, rescaled_pictures(graph)
    return frozenset(
        node.name
        for node in graph.nodes
        if not isinstance(node.operation, (Input, *PASS_THROUGH))
        and (
            isinstance(node.operation, FLOAT_ONLY)
            or node.name in rescaled
            or node.name == last
            or (node.kernel is None and is_named(node.name, skip))
        )
    )


def _last(links: dict[str, str], name: str) -> str:
    while name in links:
        name = links[name]
    return name


@dataclass(frozen=True)
class _Runs:
    """Tells which nodes run in int8.

    Attributes:
        graph: the float graph.
        kernels: names of the nodes whose kernels are quantised.
        skip: texts in the names of what stays in float.
        last: name of the final softmax or sigmoids, which stay in float; None where there are none.
        rescaled: names of the nodes that rescale the pictures, in float.
    """

    graph: Graph
    kernels: frozenset[str]
    skip: tuple[str, ...]
    last: str | None
    rescaled: frozenset[str]

    def ends_a_group(self, node: Node) -> bool:
        """Return whether the device has the node's tensor, which is not folded or fused into what follows."""
        if isinstance(node.operation, PASS_THROUGH):
            return False
        readers = self.readers(node)
        if len(readers) != 1:
            return True
        follower = readers[0].operation
        if isinstance(follower, BatchNorm):
            return type(node.operation) not in QUANTISED_KERNEL
        if isinstance(follower, Relu | Relu6):
            fused = isinstance(node.operation, (BatchNorm, *CLIPPING))
            return not fused or is_named(readers[0].name, self.skip)
        return True

    def int8(self, node: Node) -> bool:
        """Return whether the group that ends with the node runs in int8, as all do that are not kept in float."""
        first = node
        while isinstance(first.operation, (*FUSED, *REMOVED)):
            if isinstance(first.operation, Relu | Relu6) and is_named(first.name, self.skip):
                return False
            first = self.graph.node(first.inputs[0])
        if first.name == self.last or is_named(first.name, self.skip):
            return False
        if isinstance(first.operation, FLOAT_ONLY) or first.name in self.rescaled:
            return False
        return first.name in self.kernels or type(first.operation) not in (*QUANTISED_KERNEL, Input)

    def feeds_int8(self, node: Node) -> bool:
        """Return whether an int8 operation reads the tensor, directly or through operations that pass it on."""
        return any(
            self.feeds_int8(consumer) if isinstance(consumer.operation, PASS_THROUGH) else self.int8(consumer)
            for consumer in self.graph.consumers(node.name)
        )

    def readers(self, node: Node) -> list[Node]:
        """Return the nodes that read the node's tensor on the device."""
        readers = []
        for consumer in self.graph.consumers(node.name):
            readers += self.readers(consumer) if isinstance(consumer.operation, REMOVED) else [consumer]
        return readers
