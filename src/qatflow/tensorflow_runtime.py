"""How TensorFlow is started: quiet, with Keras 2, seeded, deterministic, and with the threads it was given."""

import os


def start(seed: int, threads: int) -> None:
    """Import and configure TensorFlow. Must come before any other import of it.

    Args:
        seed: seeds Python, NumPy and TensorFlow.
        threads: threads within and between operations.
    """
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tfmot works on Keras 2 alone
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf
    import tf_keras

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
