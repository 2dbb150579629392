"""The batch size with which Keras models are evaluated."""

MOST = 256
PIXELS = 2**21
"""Pixels in a batch of large pictures, whose activations would otherwise fill the memory."""


def evaluation_batch(size: int) -> int:
    """Return the number of pictures of `size` × `size` pixels in a batch."""
    return max(1, min(MOST, PIXELS // size**2))
