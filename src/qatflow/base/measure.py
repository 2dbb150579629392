"""The main figure of a model: its accuracy or, on pictures without labels, its agreement with the float model.

Both are the share of pictures whose label a model answers with; without labels, the float model's answers serve as
labels (`qatflow.data.answers`). Each result file says which of the two it has, as `measure`, and
has its figures under other keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MeasureKey = Literal["accuracy", "float_agreement"]


@dataclass(frozen=True)
class Measure:
    """A measure.

    Attributes:
        key: in files.
        name: of the share.
        best5: of the share of pictures whose label is among the five best classes; empty where that says nothing.
        about: what it is, as a sentence for a report; empty where nobody needs it.
    """

    key: MeasureKey
    name: str
    best5: str
    about: str

    @property
    def is_accuracy(self) -> bool:
        """Whether the pictures have labels."""
        return self.key == "accuracy"

    def figures(self, pictures: int, top1: float, top5: float) -> dict[str, Any]:
        """Return the keys of a result file for a number of pictures and two shares, in 0…1."""
        if self.is_accuracy:
            return {"pictures": pictures, "top1": top1, "top5": top5}
        return {"pictures": pictures, self.key: top1}


ACCURACY = Measure("accuracy", "top-1", "top-5", "")
AGREEMENT = Measure(
    "float_agreement",
    "agreement with float",
    "",
    "The pictures have no labels, so no accuracy is known. All figures are agreement with float: the share of pictures "
    "for which a model gives the float model's answer. The float model itself has no figure.",
)
MEASURES = {measure.key: measure for measure in (ACCURACY, AGREEMENT)}


def measure_in(content: Mapping[str, Any]) -> Measure:
    """Return the measure of a result file's content; older files name none, and are of pictures with labels."""
    return MEASURES[content.get("measure", ACCURACY.key)]


def share(figures: Mapping[str, Any]) -> float:
    """Return the share, in 0…1, of what `Measure.figures` returned."""
    return float(figures["top1"] if "top1" in figures else figures[AGREEMENT.key])


def share_if_any(figures: Mapping[str, Any]) -> float | None:
    """Return the same; None for the float model where it has none."""
    return share(figures) if {"top1", AGREEMENT.key} & figures.keys() else None
