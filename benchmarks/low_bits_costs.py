"""Time on the host and instructions in the emulator of the models of the benchmark of few bits."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from low_bits_case import FLOAT, Case
from model_costs import instructions, milliseconds

REPEATS = 200


@dataclass(frozen=True)
class Costs:
    """What an inference of a model costs.

    Attributes:
        ms: processor time on the host, one thread, the median of the rounds.
        ratio: of that to the time of W8A8 of the default types, the median of the rounds' ratios; None: not measured.
        instructions: in the emulator.
    """

    ms: float
    ratio: float | None
    instructions: int


def costs_file(case: Case) -> Path:
    """Return the file of the costs of a case's rows."""
    return case.folder / case.recipe.folder / "costs.json"


def costs(case: Case) -> dict[str, Costs]:
    """Return the costs that are measured, by row."""
    file = costs_file(case)
    return {row: Costs(**values) for row, values in json.loads(file.read_text()).items()} if file.is_file() else {}


def measure_costs(case: Case, rows: Sequence[str], folder: Path) -> None:
    """Measure the costs of all models of a case; the first row is what their times are divided by, if it is measured.

    Args:
        case: network and seed.
        rows: besides float.
        folder: where the C++ program is built, or has been.
    """
    files = {row: case.model(row) for row in (rows[0], FLOAT, *rows[1:]) if case.is_measured(row)}
    counted = instructions(files, folder)
    times = milliseconds({row: file.read_bytes() for row, file in files.items()}, REPEATS)
    first = times.get(rows[0])
    found = {
        row: Costs(float(np.median(values)), None if first is None else float(np.median(values / first)), counted[row])
        for row, values in times.items()
    }
    costs_file(case).write_text(json.dumps({row: asdict(values) for row, values in found.items()}, indent=1))
