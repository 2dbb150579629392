"""The network as a column of operators, in the order of execution, coloured by a measure that the reader chooses."""

import json
from collections.abc import Callable, Iterator, Sequence
from html import escape
from math import isfinite

from qatflow.report.drawing.svg import box, shortened, text
from qatflow.report.measures import OPERATOR_MEASURES, OperatorMeasure
from qatflow.report.network import NetworkNode

WIDTH, ROW, BOX = 380.0, 40.0, 34.0
LEFT, LANE = 46.0, 8.0
LEVELS = 7
"""Colours of a measure, from the best to the worst."""
LETTERS = 31


def measures(nodes: Sequence[NetworkNode]) -> list[OperatorMeasure]:
    """Return the measures that at least one operator has."""
    return [measure for measure in OPERATOR_MEASURES if any(measure.value(node) is not None for node in nodes)]


def network_picture(nodes: Sequence[NetworkNode]) -> str:
    """Return the picture, coloured by the first measure that is known, or the empty text without operators."""
    known = measures(nodes)
    if not nodes or not known:
        return ""
    coloured = {measure.key: levels(nodes, measure) for measure in known}
    lanes = skip_lanes(nodes)
    parts = [_input()]
    parts += [_skip(source, target, lane) for (source, target), lane in lanes.items()]
    for node in nodes:
        parts.append(_operator(node, {key: level[node.number] for key, level in coloured.items()}, known))
    height = ROW * (len(nodes) + 1)
    label = f"The network: {len(nodes)} operators in the order of execution"
    return (
        f'<svg class="picture network" id="network" viewBox="0 0 {WIDTH:g} {height:g}" width="{WIDTH:g}" '
        f'height="{height:g}" role="group" aria-label="{label}">{"".join(parts)}</svg>'
    )


def levels(nodes: Sequence[NetworkNode], measure: OperatorMeasure) -> list[int | None]:
    """Return the colour of each operator: 0 for the best to 6 for the worst; None where it has no such figure.

    A cost is coloured by its share of the greatest, noise on a line from 10 dB (worst) to 40 dB.
    """
    values = [measure.value(node) for node in nodes]
    greatest = max((value for value in values if value is not None), default=1.0) or 1.0

    def level(value: float | None) -> int | None:
        if value is None or not isfinite(value):
            return None
        badness = (40 - value) / 30 if measure.worst == "low" else value / greatest
        return min(LEVELS - 1, max(0, round(badness * (LEVELS - 1))))

    return [level(value) for value in values]


def skip_lanes(nodes: Sequence[NetworkNode]) -> dict[tuple[int, int], int]:
    """Return the connections that pass over operators, each with a lane that no other on its way has."""
    edges = sorted(
        {(source, node.number) for node in nodes for source in node.inputs if source != node.number - 1},
        key=lambda edge: (edge[1] - edge[0], edge[0]),
    )
    lanes: dict[tuple[int, int], int] = {}
    for source, target in edges:
        taken = {lane for (a, b), lane in lanes.items() if a < target and source < b}
        lanes[source, target] = next(lane for lane in range(len(edges)) if lane not in taken)
    return lanes


def _middle(number: int) -> float:
    return ROW * (number + 1) + BOX / 2


def _skip(source: int, target: int, lane: int) -> str:
    x = max(3.0, LEFT - 8 - LANE * (lane + 1))
    top, bottom = _middle(source) + 6, _middle(target) - 6
    return f'<path class="edge" d="M{LEFT:g} {top:g}H{x:g}V{bottom:g}H{LEFT:g}"/>'


def _input() -> str:
    return text(LEFT + 12, BOX / 2 + 8, "picture", "tick")


