"""The classes that a model knows worst, for data with too many classes for names in the picture of the confusion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qatflow.base.sums import read_sealed

NAMED = 30
"""Up to so many classes, the picture of the confusion has their names and counts."""
WORST = 10


@dataclass(frozen=True)
class ClassFigures:
    """How a model does on the test pictures of one class.

    Attributes:
        label: name of the class.
        pictures: number of its pictures.
        right: share that is recognised, 0…1.
        taken_for: name of the other class that it is most often taken for; None where there is none.
        taken: number of its pictures taken for that.
    """

    label: str
    pictures: int
    right: float
    taken_for: str | None
    taken: int


def worst_classes(evaluation: Path, model: str) -> list[ClassFigures]:
    """Return the ten classes that a model recognises least, the worst first; none where the picture has names.

    Args:
        evaluation: evaluation.json.
        model: its name there.
    """
    content = read_sealed(evaluation)
    labels = content["labels"]
    if len(labels) <= NAMED:
        return []
    figures = [
        _figures(int(label), guesses, labels) for label, guesses in content["models"][model]["confusion"].items()
    ]
    return sorted(figures, key=lambda of_class: of_class.right)[:WORST]


def _figures(label: int, guesses: Mapping[str, int], labels: Sequence[str]) -> ClassFigures:
    pictures = sum(guesses.values())
    others = {int(guess): count for guess, count in guesses.items() if int(guess) != label}
    most = max(others, key=lambda guess: (others[guess], -guess), default=None)
    name = None if most is None else labels[most]
    return ClassFigures(
        labels[label], pictures, guesses.get(str(label), 0) / pictures, name, 0 if most is None else others[most]
    )
