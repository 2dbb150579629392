"""What the layers of a model compute in: Keras' mixed precision (Micikevicius et al. 2018, arXiv:1710.03740)."""

import contextlib
from collections.abc import Iterator
from typing import Any

import tf_keras

from qatflow.config.sections.base import Precision

SINGLE: Precision = "float32"


@contextlib.contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Let layers that are made in this context compute in `precision`; their weights are float32 in any case."""
    tf_keras.mixed_precision.set_global_policy(precision)
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy(SINGLE)


def with_scaled_loss(optimizer: Any, precision: Precision) -> Any:
    """Return the optimiser; for float16 wrapped in a loss scale, which keeps small gradients from vanishing."""
    return tf_keras.mixed_precision.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer
