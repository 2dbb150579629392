"""layers.node_data.json: a measure of each operator, for Model Explorer to colour the .tflite file with."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qatflow.report.network import NetworkNode

GRAPH = "main"
"""Model Explorer's name of the first subgraph of a .tflite file."""
LOW, MIDDLE, HIGH = "#c0392b", "#f2c94c", "#2e8b57"
SQNR, COST, ALONE = "SQNR, dB", "multiply-adds", "KL divergence, quantised alone"
MEASURES: Mapping[str, Callable[[NetworkNode], float | None]] = {
    SQNR: lambda node: node.sqnr_db,
    COST: lambda node: node.multiply_adds or None,
    ALONE: lambda node: node.alone_kl,
}


def node_data(nodes: Sequence[NetworkNode]) -> dict[str, Any]:
    """Return the file's content: signal to quantisation noise; multiply-adds where no noise was measured.

    The format is that of `model_explorer.node_data_builder.ModelNodeData` of ai-edge-model-explorer 0.1.34: by graph,
    the results by output tensor, and colours between the least value (stop 0) and the greatest (stop 1).
    """
    return _coloured(nodes, SQNR if any(node.sqnr_db is not None for node in nodes) else COST)


def sensitivity_data(nodes: Sequence[NetworkNode]) -> dict[str, Any]:
    """Return the content of sensitivity.node_data.json: what each layer costs alone; empty if it was not measured.

    A file of that format has one value for an operator, so this is a file of its own.
    """
    return _coloured(nodes, ALONE)


def _coloured(nodes: Sequence[NetworkNode], name: str) -> dict[str, Any]:
    values = {node.tensor: MEASURES[name](node) for node in nodes}
    colours = (LOW, MIDDLE, HIGH) if name == SQNR else (HIGH, MIDDLE, LOW)
    return {
        GRAPH: {
            "name": name,
            "results": {tensor: {"value": value} for tensor, value in values.items() if value is not None},
            "gradient": [{"stop": stop, "bgColor": colour} for stop, colour in zip((0, 0.5, 1), colours, strict=True)],
        }
    }
