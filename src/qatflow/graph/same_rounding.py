"""Scales of a graph at which its int8 kernels round in the same way on ARM and x86; see `device_rounding.py`."""

from collections.abc import Hashable, Mapping
from math import prod

import numpy as np

from qatflow.graph.device_rounding import (
    Check,
    hard_swishes_agree,
    means_agree,
    products_agree,
    settle,
    tangents_agree,
)
from qatflow.graph.families import FIXED_GRID
from qatflow.graph.graph import Graph, Node
from qatflow.graph.kernel_bounds import with_scales
from qatflow.graph.kinds import Shape
from qatflow.graph.operations import GlobalAveragePool, HardSwish, Multiply, Tanh
from qatflow.graph.operator_bits import NARROW
from qatflow.graph.passes import run_all
from qatflow.graph.shapes import shapes

KINDS = (Multiply, GlobalAveragePool, HardSwish, Tanh)


def settled(graph: Graph) -> Graph:
    """Return the graph with the nearest scales at which ARM and x86 round alike, where there are any.

    Tensors that share a scale object still share one. Zero points stay as they are. What no scale helps is found in the
    .tflite file (`tflite/rounding.py`).

    Args:
        graph: quantised, before any pass. Scales computed for each input, and scales of widths that no kernel has, stay
            as they are.
    """
    folded, _ = run_all(graph)
    known = shapes(folded)
    # passes rename tensors, and keep the objects; tensors that share a scale share its object
    scales: dict[Hashable, float] = {
        id(own): own.scale for own in folded.activation_scales.values() if own.bits == NARROW and own.scale is not None
    }
    fixed = {id(folded.activation_scales.get(n.name)) for n in folded.nodes if type(n.operation) in FIXED_GRID}
    nodes = [node for node in folded.nodes if isinstance(node.operation, KINDS)]
    checks = [_check(folded, node, scales, known, fixed) for node in nodes]
    settle(scales, [check for check in checks if check is not None])
    return with_scales(graph, scales)


def _check(
    graph: Graph, node: Node, scales: Mapping[Hashable, float], known: Mapping[str, Shape], fixed: set[int]
) -> Check | None:
    """Return how the node's rounding depends on scales; None if it runs in float."""
    owners = [graph.activation_scale(name) for name in (node.name, *node.inputs)]
    grids = [own for own in owners if own is not None and id(own) in scales]
    if node.name in graph.in_float or len(grids) != len(owners):
        return None
    keys = [id(own) for own in grids]
    adjustable = tuple(key for key in dict.fromkeys(keys) if key not in fixed)
    operation, weight = node.operation, node.operand if node.operand in graph.weights else None

    def agrees(at: Mapping[Hashable, float]) -> bool:
        output, *inputs = ((at[id(own)], own.zero_point) for own in grids)
        match operation:
            case Multiply():
                if weight is None:
                    return products_agree(inputs[0], inputs[-1], output)
                constant = (float(graph.weight_scales[weight].scale[0]), 0)
                return products_agree(inputs[0], constant, output, _integers(graph.weights[weight]))
            case GlobalAveragePool():
                return means_agree(inputs[0], output, prod(known[node.inputs[0]][:-1]))
            case HardSwish():
                return hard_swishes_agree(inputs[0], output)
            case _:
                return tangents_agree(inputs[0])

    return Check(node.name, frozenset(keys), adjustable, agrees)


def _integers(weight: np.ndarray) -> list[int]:
    return [int(value) for value in np.unique(weight)]
