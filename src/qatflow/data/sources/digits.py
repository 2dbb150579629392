"""`digits`: the 1,797 handwritten digits that come with scikit-learn, for tests and machines without apt."""

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from qatflow.data.picture import Encoded, encode
from qatflow.data.sources.listing import Listing, Rejected

ENLARGE = 3


class DigitsSource:
    """scikit-learn's `load_digits`: 8×8 grey, 10 classes, no test set of its own.

    The pixels' 0…16 are scaled to 0…255 (rounded), and each pixel is repeated to 3×3, which makes 24×24 pictures
    that `pad` centres in 32×32. Nothing is interpolated.
    """

    labels: tuple[str, ...] = tuple("0123456789")
    licence = "CC-BY-4.0 (UCI, Optical Recognition of Handwritten Digits; E. Alpaydin, C. Kaynak, 1998)"
    inputs: tuple[Path, ...] = ()
    array_shape: tuple[int, ...] | None = None
    rejected: Sequence[Rejected] = ()
    warnings: Sequence[str] = ()

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        digits = load_digits()
        self.origin = f"sklearn.datasets.load_digits of scikit-learn {metadata.version('scikit-learn')}"
        scaled = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        self._pixels = scaled.repeat(ENLARGE, axis=1).repeat(ENLARGE, axis=2)
        self.pictures = Listing()
        for i, label in enumerate(digits.target):
            self.pictures.add(f"digits/{i:04d}".encode(), int(label), "train")

    def encoded(self, index: int) -> Encoded:
        """Return one picture as a 24×24 PNG."""
        return encode(self._pixels[index])

    def version(self, index: int) -> tuple[int, ...]:
        """Return nothing: the pictures are fixed by the version of scikit-learn in `origin`."""
        return ()
