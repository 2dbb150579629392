"""The error message when a training step does not fit into memory: it names a batch size that does."""

from collections.abc import Callable

import tensorflow as tf

from qatflow.base.errors import UserError
from qatflow.base.files import full_disk
from qatflow.training.settings import TrainingSettings

MAY_SAY = (tf.errors.ResourceExhaustedError, tf.errors.AbortedError)


def ran_out(error: Exception) -> bool:
    """Return whether TensorFlow's error means that memory ran out; oneDNN reports it in its own way.

    A full disk is a ResourceExhaustedError too, with the operating system's message in it.
    """
    if full_disk(str(error)):
        return False
    return isinstance(error, tf.errors.ResourceExhaustedError) or (
        isinstance(error, tf.errors.AbortedError) and "memory" in str(error)
    )


def out_of_memory(try_gradients: Callable[[int], None], settings: TrainingSettings, replicas: int) -> UserError:
    """Return the error of a training that ran out of memory, with a batch that was tried and fits.

    Args:
        try_gradients: computes the gradients of this many pictures on each device.
        settings: of the training.
        replicas: devices that share a batch.
    """
    key, whole = f"{settings.section}.batch_size", settings.batch_size
    where = "the memory" if replicas == 1 else f"the memory of {replicas} devices"
    part = _fitting(try_gradients, whole // replicas)
    if part == 0:
        advice = "not even one picture per device does: use a smaller model or smaller pictures, or more memory"
    elif part * replicas == whole:
        advice = f"though it did alone: another process took the memory; leave the machine to this run, or lower {key}"
    else:
        advice = f"{part * replicas} do (tried): set {key} to {part * replicas}; what was trained so far is kept"
    return UserError(f"a step of {whole} pictures ({key}) does not fit into {where}{_limit()}; {advice}")


def _fitting(try_gradients: Callable[[int], None], count: int) -> int:
    """Return the first of count, count / 2, count / 4 … that fits; 0 if none does."""
    while count > 0:
        try:
            try_gradients(count)
        except MAY_SAY as error:
            if not ran_out(error):
                raise
            count //= 2
        else:
            return count
    return 0


def _limit() -> str:
    """Return how much of a GPU's memory TensorFlow may take, where that is limited."""
    for device in tf.config.list_physical_devices("GPU"):
        for logical in tf.config.get_logical_device_configuration(device) or ():
            if logical.memory_limit is not None:
                return f" (hardware.memory_limit: {logical.memory_limit} MiB)"
    return ""
