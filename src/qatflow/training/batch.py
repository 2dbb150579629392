"""How many pictures a step has where the configuration does not say, and what is due to few steps an epoch."""

LARGEST = 128
SMALLEST = 16
"""Batch-norm's statistics of fewer pictures are noise."""
ENOUGH = 8
"""Steps an epoch that a batch is made smaller for: with fewer, six epochs of some hundred pictures learn little
(config/README.md, Few pictures)."""
FEW = 3
"""Steps an epoch up to which a batch that the configuration gives is warned of."""
MANY = 16
"""Steps an epoch from which batch-norm's statistics are up to date with the usual momentum."""


def default_batch(pictures: int) -> int:
    """Return 128, or for few pictures the half, quarter or eighth of it that leaves eight steps an epoch.

    Args:
        pictures: of training.
    """
    batch = LARGEST
    while batch > SMALLEST and _steps(pictures, batch) < ENOUGH:
        batch //= 2
    return batch


def batch_norm_momentum(pictures: int, batch_size: int) -> float:
    """Return the decay a step of batch-norm's moving statistics: with few steps an epoch 0.9 follows too slowly."""
    return 0.9 if _steps(pictures, batch_size) >= MANY else 0.7


def few_steps(batch_size: int, pictures: int, section: str) -> str:
    """Return what to print before training; an empty text where an epoch has steps enough.

    Args:
        batch_size: pictures a step, as the configuration says.
        pictures: of training.
        section: of the configuration, where it says so.
    """
    steps, better = _steps(pictures, batch_size), default_batch(pictures)
    if steps > FEW or better >= batch_size:
        return ""
    return (
        f"warning: {section}.batch_size {batch_size} leaves {steps} step{'' if steps == 1 else 's'} an epoch of "
        f"{pictures} pictures, which learns little: set it to null, which takes {better} here"
    )


def _steps(pictures: int, batch_size: int) -> int:
    return -(-pictures // batch_size)
