"""Random changes to training pictures, as pure functions of (seed, epoch, position)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

Augmentation = Literal["none", "flip", "shift", "shift_flip"]
LARGEST_SHIFT = 16  # the part of the side: 2 pixels of 32, the black border of a padded 28×28 picture


@dataclass(frozen=True)
class Draws:
    """What happens to each picture of an epoch: a mirror image first, then a shift.

    Attributes:
        shift: int32 [n, 2], pixels down and to the right; negative for up and left.
        flip: bool [n], whether the picture is mirrored left-right.
    """

    shift: np.ndarray
    flip: np.ndarray


def draw(augmentation: Augmentation, size: int, count: int, random: np.random.Generator) -> Draws:
    """Draw for `count` pictures of side `size` (pixels), each shift and each direction equally likely."""
    largest = 0 if augmentation in ("none", "flip") else size // LARGEST_SHIFT
    shift = random.integers(-largest, largest, (count, 2), np.int32, endpoint=True)
    flip = random.random(count) < 0.5 if augmentation in ("flip", "shift_flip") else np.zeros(count, bool)
    return Draws(shift, flip)


def transform(pictures: "tf.Tensor", shift: "tf.Tensor", flip: "tf.Tensor") -> "tf.Tensor":
    """Mirror and shift a batch [n, size, size, channels] of uint8 or float32; what comes in from outside is black (0).

    Pixels are moved, never interpolated: output (x, y) is input (±(x − right) [+ size − 1 where mirrored], y − down).
    """
    import tensorflow as tf

    size = pictures.shape[2]
    down, right = tf.unstack(tf.cast(shift, tf.float32), axis=1)
    zero, one = tf.zeros_like(down), tf.ones_like(down)
    across = tf.where(flip, -one, one)
    start = tf.where(flip, size - 1 + right, -right)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pictures,
        transforms=tf.stack([across, zero, start, zero, one, -down, zero, zero], axis=1),
        output_shape=tf.shape(pictures)[1:3],
        fill_value=0.0,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )
