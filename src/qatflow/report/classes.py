"""Accuracy (or agreement with float) by class, of int8 and float, and the classes that are most often confused."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qatflow.base.measure import measure_in
from qatflow.base.metrics import wilson

NAMED = 30
"""Up to so many classes, the confusion is shown as a matrix; of more, its largest cells are listed."""
PAIRS = 20


@dataclass(frozen=True)
class ClassFigures:
    """How the models do on the test pictures of one class.

    Attributes:
        label: name of the class.
        pictures: number of its pictures.
        right: share that int8 recognises, 0…1.
        low: lower end of the 95 % interval of this share (Wilson).
        high: upper end.
        float_right: share that float recognises; None if there is no float model, or its own answers are the labels.
        taken_for: name of the other class that int8 most often takes it for; None where there is none.
        taken: number of its pictures taken for that.
    """

    label: str
    pictures: int
    right: float
    low: float
    high: float
    float_right: float | None
    taken_for: str | None
    taken: int


@dataclass(frozen=True)
class ConfusedPair:
    """Pictures of one class that int8 takes for another.

    Attributes:
        label: name of their class.
        taken_for: name of the other.
        pictures: their number.
        share: of the test pictures of their class, 0…1.
        float_pictures: number that float takes for it, too; None if there is no float model.
    """

    label: str
    taken_for: str
    pictures: int
    share: float
    float_pictures: int | None


Table = Mapping[str, Mapping[str, int]]


def class_figures(evaluation: Mapping[str, Any], model: str) -> tuple[ClassFigures, ...]:
    """Return each class that has test pictures, in the order of the labels.

    Args:
        evaluation: evaluation.json.
        model: the one that ships.
    """
    labels, (table, float_) = evaluation["labels"], _tables(evaluation, model)
    float_ = float_ if measure_in(evaluation).is_accuracy else None  # its own answers are the labels
    return tuple(
        _figures(int(label), table[label], None if float_ is None else float_.get(label, {}), labels)
        for label in sorted(table, key=int)
    )


def confused_pairs(evaluation: Mapping[str, Any], model: str) -> tuple[ConfusedPair, ...]:
    """Return the pairs of classes that are confused most, at most 20, the most frequent first."""
    pairs = sorted(_pairs(evaluation, model), key=lambda pair: (-pair.pictures, -pair.share, pair.label))
    return tuple(pairs[:PAIRS])


def _pairs(evaluation: Mapping[str, Any], model: str) -> Iterator[ConfusedPair]:
    labels, (table, float_) = evaluation["labels"], _tables(evaluation, model)
    float_ = float_ if measure_in(evaluation).is_accuracy else None
    for label, guesses in table.items():
        of_class = sum(guesses.values())
        for guess, count in guesses.items():
            if guess != label:
                also = None if float_ is None else float_.get(label, {}).get(guess, 0)
                yield ConfusedPair(labels[int(label)], labels[int(guess)], count, count / of_class, also)


def _tables(evaluation: Mapping[str, Any], model: str) -> tuple[Table, Table | None]:
    models = evaluation["models"]
    return models[model]["confusion"], models["float"]["confusion"] if "float" in models else None


def _figures(
    label: int, guesses: Mapping[str, int], float_: Mapping[str, int] | None, labels: Sequence[str]
) -> ClassFigures:
    pictures, right = sum(guesses.values()), guesses.get(str(label), 0)
    others = {int(guess): count for guess, count in guesses.items() if int(guess) != label}
    most = max(others, key=lambda guess: (others[guess], -guess), default=None)
    low, high = wilson(right, pictures)
    return ClassFigures(
        label=labels[label],
        pictures=pictures,
        right=right / pictures,
        low=low,
        high=high,
        float_right=None if float_ is None else float_.get(str(label), 0) / pictures,
        taken_for=None if most is None else labels[most],
        taken=0 if most is None else others[most],
    )
