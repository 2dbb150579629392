"""A block of a transformer in little: norms, attention and GELU between dense layers."""

from dataclasses import replace

import numpy as np

from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    Add,
    Attention,
    Conv2D,
    Dense,
    Gelu,
    GlobalAveragePool,
    GroupNorm,
    Input,
    LayerNorm,
    Operation,
    Reshape,
    Softmax,
    UnitNorm,
)
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.trial.float_ranges import float_ranges


def transformer(classes: int = 2) -> Graph:
    """A block over 16 patches of 2 × 2, with a group-norm before it and lengths of 1 behind it."""
    nodes: list[Node] = [Node("input", Input((8, 8, 1)))]

    def add(name: str, operation: Operation, *inputs: str) -> None:
        nodes.append(Node(name, operation, inputs or (nodes[-1].name,)))

    add("patches", Conv2D((2, 2), "valid"))
    add("group", GroupNorm(2, 1e-3))
    add("tokens", Reshape((16, 6)))
    add("norm", LayerNorm(1e-6))
    for name in ("query", "key", "value"):
        add(name, Dense(), "norm")
    add("attention", Attention(3, 0.5), "query", "key", "value")
    add("projected", Dense())
    add("sum", Add(), "tokens", "projected")
    add("wide", Dense())
    add("gelu", Gelu(approximate=False))
    add("unit", UnitNorm())
    add("picture", Reshape((4, 4, 10)))
    add("pool", GlobalAveragePool(keepdims=False))
    add("logits", Dense())
    add("p", Softmax())
    random = np.random.default_rng(4)
    sizes = {
        "patches/kernel": (2, 2, 1, 6), "group/gamma": (6,), "group/beta": (6,), "norm/gamma": (6,), "norm/beta": (6,),
        "query/kernel": (6, 12), "query/bias": (12,), "key/kernel": (6, 12), "value/kernel": (6, 9),
        "projected/kernel": (9, 6), "wide/kernel": (6, 10), "logits/kernel": (10, classes),
    }  # fmt: skip
    weights = {name: random.normal(0, 1 if "logits" in name else 0.6, size) for name, size in sizes.items()}
    return Graph(tuple(nodes), ("p",), {name: values.astype(np.float32) for name, values in weights.items()})


SETTINGS = replace(QuantSettings.default(), activation_quantize_type="moving_average_min_max")


def int8(graph: Graph, pictures: np.ndarray) -> Graph:
    """The graph with integers and scales as training would place them, by the ranges over these pictures."""
    tensors = quantised_tensors(graph, quantised_kernels(graph))
    return as_if_quantised(graph, SETTINGS, float_ranges(graph, tensors, pictures))
