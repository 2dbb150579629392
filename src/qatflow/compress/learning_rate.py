"""The default learning rate of training for int8, and a warning when the configured one is far above it."""

TRAINED = 0.005 / 128
"""Rate per picture of a step, when batch-norm is trained: a twentieth of the peak rate of float training."""
FROZEN = 3e-6 / 25
"""Rate per picture of a step, when batch-norm is frozen: real ImageNet weights gain at this rate, and are lost at
thirty times as much (benchmarks/imagenet_weights.md)."""
FAR_ABOVE = 10.0


def default_rate(batch_size: int, freeze_batch_norm: bool) -> float:
    """Return the rate at the first step, in proportion to the batch (Goyal et al. 2017, arXiv:1706.02677, §2.1)."""
    return batch_size * (FROZEN if freeze_batch_norm else TRAINED)


def warning(rate: float, batch_size: int, freeze_batch_norm: bool) -> str:
    """Return what to print before training; an empty text when the rate is not far above the default."""
    usual = default_rate(batch_size, freeze_batch_norm)
    if rate <= FAR_ABOVE * usual:
        return ""
    norm = "kept as it is" if freeze_batch_norm else "trained"
    return (
        f"warning: compress.learning_rate {rate:.3g} is {rate / usual:.0f} times the default of {usual:.2g} (batches "
        f"of {batch_size}, batch-norm {norm}); rates this high have ruined good weights"
    )
