"""What a gate found, as its file says it, and the end of a run where it is closed."""

from pathlib import Path

from qatflow.errors import UserError
from qatflow.files import read_json


def require_open(gate: Path) -> None:
    """Raise UserError with the gate's own words where it is closed; `gate` is the file that it wrote."""
    found = read_json(gate)
    if not found["passed"]:
        raise UserError(found["reason"])