def _operator(node: NetworkNode, level: dict[str, int | None], known: Sequence[OperatorMeasure]) -> str:
    top = ROW * (node.number + 1)
    values = {measure.key: measure.value(node) for measure in known}
    shown = {key: ("" if value is None else _form(known, key)(value)) for key, value in values.items()}
    first = known[0].key
    about = "; ".join(f"{measure.words} {shown[measure.key]}" for measure in known if shown[measure.key])
    label = f"{node.number + 1}. {node.name}: {kind_words(node)}, output {shape_words(node)}, {node.type}; {about}"
    data = json.dumps({key: [level[key], shown[key]] for key in values}, ensure_ascii=False, separators=(",", ":"))
    edge = (
        f'<path class="edge" d="M{LEFT + 6:g} {top - ROW + BOX:g}v{ROW - BOX:g}"/>'
        if node.number - 1 in node.inputs
        else ""
    )
    kind = f"node {node.role} {_level(level[first])}"
    return (
        f'{edge}<g class="{kind}" tabindex="0" role="button" aria-label="{escape(label)}" data-node="{node.number}" '
        f'data-shown="{escape(data)}">'
        f"{box(LEFT, top, WIDTH - LEFT - 1, BOX, 'face')}{box(LEFT, top, 7, BOX, 'stripe')}"
        f"{text(LEFT + 15, top + 14, shortened(node.name, LETTERS), 'name')}"
        f"{text(LEFT + 15, top + 28, f'{kind_words(node)} → {shape_words(node)}{type_words(node)}', 'tick')}"
        f"{text(WIDTH - 8, top + 14, shown[first], 'value', 'end')}</g>"
    )


def _form(known: Sequence[OperatorMeasure], key: str) -> Callable[[float], str]:
    return next(measure.form for measure in known if measure.key == key)


def _level(level: int | None) -> str:
    return "none" if level is None else f"heat{level}"


def kind_words(node: NetworkNode) -> str:
    """Return the operation in words: `conv 3×3 + ReLU6`."""
    words = WORDS.get(node.operator, node.operator.replace("_", " ").lower())
    if node.operator == "QUANTIZE" and -1 not in node.inputs:
        words = "requantise"
    window = f" {'×'.join(map(str, node.window))}" if node.window else ""
    return f"{words}{window}{f' + {FUSED.get(node.activation, node.activation)}' if node.activation else ''}"


def shape_words(node: NetworkNode) -> str:
    """Return the shape of the output: `16×16×32`."""
    return "×".join(map(str, node.shape)) or "1"


def type_words(node: NetworkNode) -> str:
    """Return bits and type, where they are not plain 8-bit integers."""
    if node.role == "float":
        return " · float"
    if node.weight_bits is not None and node.weight_bits < 8:
        return f" · {node.weight_bits}-bit weights"
    return "" if node.type == "int8" else f" · {node.type}"


def details(nodes: Sequence[NetworkNode]) -> Iterator[dict]:
    """Yield what the page's program shows of an operator: label and value, in order."""
    for node in nodes:
        rows = {
            "operator": kind_words(node),
            "output": f"{shape_words(node)}, {node.type}",
            "runs in": {"integer": "integers", "float": "float", "convert": "conversion"}[node.role],
            "weights": _weights(node),
            "output bytes": f"{node.output_bytes:,}",
        }
        for measure in OPERATOR_MEASURES:
            value = measure.value(node)
            if value is not None and measure.key != "bytes":
                rows[measure.words] = measure.form(value)
        if node.clipped is not None:
            rows["clipped"] = f"{100 * node.clipped:.3g} %"
        yield {
            "name": f"{node.number + 1}. {node.name}",
            "rows": [[key, value] for key, value in rows.items() if value],
        }


def _weights(node: NetworkNode) -> str:
    if not node.weight_bytes:
        return ""
    bits = "" if node.weight_bits is None else f", {node.weight_bits} bits"
    return f"{node.weight_bytes:,} bytes{bits}"


WORDS = {
    "CONV_2D": "conv", "DEPTHWISE_CONV_2D": "depthwise conv", "FULLY_CONNECTED": "dense", "QUANTIZE": "quantise",
    "DEQUANTIZE": "dequantise", "AVERAGE_POOL_2D": "average pool", "MAX_POOL_2D": "max pool", "MEAN": "mean",
    "LOGISTIC": "sigmoid", "TRANSPOSE_CONV": "transposed conv",
}  # fmt: skip
FUSED = {"RELU6": "ReLU6", "RELU": "ReLU", "RELU_N1_TO_1": "ReLU(−1…1)"}
