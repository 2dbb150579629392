"""Names beside points that overlap neither each other nor a point."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LETTER, LINE = 6.1, 12.0
"""Pixels of a letter and a line at a font size of 11."""
WAYS = ((1, -0.45), (-1, -0.45), (1, 0.6), (-1, 0.6), (1, 0), (-1, 0), (0, -1), (0, 1))
"""Directions from a point to its name, the best first: right or left of it, above, beside, below."""
RINGS = (8.0, 15.0, 24.0, 36.0, 50.0, 66.0)
"""Distances, in pixels; from the third on a line leads to the name."""


@dataclass(frozen=True)
class Box:
    """A rectangle, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Return whether the two overlap."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def within(self, other: "Box") -> bool:
        """Return whether the other holds this one."""
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.top <= self.top
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True)
class Label:
    """Where a name stands: the middle of its box, and whether a line must lead to its point."""

    words: str
    box: Box
    led: bool


def place(
    points: Sequence[tuple[float, float]], names: Sequence[str], bars: Sequence[Box], frame: Box
) -> list[Label | None]:
    """Return where each point's name stands; None where there is no room for it.

    Args:
        points: x and y of each, in pixels.
        names: one each; an empty one is not shown.
        bars: what a name should rather not cross.
        frame: what names must stay within.
    """
    marks = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    taken: list[Box] = []
    labels: list[Label | None] = [None] * len(points)
    for at in sorted(range(len(points)), key=lambda at: points[at]):
        if not names[at]:
            continue
        free = [
            label
            for label in _candidates(*points[at], names[at])
            if label.box.within(frame) and not any(label.box.meets(other) for other in (*taken, *marks))
        ]
        if free:
            # the first of the nearest; a crossed bar counts as much as three places further away
            crossed = [sum(label.box.meets(bar) for bar in bars) for label in free]
            labels[at] = free[min(range(len(free)), key=lambda one: one + 3 * crossed[one])]
            taken.append(labels[at].box)  # type: ignore[union-attr]
    return labels


def _candidates(x: float, y: float, words: str) -> Iterator[Label]:
    width = LETTER * len(words)
    for number, ring in enumerate(RINGS):
        for across, down in WAYS:
            middle = x + across * (ring + width / 2), y + down * (ring + LINE / 2)
            half = width / 2, LINE / 2
            box = Box(middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1])
            yield Label(words, box, number > 1)
