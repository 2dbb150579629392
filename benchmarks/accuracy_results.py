"""results.jsonl: one line per finished measurement of the accuracy benchmark."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments import Budget


@dataclass(frozen=True)
class Result:
    """The top-1 of one .tflite file on the full test set.

    Attributes:
        dataset: `digits` or `fashion`.
        seed: of the trainings.
        variant: key of `variants.VARIANTS`.
        top1: in 0…1.
        bytes: size of the file.
        seconds: time from the float graph (`float`: from the start) to the file, with TensorFlow's start but without
            the evaluation.
        pictures: number of test pictures.
        budget: epochs.
        learning_rate: peak rate of the training that made the file, or the model it was made from.
        batch_size: pictures per step of that training.
        commit: at which it was measured.
    """

    dataset: str
    seed: int
    variant: str
    top1: float
    bytes: int
    seconds: float
    pictures: int
    budget: Budget
    learning_rate: float
    batch_size: int
    commit: str

    @property
    def key(self) -> tuple[str, int, str]:
        """Identifies a measurement within a budget."""
        return self.dataset, self.seed, self.variant


def append(path: Path, result: Result) -> None:
    """Add a line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result)) + "\n")


def read(path: Path, budgets: dict[str, Budget]) -> dict[tuple[str, int, str], Result]:
    """Return the results by their keys.

    Args:
        path: of the file; a missing file has no results.
        budgets: by data set; results of other budgets and data sets are ignored.
    """
    results = _lines(path.read_text("utf-8").splitlines()) if path.is_file() else ()
    return {result.key: result for result in results if budgets.get(result.dataset) == result.budget}


def _lines(lines: Iterable[str]) -> Iterable[Result]:
    for line in lines:
        values = json.loads(line)
        yield Result(**{**values, "budget": Budget(**values["budget"])})
