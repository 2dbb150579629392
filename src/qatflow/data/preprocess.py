"""The definition of preprocessing: what is done to a picture before the network sees it.

The specification is stored in the data manifest and goes to the device with the model. `apply` (NumPy) is the
reference; `qatflow.data.pipeline` does the same in TensorFlow and `demo/cxx` in C++, and tests check that both give the
same bits.
"""

from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from qatflow.base.errors import UserError
from qatflow.base.picture_size import PictureSize

Resize = Literal["pad", "stretch", "crop", "none"]
Order = Literal["rgb", "bgr"]


@dataclass(frozen=True)
class Preprocessing:
    """How a decoded picture (uint8, height × width × channels) or an array becomes the network's input.

    Attributes:
        size: of the input, in pixels.
        resize: `pad` centres the picture on a black input (no pixel changes; an odd row or column of padding goes
            below or right); `stretch` resizes both sides to `size`, bilinear with half-pixel centres, no antialiasing;
            `crop` resizes in the same way, keeping the proportions, and cuts the input out of the middle (an odd row
            or column is cut off below or right). `stretch` and `crop` accept any shape.
            `none` is for arrays (float32, of this size), whose values are only normalised.
        channels: 1 (grey) or 3 (RGB): what decoding returns; of arrays any number.
        mean: subtracted from each channel, in units of 0…255 or of the arrays; one value per channel, or one for all.
        std: divides each channel, in the same units; one value per channel, or one for all. The result is
            (pixel − mean) · (1 / std), each step in float32.
        resize_short: in pixels, at least the shorter side of `size`; None: 256 for 224, and in proportion. Only for
            `crop`. A picture is resized to the smallest that covers a rectangle with this shorter side and the
            proportions of `size`. So for a square it is the picture's short side before `crop` cuts.
        order: of the channels: `rgb`, or `bgr` for weights from Caffe; mean and std are in this order.

    Raises:
        UserError: a value is out of its range, or mean and std do not fit the channels.
    """

    size: PictureSize
    resize: Resize
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize_short: int | None = None
    order: Order = "rgb"

    def __post_init__(self) -> None:
        if self.resize not in get_args(Resize) or not (self.channels in (1, 3) or self.resize == "none"):
            raise UserError(
                f"preprocessing: resize {self.resize!r}, channels {self.channels}: resize must be `pad`, `stretch`, "
                "`crop` or `none`, channels 1 or 3 (with `none` any number)"
            )
        if type(self.channels) is not int or self.channels < 1:
            raise UserError(f"preprocessing.channels: {self.channels!r}: must be a whole number from 1 on")
        if self.order not in get_args(Order) or (self.order == "bgr" and (self.channels != 3 or self.resize == "none")):
            raise UserError(f"preprocessing.order: {self.order!r}: must be `rgb`, or `bgr` with 3 channels of pictures")
        if self.resize == "crop" and self.resize_short is None:
            object.__setattr__(self, "resize_short", default_short_side(self.size.shorter))
        if self.resize_short is not None and (self.resize != "crop" or self.resize_short < self.size.shorter):
            raise UserError(
                f"preprocessing.resize_short: {self.resize_short}: it is for resize `crop`, and at least size "
                f"({self.size.shorter})"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels) or not np.isfinite(values).all():
                raise UserError(
                    f"preprocessing.{name}: {list(values)}: give one number, or one for each of the "
                    f"{self.channels} channels"
                )
            object.__setattr__(self, name, tuple(values) if len(values) > 1 else tuple(values) * self.channels)
        if min(self.std) <= 0:
            raise UserError(f"preprocessing.std: {list(self.std)}: each must be above 0")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the network's input."""
        return self.size.height, self.size.width, self.channels

    @property
    def resized_type(self) -> type[np.generic]:
        """The type of resized pictures that are not normalised yet: uint8 for `pad`, otherwise float32."""
        return np.uint8 if self.resize == "pad" else np.float32

    @property
    def scale(self) -> np.ndarray:
        """1 / std as float32 [channels]: one multiplication gives the same bits on every processor."""
        return np.float32(1) / np.asarray(self.std, np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return the plain JSON form; keys that only `crop` or BGR need are otherwise left out."""
        value = {**asdict(self), "size": self.size.to_json(), "mean": list(self.mean), "std": list(self.std)}
        return {
            key: part for key, part in value.items() if (key, part) not in (("resize_short", None), ("order", "rgb"))
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Preprocessing":
        """Read what `to_json` wrote; raises UserError for missing or unknown keys."""
        known = {field.name: field.default is MISSING for field in fields(cls)}
        wanted = {name for name, needed in known.items() if needed}
        if not isinstance(value, dict) or not wanted <= set(value) <= set(known):
            raise UserError(
                f"preprocessing: the keys must be {', '.join(sorted(wanted))}, and may be "
                f"{', '.join(sorted(set(known) - wanted))}, not {value!r}"
            )
        try:
            lists = {name: tuple(value[name]) for name in ("mean", "std")}
            return cls(**{**value, **lists, "size": PictureSize.from_json(value["size"])})
        except TypeError as error:
            raise UserError(f"preprocessing: a value has the wrong type ({error}): {value!r}") from error


def apply(spec: Preprocessing, picture: np.ndarray) -> np.ndarray:
    """Return the network's input for one picture.

    Args:
        spec: what to do.
        picture: uint8 [height, width, channels] with `spec.channels` channels, or a float32 array of the input's shape.

    Returns:
        float32 [height, width, channels] of the input.

    Raises:
        UserError: the picture is larger than a `pad` input.
    """
    return normalise(spec, resize(spec, picture))


def normalise(spec: Preprocessing, pixels: np.ndarray) -> np.ndarray:
    """Return (pixels − mean) · (1 / std) in float32, of any shape [..., channels] in units of 0…255."""
    height, width = (1, *pixels.shape)[-3:-1] if pixels.ndim > 1 else (1, 1)
    # a row at a time: NumPy takes five times as long to broadcast three numbers
    rows = pixels.reshape(-1, height, width * spec.channels)
    values = rows.astype(np.float32)
    values -= np.tile(np.asarray(spec.mean, np.float32), width)
    values *= np.tile(spec.scale, width)
    return values.reshape(pixels.shape)


def resize(spec: Preprocessing, picture: np.ndarray) -> np.ndarray:
    """Return the picture at [height, width, channels] of the input, channels in order, not normalised.

    uint8 for `pad`, float32 for the others.
    """
    if spec.resize == "none":
        if picture.dtype != np.float32 or picture.shape != spec.shape:
            raise ValueError(f"expected float32 {spec.shape}, got {picture.dtype} {picture.shape}")
        return picture
    if picture.ndim != 3 or picture.dtype != np.uint8 or picture.shape[2] != spec.channels:
        raise ValueError(f"expected uint8 [h, w, {spec.channels}], got {picture.dtype} {picture.shape}")
    if spec.resize == "pad":
        return in_order(spec, _pad(picture, spec.size))
    return in_order(spec, interpolate(picture, *grid(spec, picture.shape[0], picture.shape[1])))


def in_order(spec: Preprocessing, picture: np.ndarray) -> np.ndarray:
    """Return an RGB picture [..., 3], or a grey one [..., 1], with its channels in the order of the network's input."""
    return picture[..., ::-1] if spec.order == "bgr" else picture


def misfit(spec: Preprocessing, height: int, width: int) -> str | None:
    """Return why a picture of this size cannot be padded to the input, and what to do; None if it can."""
    if spec.resize != "pad" or (height <= spec.size.height and width <= spec.size.width):
        return None
    return (
        f"{width}×{height} pixels do not fit the {spec.size.name} of preprocessing.resize `pad`: "
        "raise preprocessing.size, or set preprocessing.resize to `stretch`"
    )


def default_short_side(size: int) -> int:
    """Return `resize_short` for an input whose shorter side is `size`: 256 for 224."""
    return (2 * size * 8 + 7) // 14


@dataclass(frozen=True)
class Samples:
    """The source rows, or columns, of a resized picture: each is interpolated between two.

    Attributes:
        lower: int64 [n], index in the picture.
        upper: int64 [n], index in the picture.
        weight: float32 [n], weight of the upper; the lower has 1 − weight.
    """

    lower: np.ndarray
    upper: np.ndarray
    weight: np.ndarray


def samples(source: int, target: int, start: int = 0, count: int | None = None) -> Samples:
    """Return the samples of a side of `source` pixels resized to `target`: bilinear, half-pixel centres, float32.

    With `count`, only that many from `start` on.
    """
    ratio = np.float32(source) / np.float32(target)
    places = np.arange(start, target if count is None else start + count).astype(np.float32)
    centre = (places + np.float32(0.5)) * ratio - np.float32(0.5)
    floor = np.floor(centre)
    lower = np.maximum(floor, 0).astype(np.int64)
    upper = np.minimum(np.ceil(centre), source - 1).astype(np.int64)
    return Samples(lower, upper, centre - floor)


def grid(spec: Preprocessing, height: int, width: int) -> tuple[Samples, Samples]:
    """Return the rows and columns that `stretch` or `crop` takes from a picture of this size."""
    whole, top, left = placed(spec, height, width)
    return samples(height, whole.height, top, spec.size.height), samples(width, whole.width, left, spec.size.width)


def placed(spec: Preprocessing, height: int, width: int) -> tuple[PictureSize, int, int]:
    """Return to what size `stretch` or `crop` resizes a picture of this size, and top and left of what it takes."""
    if spec.resize == "stretch":
        return spec.size, 0, 0
    assert spec.resize_short is not None
    down, across = spec.size.height, spec.size.width
    # the scale that just covers the input in both directions, as a fraction of whole numbers
    if down * width >= across * height:
        times, over = spec.resize_short * down, spec.size.shorter * height
    else:
        times, over = spec.resize_short * across, spec.size.shorter * width
    whole = PictureSize(*((2 * side * times + over) // (2 * over) for side in (height, width)))  # rounded, half up
    return whole, (whole.height - down) // 2, (whole.width - across) // 2


def interpolate(picture: np.ndarray, rows: Samples, columns: Samples) -> np.ndarray:
    """Return float32 [rows, columns, channels] of a uint8 picture.

    Bit for bit the same as TensorFlow's ResizeBilinear with half_pixel_centers: the same float32 operations.
    """
    down, across = _pixels(rows), _pixels(columns)
    if down is not None and across is not None:
        return picture[down, across].astype(np.float32)
    channels = picture.shape[2]
    pixels, above, below = picture, rows.lower, rows.upper
    first, last = int(above[0]), int(below[-1]) + 1
    if last - first <= 2 * len(above):  # most rows serve twice, above and below
        pixels, above, below = picture[first:last], above - first, below - first
        along = _along_rows(pixels, columns)
        top, bottom = along[above], along[below]
    else:
        top, bottom = _along_rows(pixels[above], columns), _along_rows(pixels[below], columns)
    bottom -= top
    bottom *= rows.weight[:, None]
    bottom += top
    return bottom.reshape(len(above), -1, channels)


def _pixels(side: Samples) -> slice | None:
    """Return the neighbouring pixels that the samples are, as where a side keeps its size; None if they are others."""
    first, last = int(side.lower[0]), int(side.lower[-1])
    return None if side.weight.any() or last - first + 1 != len(side.lower) else slice(first, last + 1)


def _along_rows(pixels: np.ndarray, columns: Samples) -> np.ndarray:
    """Return float32 [rows, columns · channels] of uint8 [rows, width, channels]: left + (right − left) · weight."""
    height, width, channels = pixels.shape
    flat, channel = pixels.reshape(height, width * channels), np.arange(channels)
    left, right = (
        flat.take((column[:, None] * channels + channel).ravel(), axis=1).astype(np.float32)
        for column in (columns.lower, columns.upper)
    )
    right -= left
    right *= columns.weight.repeat(channels)
    right += left
    return right


def _pad(picture: np.ndarray, size: PictureSize) -> np.ndarray:
    height, width, channels = picture.shape
    if height > size.height or width > size.width:
        raise UserError(
            f"a picture of {width}×{height} pixels cannot be padded to {size.width}×{size.height}: use resize `stretch`"
        )
    padded = np.zeros((size.height, size.width, channels), np.uint8)
    top, left = (size.height - height) // 2, (size.width - width) // 2
    padded[top : top + height, left : left + width] = picture
    return padded
