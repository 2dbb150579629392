"""The one definition of preprocessing: what is done to a picture before the network sees it.

The specification is stored in the data manifest and travels to the device with the model.
`apply` is the reference (NumPy); `qatflow.data.pipeline` does the same in TensorFlow, `demo/cxx` in C++,
and tests hold both to the bits of this one.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Preprocessing:
    """How a decoded picture (uint8, height × width × channels) becomes the network's input.

    Attributes:
        size: side of the square input, in pixels.
        resize: `pad` centres the picture on a black square (no pixel is changed; the odd row or column goes
            below or right); `stretch` resizes both sides to `size`, bilinear with half-pixel centres, no antialiasing.
        channels: 1 (grey) or 3 (RGB); decoding yields this many.
        mean: subtracted from each channel, in units of 0…255.
        std: divides each channel, in units of 0…255. The value is (pixel − mean) · (1 / std), each step in float32.
    """

    size: int
    resize: Literal["pad", "stretch"]
    channels: Literal[1, 3]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def scale(self) -> np.ndarray:
        """1 / std as float32 [channels]: one multiplication gives the same bits on every processor."""
        return np.float32(1) / np.asarray(self.std, np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return the plain JSON form."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Preprocessing":
        """Read what `to_json` wrote."""
        return cls(**{**value, "mean": tuple(value["mean"]), "std": tuple(value["std"])})
