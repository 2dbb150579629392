"""How figures of int8 are compared with float's, in words: one sign for all, int8 minus float, below 0 for a loss."""

from dataclasses import dataclass
from typing import Any

from qatflow.base.measure import ACCURACY, Measure


@dataclass(frozen=True)
class Change:
    """What int8 changes in top-1 against another model, on the same pictures.

    Attributes:
        against: name of the other model.
        split: split of the pictures.
        pictures: number of pictures.
        points: int8's top-1 minus the other's, in percentage points: below 0 for a loss.
        low: lower end of its 95 % interval (paired).
        high: upper end.
        lost: number of pictures that only the other gets right.
        won: number of pictures that only int8 gets right.
        measure: of the share; without labels, agreement with float.
    """

    against: str
    split: str
    pictures: int
    points: float
    low: float
    high: float
    lost: int
    won: int
    measure: Measure = ACCURACY

    @staticmethod
    def of(drop: dict[str, Any], split: str, against: str = "float", measure: Measure = ACCURACY) -> "Change":
        """Return the change that a drop (`metrics.Drop` as JSON, above 0 for a loss) is."""
        return Change(
            against,
            split,
            drop["pictures"],
            0.0 - drop["points"],
            0.0 - drop["high"],
            0.0 - drop["low"],
            drop["lost"],
            drop["won"],
            measure,
        )

    def text(self) -> str:
        """Return `−0.10 points of top-1 (95 %: −0.40 … +0.30)`."""
        if self.from_full_agreement:
            high = min(100 + self.high, 100.0)  # the interval is that of a difference, and may reach beyond
            return f"{self.agreement:.2f} % {self.measure.name} (95 %: {100 + self.low:.2f} … {high:.2f})"
        interval = f"95 %: {signed(self.low)} … {signed(self.high)}"
        return f"{signed(self.points)} points of {self.measure.name} ({interval})"

    @property
    def from_full_agreement(self) -> bool:
        """Whether the other is the float model, whose own answers are the labels."""
        return not self.measure.is_accuracy and self.against == "float"

    @property
    def agreement(self) -> float:
        """How often int8 answers as the float model does, in percent, where `from_full_agreement`."""
        return 100 + self.points


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign, with a minus that is as wide as the plus; 0 has none."""
    text = f"{abs(value):.{digits}f}"
    return text if not float(text) else f"{'−' if value < 0 else '+'}{text}"


def times(ratio: float, more: str, less: str) -> str:
    """Return `3.4× smaller` for a ratio above 1, `1.2× larger` below."""
    return f"{ratio:.1f}× {more}" if ratio >= 1 else f"{1 / ratio:.1f}× {less}"
