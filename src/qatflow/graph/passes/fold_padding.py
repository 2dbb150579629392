"""Zeros put around a picture before a convolution become the convolution's own `same` padding, where they agree."""

from dataclasses import replace

from qatflow.graph.edit import absorb, only_consumer
from qatflow.graph.graph import Graph, Node
from qatflow.graph.kinds import Shape, reach, same_padding
from qatflow.graph.operations import Conv2D, DepthwiseConv2D, Pad
from qatflow.graph.shapes import shapes


def apply(graph: Graph) -> tuple[Graph, list[str]]:
    """Return the graph with folded padding, and what was done."""
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
    if not isinstance(operation, Conv2D | DepthwiseConv2D) or operation.padding != "valid":
        return False
    assert conv.kernel is not None
    window = graph.weights[conv.kernel].shape[:2]
    covered = [reach(*axis) for axis in zip(window, operation.dilations, strict=True)]
    wanted = [same_padding(*axis) for axis in zip(source[:2], covered, operation.strides, strict=True)]
    return wanted == [zeros.rows, zeros.columns]
