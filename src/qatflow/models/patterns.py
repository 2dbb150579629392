"""Recognises operations where a model writes them out in arithmetic, and makes one node of each.

So MobileNetV3 has hard-swish, x · relu6(x + 3) / 6 (Howard et al. 2019, arXiv:1905.02244, §5.2), which TensorFlow Lite
computes in one int8 operator instead of three that each round. Exporters to ONNX do so with GELU and layer-norm, and
models in Keras with functions outside of layers. All are found in the graph, whatever it was translated from.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from qatflow.graph.edit import only_consumer
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    Add,
    DepthwiseConv2D,
    Gelu,
    HardSigmoid,
    HardSwish,
    LayerNorm,
    Multiply,
    Operation,
    Relu6,
    Subtract,
)
from qatflow.graph.written_out import Erf, MeanOfLast, Quotient, SquareRoot

SIXTH = HardSigmoid(1 / 6, 0.5)
"""relu6(x + 3) / 6."""


@dataclass(frozen=True)
class Match:
    """What a node is the last part of.

    Attributes:
        operation: what all parts compute together.
        source: the tensor that it reads.
        gone: the other parts.
        weights: of the operation, by role.
    """

    operation: Operation
    source: str
    gone: list[Node]
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)


Matches = Callable[[Graph, Node], Iterator[Match]]


def recognised(graph: Graph) -> Graph:
    """Return the graph with one node in place of each pattern; it has the name of the last of its nodes.

    Only tensors that nothing else reads are replaced. In a quantised graph, that is what stays in float between its
    roundings; hard-swish and hard-sigmoid are left as they are there, since it rounds between their parts.
    """
    patterns: tuple[Matches, ...] = (_gelus, _layer_norms)
    if not graph.activation_scales:
        patterns += (_hard_sigmoids, _products_of_six, _hard_swishes)
    for matches in patterns:
        for name in [node.name for node in graph.nodes]:
            if any(node.name == name for node in graph.nodes):
                graph = _replaced(graph, graph.node(name), matches)
    return graph


def _replaced(graph: Graph, node: Node, matches: Matches) -> Graph:
    for match in matches(graph, node):
        names = {other.name for other in match.gone}
        if names & set(graph.activation_scales):
            continue
        changed = replace(node, operation=match.operation, inputs=(match.source,))
        nodes = [changed if other.name == node.name else other for other in graph.nodes if other.name not in names]
        own = graph.with_nodes(nodes)
        before = {node.operand, node.kernel, node.weight("bias")}
        weights = {name: values for name, values in own.weights.items() if name not in before}
        return replace(own, weights=weights | {node.weight(role): values for role, values in match.weights.items()})
    return graph


def _hard_sigmoids(graph: Graph, node: Node) -> Iterator[Match]:
    """relu6(x + 3) · 1/6."""
    if not _has_constant(graph, node, Multiply, 1 / 6):
        return
    for six, shifted in _six(graph, graph.node(node.inputs[0])):
        yield Match(SIXTH, shifted.inputs[0], [six, shifted])


def _products_of_six(graph: Graph, node: Node) -> Iterator[Match]:
    """(x · relu6(x + 3)) · 1/6."""
    if not _has_constant(graph, node, Multiply, 1 / 6):
        return
    product = graph.node(node.inputs[0])
    if type(product.operation) is Multiply and only_consumer(graph, product) is not None:
        for x, other in _orders(product):
            for six, shifted in _six(graph, graph.node(other)):
                if shifted.inputs == (x,):
                    yield Match(HardSwish(), x, [product, six, shifted])


def _hard_swishes(graph: Graph, node: Node) -> Iterator[Match]:
    """x · hard-sigmoid(x)."""
    if type(node.operation) is Multiply:
        for x, other in _orders(node):
            gate = graph.node(other)
            if gate.operation == SIXTH and gate.inputs == (x,) and only_consumer(graph, gate) is not None:
                yield Match(HardSwish(), x, [gate])


def _six(graph: Graph, six: Node) -> Iterator[tuple[Node, Node]]:
    """Yield the two nodes of relu6(x + 3) if `six` is its last, and nothing else reads either."""
    if type(six.operation) is Relu6 and only_consumer(graph, six) is not None:
        shifted = graph.node(six.inputs[0])
        if _has_constant(graph, shifted, Add, 3.0) and only_consumer(graph, shifted) is not None:
            yield six, shifted


def _gelus(graph: Graph, node: Node) -> Iterator[Match]:
    """x · (1 + erf(x / √2)) · 0.5, in any order of the factors (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""
    if type(node.operation) is not Multiply:
        return
    factors, number, products = _factors(graph, node)
    if len(factors) != 2 or not np.isclose(number, 0.5, rtol=1e-6, atol=0):
        return
    for x, other in (factors, factors[::-1]):
        plus = graph.node(other)
        if not _has_constant(graph, plus, Add, 1.0, 1e-6) or only_consumer(graph, plus) is None:
            continue
        erf = graph.node(plus.inputs[0])
        scaled = graph.node(erf.inputs[0]) if _is(erf, Erf) else plus
        if _has_constant(graph, scaled, Multiply, 0.5**0.5, 1e-6) and scaled.inputs == (x,):
            parts = [scaled, erf, plus, *products]
            if all(only_consumer(graph, part) is not None for part in parts):
                yield Match(Gelu(approximate=False), x, parts)


def _factors(graph: Graph, node: Node) -> tuple[list[str], float, list[Node]]:
    """Return the tensors and the number of which a node is the product, and the products in between."""
    factors, number, products = list[str](), 1.0, list[Node]()
    constant = graph.weights.get(node.operand or "")
    if constant is not None:
        number = float(constant.item()) if constant.size == 1 else np.nan
    for name in node.inputs:
        before = graph.node(name)
        # a quantised model rounds in between
        if type(before.operation) is Multiply and only_consumer(graph, before) is not None:
            inner, times, others = _factors(graph, before)
            if before.name not in graph.activation_scales and len(inner) + len(factors) <= 2:
                factors, number, products = factors + inner, number * times, [*products, before, *others]
                continue
        factors.append(name)
    return factors, number, products


def _layer_norms(graph: Graph, node: Node) -> Iterator[Match]:
    """(x − mean) / √(mean of squares + ε) · γ + β over the last axis (Ba et al. 2016, arXiv:1607.06450)."""
    for quotient, gamma, beta, last in _affine(graph, node):
        if not _is(quotient, Quotient):
            continue
        centred, root = (graph.node(name) for name in quotient.inputs)
        if type(centred.operation) is not Subtract or not _is(root, SquareRoot):
            continue
        added = graph.node(root.inputs[0])
        epsilon = graph.weights.get(added.operand or "")
        if type(added.operation) is not Add or epsilon is None or epsilon.size != 1 or len(centred.inputs) != 2:
            continue
        variance, mean = graph.node(added.inputs[0]), graph.node(centred.inputs[1])
        x = centred.inputs[0]
        if not (_is(variance, MeanOfLast) and _is(mean, MeanOfLast)) or mean.inputs != (x,):
            continue
        square = graph.node(variance.inputs[0])
        if type(square.operation) is not Multiply or square.inputs != (centred.name, centred.name):
            continue
        inner = [mean, square, variance, added, root, quotient, *last]
        both = {reader.name for reader in graph.consumers(centred.name)} == {square.name, quotient.name}
        if both and all(only_consumer(graph, part) is not None for part in inner):
            weights = {"gamma": gamma.ravel(), "beta": beta.ravel()}
            yield Match(LayerNorm(float(epsilon.item())), x, [*inner, centred], weights)


def _affine(graph: Graph, node: Node) -> Iterator[tuple[Node, np.ndarray, np.ndarray, list[Node]]]:
    """Yield the node that is multiplied by a number per channel before another is added, the two, and the product."""
    if type(node.operation) is Add and node.operation.activation is None and len(node.inputs) == 1:
        product = graph.node(node.inputs[0])
        gamma, beta = (graph.weights.get(part.operand or "") for part in (product, node))
        if type(product.operation) is not Multiply or gamma is None or beta is None or len(product.inputs) != 1:
            return
        if gamma.size == gamma.shape[-1] == beta.size == beta.shape[-1]:
            yield graph.node(product.inputs[0]), gamma, beta, [product]
    elif node.operation == DepthwiseConv2D((1, 1), "valid"):  # a product with a factor per channel is one
        kernel, bias = graph.weights[node.kernel or ""], graph.weights.get(node.weight("bias"))
        if kernel.size == kernel.shape[2] and bias is not None:
            yield graph.node(node.inputs[0]), kernel, bias, []


def _is(node: Node, part: type) -> bool:
    return type(node.operation) is part


def _orders(node: Node) -> list[tuple[str, str]]:
    """Return the two inputs of a node in both orders; nothing for a node with one."""
    return [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])] if len(node.inputs) == 2 else []


def _has_constant(graph: Graph, node: Node, kind: type, value: float, near: float = 3e-7) -> bool:
    """Return whether a node combines its only input with one number, as near as float32 has it."""
    if type(node.operation) is not kind or getattr(node.operation, "activation", None) is not None:
        return False
    constant = graph.weights.get(node.operand or "")
    return constant is not None and constant.size == 1 and bool(np.isclose(constant.item(), value, rtol=near, atol=0))
