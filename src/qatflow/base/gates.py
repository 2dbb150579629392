"""Reads the result file of a gate (accuracy or latency), and ends a run if the gate is closed."""

from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed


def require_open(gate: Path, report: Path | None = None) -> None:
    """Raise UserError with the gate's own reason if it is closed.

    Args:
        gate: the gate's result file.
        report: a page that the message points to.
    """
    result = read_sealed(gate)
    if not result["passed"]:
        raise UserError(result["reason"] + (f". The report: {report}" if report is not None else ""))
