"""Test pictures with what the models take them for, from evaluation.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qatflow.base.measure import measure_in


@dataclass(frozen=True)
class Answer:
    """What a model takes a picture for: name of the class, its probability (0…1), and whether that is right.

    Without labels nobody knows whether it is: then `right` is None.
    """

    label: str
    confidence: float
    right: bool | None


@dataclass(frozen=True)
class PictureAnswer:
    """A test picture.

    Attributes:
        kind: `lost`: float is right and int8 wrong (without labels: int8 answers differently); `won`: the reverse;
            `confident`: int8 is wrong, and most sure.
        position: of the picture in the test split, from 0 on.
        key: its name in the data set.
        label: name of its class; without labels, of float's answer.
        answers: what each model takes it for, by the model's name.
    """

    kind: str
    position: int
    key: str
    label: str
    answers: Mapping[str, Answer]


def shown(evaluation: Mapping[str, Any]) -> tuple[PictureAnswer, ...]:
    """Return the pictures of evaluation.json."""
    labels, known = evaluation["labels"], measure_in(evaluation).is_accuracy
    return tuple(
        PictureAnswer(
            kind=picture["kind"],
            position=picture["position"],
            key=picture["key"],
            label=labels[picture["label"]],
            answers={
                name: Answer(
                    labels[guess["label"]], guess["confidence"], guess["label"] == picture["label"] if known else None
                )
                for name, guess in picture["guesses"].items()
            },
        )
        for picture in evaluation["pictures"]
    )


def thumbnails(evaluation: Mapping[str, Any]) -> dict[int, str]:
    """Return the pictures as data URIs, by their position; those of arrays have none."""
    return {picture["position"]: picture["thumbnail"] for picture in evaluation["pictures"] if picture["thumbnail"]}
