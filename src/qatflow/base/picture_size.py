"""Height and width of pictures: the one type for the size of a network's input."""

from dataclasses import dataclass
from typing import Any

from qatflow.base.errors import UserError


@dataclass(frozen=True)
class PictureSize:
    """Height and width, in pixels.

    In a configuration, a manifest and preprocessing.json a square is one whole number, and any other size a list of
    height and width.
    """

    height: int
    width: int

    @property
    def shorter(self) -> int:
        """The shorter of the two sides."""
        return min(self.height, self.width)

    @property
    def pixels(self) -> int:
        """Their product."""
        return self.height * self.width

    @property
    def name(self) -> str:
        """What to call it in a message: `32×32 square`, or `128×96 rectangle` (width first, as for pictures)."""
        return f"{self.width}×{self.height} {'square' if self.height == self.width else 'rectangle'}"

    def to_json(self) -> int | list[int]:
        """Return one number for a square, otherwise the list of height and width."""
        return self.height if self.height == self.width else [self.height, self.width]

    @staticmethod
    def from_json(value: Any) -> "PictureSize":
        """Read what `to_json` wrote, or a list of two equal numbers; raises UserError for anything else."""
        sides = value if isinstance(value, list) else [value, value]
        if len(sides) != 2 or not all(type(side) is int and side >= 1 for side in sides):
            raise UserError(f"preprocessing.size: {value!r}: must be a whole number, or a list of height and width")
        return PictureSize(*sides)


def square(side: int) -> PictureSize:
    """Return the size of a square."""
    return PictureSize(side, side)
