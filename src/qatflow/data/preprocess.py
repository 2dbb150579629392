"""The one definition of preprocessing: what is done to a picture before the network sees it.

The specification is stored in the data manifest and travels to the device with the model.
`apply` is the reference (NumPy); `qatflow.data.pipeline` does the same in TensorFlow, `demo/cxx` in C++,
and tests hold both to the bits of this one.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np

from qatflow.errors import UserError


@dataclass(frozen=True)
class Preprocessing:
    """How a decoded picture (uint8, height × width × channels) becomes the network's input.

    Attributes:
        size: side of the square input, in pixels.
        resize: `pad` centres the picture on a black square (no pixel is changed; the odd row or column goes
            below or right); `stretch` resizes both sides to `size`, bilinear with half-pixel centres, no antialiasing.
        channels: 1 (grey) or 3 (RGB); decoding yields this many.
        mean: subtracted from each channel, in units of 0…255; one value, or one a channel.
        std: divides each channel, in units of 0…255; one value, or one a channel.
            The value is (pixel − mean) · (1 / std), each step in float32.

    Raises:
        UserError: a value is out of its range, or mean and std do not fit the channels.
    """

    size: int
    resize: Literal["pad", "stretch"]
    channels: Literal[1, 3]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.size < 1 or self.resize not in ("pad", "stretch") or self.channels not in (1, 3):
            raise UserError(
                f"preprocessing: size {self.size}, resize {self.resize!r}, channels {self.channels}: size must be at "
                "least 1, resize `pad` or `stretch`, channels 1 or 3"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels) or not np.isfinite(values).all():
                raise UserError(
                    f"preprocessing.{name}: {list(values)}: give one number, or one for each of the "
                    f"{self.channels} channels"
                )
        if min(self.std) <= 0:
            raise UserError(f"preprocessing.std: {list(self.std)}: each must be above 0")

    @property
    def scale(self) -> np.ndarray:
        """1 / std as float32 [channels]: one multiplication gives the same bits on every processor."""
        return np.float32(1) / np.asarray(self.std, np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return the plain JSON form."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Preprocessing":
        """Read what `to_json` wrote; raises UserError for missing or unknown keys."""
        wanted = {field.name for field in fields(cls)}
        if not isinstance(value, dict) or set(value) != wanted:
            raise UserError(f"preprocessing: the keys must be {', '.join(sorted(wanted))}, not {value!r}")
        try:
            return cls(**{**value, "mean": tuple(value["mean"]), "std": tuple(value["std"])})
        except TypeError as error:
            raise UserError(f"preprocessing: a value has the wrong type ({error}): {value!r}") from error


def apply(spec: Preprocessing, picture: np.ndarray) -> np.ndarray:
    """Return the network's input for one picture.

    Args:
        spec: what to do.
        picture: uint8 [height, width, channels] with `spec.channels` channels.

    Returns:
        float32 [size, size, channels].

    Raises:
        UserError: the picture is larger than a `pad` square.
    """
    return normalise(spec, resize(spec, picture))


def normalise(spec: Preprocessing, pixels: np.ndarray) -> np.ndarray:
    """Return (pixels − mean) · (1 / std) in float32, of any shape [..., channels] in units of 0…255."""
    return (pixels.astype(np.float32) - np.asarray(spec.mean, np.float32)) * spec.scale


def resize(spec: Preprocessing, picture: np.ndarray) -> np.ndarray:
    """Return the picture at [size, size, channels], not normalised: uint8 for `pad`, float32 for `stretch`."""
    if picture.ndim != 3 or picture.dtype != np.uint8 or picture.shape[2] != spec.channels:
        raise ValueError(f"expected uint8 [h, w, {spec.channels}], got {picture.dtype} {picture.shape}")
    return _pad(picture, spec.size) if spec.resize == "pad" else _stretch(picture, spec.size)


def misfit(spec: Preprocessing, height: int, width: int) -> str | None:
    """Return why a picture of this size cannot be padded to the square, and what to do; None where it can."""
    if spec.resize != "pad" or max(height, width) <= spec.size:
        return None
    return (
        f"{width}×{height} pixels do not fit the {spec.size}×{spec.size} square of preprocessing.resize `pad`: "
        "raise preprocessing.size, or set preprocessing.resize to `stretch`"
    )


def _pad(picture: np.ndarray, size: int) -> np.ndarray:
    height, width, channels = picture.shape
    if max(height, width) > size:
        raise UserError(f"a picture of {width}×{height} pixels cannot be padded to {size}×{size}: use resize `stretch`")
    top, left = (size - height) // 2, (size - width) // 2
    square = np.zeros((size, size, channels), np.uint8)
    square[top : top + height, left : left + width] = picture
    return square


def _stretch(picture: np.ndarray, size: int) -> np.ndarray:
    """Resize as TensorFlow's ResizeBilinear with half_pixel_centers does, operation for operation in float32."""
    above, below, down = _interpolation(picture.shape[0], size)
    left, right, across = _interpolation(picture.shape[1], size)
    pixels = picture.astype(np.float32)
    down, across = down[:, None, None], across[None, :, None]

    def along_row(rows: np.ndarray) -> np.ndarray:
        return rows[:, left] + (rows[:, right] - rows[:, left]) * across

    top, bottom = along_row(pixels[above]), along_row(pixels[below])
    return top + (bottom - top) * down


def _interpolation(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return lower index, upper index and weight of the upper, each [target], for one side."""
    ratio = np.float32(source) / np.float32(target)
    centre = (np.arange(target, dtype=np.float32) + np.float32(0.5)) * ratio - np.float32(0.5)
    floor = np.floor(centre)
    lower = np.maximum(floor, 0).astype(np.int64)
    upper = np.minimum(np.ceil(centre), source - 1).astype(np.int64)
    return lower, upper, centre - floor
