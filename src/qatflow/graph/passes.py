"""The passes that make a graph smaller without changing what it computes, and the order in which they run.

Each pass returns the changed graph and one line for each change it made; graphs are never changed in place.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qatflow.graph.edit import absorb, only_consumer
from qatflow.graph.families import CLIPPING, REMOVED
from qatflow.graph.graph import Graph, Node, WeightScale, along_channels
from qatflow.graph.kinds import Shape, reach, same_padding
from qatflow.graph.operations import BatchNorm, Conv2D, DepthwiseConv2D, FusedActivation, Pad, Relu, Relu6
from qatflow.graph.shapes import shapes

Pass = Callable[[Graph], tuple[Graph, list[str]]]


def run_all(graph: Graph) -> tuple[Graph, dict[str, list[str]]]:
    """Run every pass of `PASSES` in order; return the graph and, by pass, a line for each change."""
    done = {}
    for name, apply in PASSES.items():
        graph, done[name] = apply(graph)
    return graph, done


def remove_identity(graph: Graph) -> tuple[Graph, list[str]]:
    """Remove identities and dropout, which do nothing once training is over."""
    done = []
    for node in graph.nodes:
        if isinstance(node.operation, REMOVED):
            source = graph.node(graph.node(node.name).inputs[0])
            graph = absorb(graph, node, source)
            done.append(f"{node.name} removed")
    return graph, done


def fold_padding(graph: Graph) -> tuple[Graph, list[str]]:
    """Turn the zeros around a picture before a convolution into the convolution's own `same` padding, where equal."""
    done = []
    sizes = shapes(graph)
    for name in [node.name for node in graph.nodes if isinstance(node.operation, Pad)]:
        pad = graph.node(name)
        conv = only_consumer(graph, pad)
        if conv is None or not _is_same(pad, conv, graph, sizes[pad.inputs[0]]):
            continue
        graph = absorb(graph, pad, graph.node(pad.inputs[0]))
        conv = graph.node(conv.name)
        assert isinstance(conv.operation, Conv2D | DepthwiseConv2D)
        folded = replace(conv, operation=replace(conv.operation, padding="same"))
        graph = graph.with_nodes([folded if n.name == conv.name else n for n in graph.nodes])
        done.append(f"{pad.name} folded into {conv.name}")
    return graph, done


def _is_same(pad: Node, conv: Node, graph: Graph, source: Shape) -> bool:
    zeros, operation = pad.operation, conv.operation
    assert isinstance(zeros, Pad)
    if zeros.lowest or not isinstance(operation, Conv2D | DepthwiseConv2D) or operation.padding != "valid":
        return False
    assert conv.kernel is not None
    window = graph.weights[conv.kernel].shape[:2]
    covered = [reach(*axis) for axis in zip(window, operation.dilations, strict=True)]
    wanted = [same_padding(*axis) for axis in zip(source[:2], covered, operation.strides, strict=True)]
    return wanted == [zeros.rows, zeros.columns]


def fold_batch_norm(graph: Graph) -> tuple[Graph, list[str]]:
    """Fold each batch-norm into the convolution, depthwise convolution or dense layer before it.

    With m = gamma / sqrt(variance + epsilon): kernel' = kernel · m, bias' = beta + (bias − mean) · m, per output
    channel (Jacob et al. 2018, arXiv:1712.05877, §3.2). A quantised kernel keeps the integers of training: its scale
    becomes scale · |m|, and the integers of a channel with negative m change their sign.
    """
    done = []
    for node in graph.nodes:
        if node.kernel is None:
            continue
        follower = only_consumer(graph, node)
        if follower is not None and isinstance(follower.operation, BatchNorm):
            graph = _fold(graph, node, follower, follower.operation)
            done.append(f"{follower.name} folded into {node.name}")
    return graph, done


def _fold(graph: Graph, node: Node, norm: Node, operation: BatchNorm) -> Graph:
    kernel_name = node.kernel
    assert kernel_name is not None
    gamma, beta, mean, variance = (
        graph.weights[norm.weight(role)].astype(np.float64)
        for role in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    factor = gamma / np.sqrt(variance + operation.epsilon)
    bias_name = node.weight("bias")
    bias = graph.weights[bias_name].astype(np.float64) if bias_name in graph.weights else 0.0
    weights = dict(graph.weights)
    weights[bias_name] = (beta + (bias - mean) * factor).astype(np.float32)
    scales = dict(graph.weight_scales)
    kernel = weights[kernel_name]
    known = scales.get(kernel_name)
    if known is None:
        weights[kernel_name] = (kernel * along_channels(factor, kernel)).astype(np.float32)
    else:
        signs = np.where(factor < 0, -1, 1).astype(kernel.dtype)
        weights[kernel_name] = kernel * along_channels(signs, kernel)
        scales[kernel_name] = WeightScale(known.bits, (known.scale * np.abs(factor)).astype(np.float32))
    return absorb(replace(graph, weights=weights, weight_scales=scales), norm, node)


FUSED_AS: dict[type, FusedActivation] = {Relu: "relu", Relu6: "relu6"}


def fuse_activation(graph: Graph) -> tuple[Graph, list[str]]:
    """Fuse each ReLU and ReLU6 into the operation before it, whose kernel then clips its own output."""
    done = []
    for node in graph.nodes:
        operation = node.operation
        if not isinstance(operation, CLIPPING) or getattr(operation, "activation", None) is not None:
            continue
        follower = only_consumer(graph, node)
        # a tensor with a scale of its own was rounded before the activation in training; fused, it would not be
        if follower is not None and type(follower.operation) in FUSED_AS and node.name not in graph.activation_scales:
            fused = replace(operation, activation=FUSED_AS[type(follower.operation)])  # type: ignore[arg-type]
            graph = absorb(graph, follower, graph.node(node.name), fused)
            done.append(f"{follower.name} fused into {node.name}")
    return graph, done


PASSES: dict[str, Pass] = {
    "remove_identity": remove_identity,
    "fold_padding": fold_padding,
    "fold_batch_norm": fold_batch_norm,
    "fuse_activation": fuse_activation,
}
