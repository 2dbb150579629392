"""Random changes to training pictures, as pure functions of (seed, epoch, position)."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from qatflow.base.picture_size import PictureSize

if TYPE_CHECKING:
    import tensorflow as tf

Augmentation = Literal["none", "flip", "shift", "shift_flip", "crop_flip"]
FLIPPED = ("flip", "shift_flip", "crop_flip")
SHIFTED = ("shift", "shift_flip")
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of a random crop: its share of the picture, and its width over its height
LARGEST_SHIFT = 16  # side over largest shift along it: 2 pixels of 32, the black border of a padded 28×28 picture


@dataclass(frozen=True)
class Draws:
    """What happens to each picture of an epoch: a mirror image first, then a shift.

    Attributes:
        shift: int32 [n, 2], pixels down and to the right; negative for up and left.
        flip: bool [n], whether the picture is mirrored left-right.
        crop: float64 [n, 4] in 0…1, from which `crop_box` computes the visible part of the picture; only for
            `crop_flip`.
    """

    shift: np.ndarray
    flip: np.ndarray
    crop: np.ndarray | None = None


def draw(augmentation: Augmentation, size: PictureSize, count: int, random: np.random.Generator) -> Draws:
    """Draw for `count` pictures of a size, each shift and each direction equally likely."""
    down, right = (side // LARGEST_SHIFT * (augmentation in SHIFTED) for side in (size.height, size.width))
    if down == right:
        shift = random.integers(-down, down, (count, 2), np.int32, endpoint=True)
    else:
        shift = np.stack([random.integers(-most, most, count, np.int32, endpoint=True) for most in (down, right)], 1)
    flip = random.random(count) < 0.5 if augmentation in FLIPPED else np.zeros(count, bool)
    return Draws(shift, flip, random.random((count, 4)) if augmentation == "crop_flip" else None)


def crop_box(draws: np.ndarray, picture: PictureSize, target: PictureSize) -> tuple[int, int, int, int]:
    """Return top, left, height and width (pixels) of a random part of a picture of that size.

    As in `random_crop` of PaddleSlim's ImageNet reader (demo/imagenet_reader.py): width over height is drawn uniformly
    from `RATIO` and the area from `AREA`; the area is limited to the largest box that fits. If the
    target is not square, the ratio is multiplied by the target's own, so the distortion is the same as for squares.

    Args:
        draws: float64 [4] in 0…1: ratio, area, top, left.
        picture: its size.
        target: size to which the part is resized.
    """
    height, width = picture.height, picture.width
    ratio = (RATIO[0] + draws[0] * (RATIO[1] - RATIO[0])) * (target.width / target.height)
    largest = min(width / height / ratio, height / width * ratio)  # the area at which the box touches the border
    low, high = (min(bound, largest) for bound in AREA)
    area = height * width * (low + draws[1] * (high - low))
    across = min(max(int(math.sqrt(area * ratio)), 1), width)
    down = min(max(int(math.sqrt(area / ratio)), 1), height)
    return int(draws[2] * (height - down + 1)), int(draws[3] * (width - across + 1)), down, across


def mirror(pictures: "tf.Tensor", flip: "tf.Tensor") -> "tf.Tensor":
    """Mirror the pictures of a batch [n, height, width, channels] for which `flip`, bool [n], is true."""
    import tensorflow as tf

    places = tf.range(pictures.shape[2])
    # twice as fast as choosing between each picture and its mirror image
    return tf.gather(pictures, tf.where(flip[:, None], places[::-1], places), axis=2, batch_dims=1)


def transform(pictures: "tf.Tensor", shift: "tf.Tensor", flip: "tf.Tensor") -> "tf.Tensor":
    """Mirror and shift a batch [n, height, width, channels] of uint8 or float32; what moves in is black (0).

    Pixels are moved, never interpolated: output (x, y) is input (±(x − right) [+ width − 1 where mirrored], y − down).
    """
    import tensorflow as tf

    width = pictures.shape[2]
    down, right = tf.unstack(tf.cast(shift, tf.float32), axis=1)
    zero, one = tf.zeros_like(down), tf.ones_like(down)
    across = tf.where(flip, -one, one)
    start = tf.where(flip, width - 1 + right, -right)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pictures,
        transforms=tf.stack([across, zero, start, zero, one, -down, zero, zero], axis=1),
        output_shape=tf.shape(pictures)[1:3],
        fill_value=0.0,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )
