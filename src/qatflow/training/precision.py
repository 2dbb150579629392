"""What the layers of a model compute in while it is built: Keras' mixed precision (Micikevicius et al. 2018,
arXiv:1710.03740)."""

import contextlib
from collections.abc import Iterator
from typing import Any

import tf_keras

from qatflow.config.sections.base import Precision

SINGLE: Precision = "float32"


@contextlib.contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Let the layers made within compute in it; their weights are float32 in any case."""
    tf_keras.mixed_precision.set_global_policy(precision)
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy(SINGLE)


def with_scaled_loss(optimizer: Any, precision: Precision) -> Any:
    """Return the optimiser, for float16 one that keeps gradients from vanishing there."""
    return tf_keras.mixed_precision.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer
