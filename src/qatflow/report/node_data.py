"""*.node_data.json: a measure of each operator a file, for Model Explorer to colour the .tflite file with."""

from collections.abc import Mapping, Sequence
from typing import Any

from qatflow.report.measures import BY_KEY, OperatorMeasure
from qatflow.report.network import NetworkNode

GRAPH = "main"
"""Model Explorer's name of the first subgraph of a .tflite file."""
LOW, MIDDLE, HIGH = "#c0392b", "#f2c94c", "#2e8b57"
ENDING = ".node_data.json"
FILES: Mapping[str, tuple[str, ...]] = {
    "layers": ("sqnr", "work"),
    "sensitivity": ("alone",),
    "instructions": ("instructions",),
    "time": ("time",),
    "multiply_adds": ("work",),
    "bytes": ("bytes",),
}
"""The measure in each file, by its key: the first one that an operator has. A file without any is empty."""


def node_data(nodes: Sequence[NetworkNode], file: str) -> dict[str, Any]:
    """Return the content of a file.

    The format is that of `model_explorer.node_data_builder.ModelNodeData` of ai-edge-model-explorer 0.1.34: by graph,
    the results by output tensor, and colours between the least value (stop 0) and the greatest (stop 1).

    Args:
        nodes: the operators.
        file: its name, without `ENDING`.
    """
    measures = [BY_KEY[key] for key in FILES[file]]
    return _coloured(nodes, next((one for one in measures if _is_known(one, nodes)), measures[-1]))


def has_data(nodes: Sequence[NetworkNode], file: str) -> bool:
    """Return whether a file has a value of any operator."""
    return any(_is_known(BY_KEY[key], nodes) for key in FILES[file])


def _is_known(measure: OperatorMeasure, nodes: Sequence[NetworkNode]) -> bool:
    return any(measure.value(node) is not None for node in nodes)


def _coloured(nodes: Sequence[NetworkNode], measure: OperatorMeasure) -> dict[str, Any]:
    values = {node.tensor: measure.value(node) for node in nodes}
    colours = (LOW, MIDDLE, HIGH) if measure.worst == "low" else (HIGH, MIDDLE, LOW)
    return {
        GRAPH: {
            "name": measure.title,
            "results": {tensor: {"value": value} for tensor, value in values.items() if value is not None},
            "gradient": [{"stop": stop, "bgColor": colour} for stop, colour in zip((0, 0.5, 1), colours, strict=True)],
        }
    }
