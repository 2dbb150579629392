"""The batch size with which Keras models are evaluated."""

from qatflow.base.picture_size import PictureSize

MOST = 256
PIXELS = 2**21
"""Pixels in a batch of large pictures, whose activations would otherwise fill the memory."""


def evaluation_batch(size: PictureSize) -> int:
    """Return the number of pictures of a size in a batch."""
    return max(1, min(MOST, PIXELS // size.pixels))
