"""Recognises GELU and layer-norm where an exporter writes them out in nodes of arithmetic, and makes one node of each.

Exporters do so for versions of the operators that lack them (LayerNormalization came with version 17, Gelu with 20).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qatflow.models.onnx.folded import OnnxNode


def recognised(
    nodes: Sequence[OnnxNode], constants: Mapping[str, np.ndarray], result: str, ranks: Mapping[str, int]
) -> tuple[OnnxNode, ...]:
    """Return the nodes with one in place of each pattern, at the place of its last node.

    Args:
        nodes: of the model, in order.
        constants: arrays by tensor name.
        result: name of the model's output.
        ranks: number of axes of each tensor.
    """
    net = _Net(nodes, constants, result, ranks)
    changed: dict[str, OnnxNode | None] = {}
    for node in nodes:
        for match in (_gelu, _layer_norm):
            found = match(net, node)
            if found is not None:
                changed |= {gone.outputs[0]: None for gone in found.parts}
                changed[found.node.outputs[0]] = found.node
    kept = (changed.get(node.outputs[0], node) for node in nodes)
    return tuple(node for node in kept if node is not None)


@dataclass(frozen=True)
class _Match:
    node: OnnxNode
    parts: list[OnnxNode]


class _Net:
    """Finds the nodes before and behind a node."""

    def __init__(
        self, nodes: Sequence[OnnxNode], constants: Mapping[str, np.ndarray], result: str, ranks: Mapping[str, int]
    ):
        self.constants, self.result, self.ranks = constants, result, ranks
        self._makes = {name: node for node in nodes for name in node.outputs}
        self._reads: dict[str, list[OnnxNode]] = {}
        for node in nodes:
            for name in node.inputs:
                self._reads.setdefault(name, []).append(node)

    def before(self, name: str, *kinds: str) -> OnnxNode | None:
        """Return the node that makes a tensor, if it is of one of these kinds."""
        node = self._makes.get(name)
        return node if node is not None and node.kind in kinds else None

    def only_reader(self, node: OnnxNode, *kinds: str) -> OnnxNode | None:
        """Return the only node that reads a node's tensor, if it is of one of these kinds."""
        readers = self._reads.get(node.outputs[0], [])
        alone = len(readers) == 1 and node.outputs[0] != self.result
        return readers[0] if alone and readers[0].kind in kinds else None

    def number(self, name: str) -> float | None:
        """Return the value of a constant of one number."""
        values = self.constants.get(name)
        return float(values.item()) if values is not None and values.size == 1 else None

    def with_number(self, node: OnnxNode | None, value: float) -> str | None:
        """Return the tensor that a node of two inputs combines with that number, as near as float32 has it."""
        if node is None or len(node.inputs) != 2:
            return None
        for place, name in enumerate(node.inputs):
            number = self.number(name)
            if number is not None and np.isclose(number, value, rtol=1e-6, atol=0):
                return node.inputs[1 - place] if node.kind in ("Add", "Mul") or place == 1 else None
        return None

    def over_last(self, node: OnnxNode | None) -> bool:
        """Return whether a ReduceMean is over the last axis alone, which stays."""
        if node is None or not node.attributes.get("keepdims", 1):
            return False
        axes = node.attributes.get("axes")
        if axes is None and node.has(1) and node.inputs[1] in self.constants:
            axes = self.constants[node.inputs[1]].ravel().tolist()
        rank = self.ranks.get(node.inputs[0], 0)
        return axes is not None and list(axes) in ([-1], [rank - 1])


def _gelu(net: _Net, erf: OnnxNode) -> _Match | None:
    """x · (1 + erf(x / √2)) · 0.5, in any order of the factors (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""
    if erf.kind != "Erf":
        return None
    scaled = net.before(erf.inputs[0], "Div", "Mul")
    x = net.with_number(scaled, 2**0.5 if scaled is not None and scaled.kind == "Div" else 0.5**0.5)
    plus = net.only_reader(erf, "Add")
    if x is None or scaled is None or plus is None or net.with_number(plus, 1.0) is None:
        return None
    if net.only_reader(scaled, "Erf") is None:
        return None
    parts, last, factors = [scaled, erf, plus], plus, [x, 0.5]
    while factors:
        product = net.only_reader(last, "Mul")
        if product is None:
            return None
        other = next(name for name in product.inputs if name != last.outputs[0])
        half = net.before(other, "Mul")
        if other in factors:
            factors.remove(other)
        elif 0.5 in factors and net.with_number(product, 0.5) is not None:
            factors.remove(0.5)
        elif (
            len(factors) == 2 and half is not None and net.with_number(half, 0.5) == x and net.only_reader(half, "Mul")
        ):
            parts.append(half)
            factors = []
        else:
            return None
        parts.append(product)
        last = product
    return _Match(replace(last, kind="Gelu", inputs=(x,), attributes={}), parts)


def _layer_norm(net: _Net, total: OnnxNode) -> _Match | None:
    """(x − mean) / √(mean of squares + ε) · γ + β over the last axis (Ba et al. 2016, arXiv:1607.06450)."""
    if total.kind != "Add":
        return None
    beta = next((name for name in total.inputs if name in net.constants), None)
    product = next((net.before(name, "Mul") for name in total.inputs if name != beta), None)
    if beta is None or product is None:
        return None
    gamma = next((name for name in product.inputs if name in net.constants), None)
    quotient = next((net.before(name, "Div") for name in product.inputs if name != gamma), None)
    if gamma is None or quotient is None:
        return None
    centred, root = net.before(quotient.inputs[0], "Sub"), net.before(quotient.inputs[1], "Sqrt")
    if centred is None or root is None:
        return None
    mean, added = net.before(centred.inputs[1], "ReduceMean"), net.before(root.inputs[0], "Add")
    variance = (
        next((net.before(name, "ReduceMean") for name in added.inputs if name not in net.constants), None)
        if added
        else None
    )
    epsilon = next((net.number(name) for name in added.inputs if name in net.constants), None) if added else None
    if mean is None or variance is None or epsilon is None or added is None:
        return None
    square = net.before(variance.inputs[0], "Pow")
    x = centred.inputs[0]
    if (
        square is None
        or net.with_number(square, 2.0) != centred.outputs[0]
        or mean.inputs[0] != x
        or not (net.over_last(mean) and net.over_last(variance))
    ):
        return None
    parts = [mean, centred, square, variance, added, root, quotient, product, total]
    inner = [mean, square, variance, added, root, quotient, product]
    if any(net.only_reader(part, "Sub", "ReduceMean", "Add", "Sqrt", "Div", "Mul") is None for part in inner):
        return None
    node = replace(
        total, kind="LayerNormalization", inputs=(x, gamma, beta), attributes={"axis": -1, "epsilon": epsilon}
    )
    return _Match(node, parts)
