"""The batch size where the configuration gives none, and what depends on having few steps per epoch."""

LARGEST = 128
SMALLEST = 16
"""With fewer pictures, batch-norm's statistics are noise."""
ENOUGH = 8
"""Steps per epoch for which the batch is made smaller: with fewer, six epochs of some hundred pictures learn little
(config/README.md, Few pictures)."""
FEW = 3
"""Up to this number of steps per epoch, a batch size from the configuration causes a warning."""
MANY = 16
"""From this number of steps per epoch on, batch-norm's statistics keep up with the usual momentum."""


def default_batch(pictures: int) -> int:
    """Return 128, or with few pictures the half, quarter or eighth of it that leaves eight steps per epoch.

    Args:
        pictures: training pictures.
    """
    batch = LARGEST
    while batch > SMALLEST and _steps(pictures, batch) < ENOUGH:
        batch //= 2
    return batch


def batch_norm_momentum(pictures: int, batch_size: int) -> float:
    """Return the decay per step of batch-norm's moving statistics: with few steps per epoch 0.9 is too slow."""
    return 0.9 if _steps(pictures, batch_size) >= MANY else 0.7


def few_steps(batch_size: int, pictures: int, section: str) -> str:
    """Return a warning to print before training; an empty text where an epoch has enough steps.

    Args:
        batch_size: pictures per step, from the configuration.
        pictures: training pictures.
        section: section of the configuration that gives the batch size.
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
