"""What the operators of a network are coloured by, in the report and in Model Explorer."""

from collections.abc import Callable
from dataclasses import dataclass

from qatflow.report.network import NetworkNode


@dataclass(frozen=True)
class OperatorMeasure:
    """What operators are compared by.

    Attributes:
        key: for the page's program, and of its file <key>.node_data.json.
        words: its name in the report.
        title: its name in Model Explorer, with its unit.
        about: what it means.
        value: of an operator; None where it has none.
        form: the value in words.
        worst: `low` where a low value is bad, else `high`.
    """

    key: str
    words: str
    title: str
    about: str
    value: Callable[[NetworkNode], float | None]
    form: Callable[[float], str]
    worst: str


OPERATOR_MEASURES = (
    OperatorMeasure(
        "sqnr", "noise so far", "SQNR, dB",
        "Ratio of signal to quantisation noise in the operator's output, in dB, with the noise of all operators before "
        "it. Low is bad.",
        lambda node: node.sqnr_db, lambda value: f"{value:.1f} dB", "low",
    ),
    OperatorMeasure(
        "rounding", "own rounding", "SQNR of its own rounding, dB",
        "The same ratio for the noise of this output's grid alone, on float's values: what its scale costs by itself. "
        "Low is bad.",
        lambda node: node.rounding_db, lambda value: f"{value:.1f} dB", "low",
    ),
    OperatorMeasure(
        "alone", "cost alone", "KL divergence, quantised alone",
        "KL divergence of the network's outputs from float's with this layer alone quantised, in nats. High is bad.",
        lambda node: node.alone_kl, lambda value: f"{value:.3g}", "high",
    ),
    OperatorMeasure(
        "time", "time", "time, ms", "Mean time of the operator on the first device.", lambda node: node.ms,
        lambda value: f"{value:.3f} ms", "high",
    ),
    OperatorMeasure(
        "instructions", "instructions", "instructions",
        "Instructions that the operator executes for one picture with one thread, counted in the emulator.",
        lambda node: node.instructions, lambda value: f"{value:,.0f}", "high",
    ),
    OperatorMeasure(
        "work", "multiply-adds", "multiply-adds", "Multiply-adds of the operator for one picture.",
        lambda node: node.multiply_adds or None, lambda value: f"{value:,.0f}", "high",
    ),
    OperatorMeasure(
        "bytes", "bytes of weights", "bytes of weights", "Size of its kernel and bias in the file.",
        lambda node: node.weight_bytes or None, lambda value: f"{value:,.0f} B", "high",
    ),
)  # fmt: skip
BY_KEY = {measure.key: measure for measure in OPERATOR_MEASURES}
