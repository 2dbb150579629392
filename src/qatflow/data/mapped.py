"""tf.data's `map` as this project needs it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def mapped(dataset: "tf.data.Dataset", function: Callable[..., Any]) -> "tf.data.Dataset":
    """Return the data set with a function applied to each element, by several threads, in the same order.

    AutoGraph does not rewrite the function, which takes it a tenth of a second and more: conditions on tensors are
    `tf.cond`.
    """
    import tensorflow as tf

    return dataset.map(tf.autograph.experimental.do_not_convert(function), num_parallel_calls=tf.data.AUTOTUNE)
