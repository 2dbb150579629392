"""How many pictures at a time a Keras model evaluates."""

MOST = 256
PIXELS = 2**21
"""Of a batch of large pictures, whose activations would else fill the memory."""


def evaluation_batch(size: int) -> int:
    """Return how many pictures of `size` × `size` pixels a batch has."""
    return max(1, min(MOST, PIXELS // size**2))
