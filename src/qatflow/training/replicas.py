"""The devices that a training runs on: each has the whole model and an equal part of every batch.

Synchronous data parallelism (Goyal et al. 2017, arXiv:1706.02677): a step computes what one device would with the whole
batch, but for the order in which floating-point numbers are added.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import tensorflow as tf

from qatflow.base.errors import UserError


class Replicas:
    """The replicas of a model; one, on the device that TensorFlow chooses, unless there are several GPUs.

    Attributes:
        count: replicas.
    """

    def __init__(self, devices: Sequence[str] | None = None):
        """Set up one replica per device.

        Args:
            devices: their names (`CPU:0`); None: all GPUs that TensorFlow may use.
        """
        names = [device.name for device in tf.config.list_logical_devices("GPU")] if devices is None else list(devices)
        self._strategy = _mirrored(*names) if len(names) > 1 else tf.distribute.get_strategy()
        self.count: int = self._strategy.num_replicas_in_sync

    def scope(self) -> Any:
        """Return the context in which variables are made, one per replica."""
        return self._strategy.scope()

    def check(self, batch_size: int, key: str) -> None:
        """Raise unless every replica gets the same number of pictures of a batch.

        Args:
            batch_size: pictures per batch.
            key: of the configuration that says so.

        Raises:
            UserError: they do not.
        """
        if batch_size % self.count:
            more = -(-batch_size // self.count) * self.count
            raise UserError(
                f"{key}: {batch_size} pictures per step cannot be shared evenly by {self.count} GPUs; set it to "
                f"{more}, or hardware.gpus to a divisor of it"
            )

    def sum_variable(self, shape: Sequence[int]) -> Any:
        """Return a new float64 variable to which each replica adds; its value is the sum over all of them."""
        kind = tf.VariableSynchronization.ON_READ if self.count > 1 else tf.VariableSynchronization.AUTO
        zeros = tf.zeros(shape, tf.float64)
        return tf.Variable(zeros, trainable=False, synchronization=kind, aggregation=tf.VariableAggregation.SUM)

    def shared(self, batches: "tf.data.Dataset") -> Any:
        """Return the batches, each cut into as many parts as there are replicas, in order."""
        if self.count == 1:
            return batches
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return self._strategy.experimental_distribute_dataset(batches.with_options(options))

    def summed(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that runs `step` on every replica's part of a batch and adds up the results.

        Call it, traced or not, with a batch of `shared`.
        """
        if self.count == 1:
            return step

        def everywhere(*batch: Any) -> Any:
            return self._strategy.reduce(tf.distribute.ReduceOp.SUM, self._strategy.run(step, batch), axis=None)

        return everywhere


@cache
def _mirrored(*devices: str) -> Any:
    """Return the strategy of some devices: one per process, since all strategies number their messages alike."""
    return tf.distribute.MirroredStrategy(devices)


def part() -> tuple[int, int] | tuple[Any, int]:
    """Return, within a step, the number of this replica, counted from 0, and how many there are."""
    context = tf.distribute.get_replica_context()
    if context is None:  # outside the replicas, where the whole batch is
        return 0, 1
    return context.replica_id_in_sync_group, context.num_replicas_in_sync


def greatest(value: Any) -> Any:
    """Return, within a step, the greatest of the replicas' float32 scalars; every replica gets the same."""
    replica, replicas = part()
    if replicas == 1:
        return value
    # every kind of device can add up: here vectors that have one replica's value in each place
    own = tf.one_hot(replica, replicas, on_value=value, off_value=0.0)
    return tf.reduce_max(tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own))
