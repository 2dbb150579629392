"""What a gate found, as its file says it, and the end of a run where it is closed."""

from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed


def require_open(gate: Path, report: Path | None = None) -> None:
    """Raise UserError with the gate's own words where it is closed.

    Args:
        gate: the file that it wrote.
        report: a page that the message leads to.
    """
    found = read_sealed(gate)
    if not found["passed"]:
        raise UserError(found["reason"] + (f". The report: {report}" if report is not None else ""))
