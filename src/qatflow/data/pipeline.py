"""Prepared pictures as tf.data batches, for training and for evaluating Keras graphs.

Epoch e of training is a pure function of (seed, e): order and augmentation are drawn for the whole epoch at once, so
that step k can be entered directly and a resumed run sees what an uninterrupted one would have seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qatflow.data import augment, example, tfrecord
from qatflow.data.augment import Augmentation
from qatflow.data.manifest import Manifest
from qatflow.data.picture import decode
from qatflow.data.preprocess import Preprocessing, resize
from qatflow.data.reader import calibration, pictures

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["TrainingData", "calibration", "evaluation_batches", "training_data"]

IN_MEMORY = 2_000_000_000  # bytes of resized pictures up to which they are decoded once and kept
_ORDER, _AUGMENTATION = range(2)

# Positions int64 [n] → resized pictures [n, size, size, channels] (uint8 for `pad`, float32 for `stretch`) and labels.
Gather = Callable[["tf.Tensor"], tuple["tf.Tensor", "tf.Tensor"]]


@dataclass(frozen=True)
class TrainingData:
    """The training pictures, ready to be served epoch by epoch.

    Attributes:
        preprocessing: what is done to them.
        count: pictures.
        batch_size: pictures a batch.
        seed: of order and augmentation.
        augmentation: see `training_data`.
    """

    preprocessing: Preprocessing
    count: int
    batch_size: int
    seed: int
    augmentation: Augmentation
    _gather: Gather

    @property
    def steps(self) -> int:
        """Batches an epoch.

        Every picture is seen in each epoch and every batch is full: the last one is filled up from the beginning of
        the epoch's order, with other augmentations.
        """
        return -(-self.count // self.batch_size)

    def epoch(self, epoch: int, start_step: int = 0) -> "tf.data.Dataset":
        """Return the batches of an epoch from `start_step` (both counted from 0) to its end.

        Returns:
            Dataset of (float32 [batch_size, size, size, channels], int64 [batch_size]).
        """
        import tensorflow as tf

        total = self.steps * self.batch_size
        order = np.random.default_rng([self.seed, epoch, _ORDER]).permutation(self.count)
        random = np.random.default_rng([self.seed, epoch, _AUGMENTATION])
        draws = augment.draw(self.augmentation, self.preprocessing.size, total, random)

        def batch(positions: "tf.Tensor", shift: "tf.Tensor", flip: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
            images, labels = self._gather(positions)
            if self.augmentation != "none":
                images = augment.transform(images, shift, flip)
            return _normalise(self.preprocessing, images), labels

        columns = (np.resize(order, total), draws.shift, draws.flip)  # resize repeats from the beginning
        batched = (column.reshape(self.steps, self.batch_size, *column.shape[1:]) for column in columns)
        return _serve(tf.data.Dataset.from_tensor_slices(tuple(column[start_step:] for column in batched)), batch)


def training_data(
    manifest: Manifest,
    *,
    batch_size: int,
    seed: int,
    augmentation: Augmentation,
    split: str = "train",
    in_memory: int = IN_MEMORY,
) -> TrainingData:
    """Open the training pictures; small data are decoded into memory once, larger are read as they are needed.

    Args:
        manifest: the data set.
        batch_size: pictures a batch.
        seed: of order and augmentation.
        augmentation: `none`; `flip`: mirrored left-right half of the time; `shift`: moved by up to size // 16 pixels
            each way, black coming in; `shift_flip`: both. Applied after resizing, before normalisation.
        split: pictures to train on.
        in_memory: bytes of resized pictures up to which they are kept in memory.
    """
    count = manifest.splits[split].count
    return TrainingData(
        manifest.preprocessing, count, batch_size, seed, augmentation, _open(manifest, split, in_memory)
    )


def evaluation_batches(
    manifest: Manifest, split: str, *, batch_size: int, in_memory: int = IN_MEMORY
) -> "tf.data.Dataset":
    """Return every picture of a split once, in shard order, unchanged but for preprocessing.

    Open it once and iterate as often as needed: small data are decoded here, not in the iteration.

    Returns:
        Dataset of (float32 [n, size, size, channels], int64 [n]); n is `batch_size`, less in the last batch.
    """
    import tensorflow as tf

    gather = _open(manifest, split, in_memory)

    def batch(positions: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
        images, labels = gather(positions)
        return _normalise(manifest.preprocessing, images), labels

    return _serve(tf.data.Dataset.range(manifest.splits[split].count).batch(batch_size), batch)


def _serve(dataset: "tf.data.Dataset", batch: Callable[..., tuple]) -> "tf.data.Dataset":
    import tensorflow as tf

    options = tf.data.Options()
    options.deterministic = True
    return dataset.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE).with_options(options)


def _normalise(spec: Preprocessing, images: "tf.Tensor") -> "tf.Tensor":
    """Do what `preprocess.normalise` does, to the bit."""
    import tensorflow as tf

    return (tf.cast(images, tf.float32) - tf.constant(spec.mean, tf.float32)) * tf.constant(spec.scale)


def _open(manifest: Manifest, split: str, in_memory: int) -> Gather:
    spec = manifest.preprocessing
    pixel_bytes = 1 if spec.resize == "pad" else 4
    needed = manifest.splits[split].count * spec.size * spec.size * spec.channels * pixel_bytes
    return _from_memory(manifest, split) if needed <= in_memory else _from_shards(manifest, split)


def _from_memory(manifest: Manifest, split: str) -> Gather:
    """Decode and resize every picture now."""
    import tensorflow as tf

    spec, count = manifest.preprocessing, manifest.splits[split].count
    images = np.empty((count, spec.size, spec.size, spec.channels), np.uint8 if spec.resize == "pad" else np.float32)
    labels = np.empty(count, np.int64)
    for i, (picture, label) in enumerate(pictures(manifest, split)):
        images[i], labels[i] = resize(spec, picture), label
    with tf.device("cpu"):
        kept, kept_labels = tf.constant(images), tf.constant(labels)
    return lambda positions: (tf.gather(kept, positions), tf.gather(kept_labels, positions))


def _from_shards(manifest: Manifest, split: str) -> Gather:
    """Read each picture when it is needed, by its place in the shards; decoded by Pillow, as everywhere."""
    import tensorflow as tf

    spec = manifest.preprocessing
    paths = manifest.shard_paths(split)
    begins = [tfrecord.offsets(path) for path in paths]
    offsets, shards = np.concatenate(begins), np.repeat(np.arange(len(paths)), [len(b) for b in begins])

    def read(position: int) -> tuple[np.ndarray, np.int64]:
        record = example.parse(tfrecord.read_at(paths[shards[position]], int(offsets[position])))
        picture = decode(record.content, spec.channels)
        return resize(spec, picture) if spec.resize == "pad" else picture, np.int64(record.label)

    def one(position: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
        picture, label = tf.numpy_function(read, [position], (tf.uint8, tf.int64), stateful=False)
        picture = tf.ensure_shape(picture, [None, None, spec.channels])
        if spec.resize == "stretch":  # to the same bits as `preprocess.resize`, but on all cores
            picture = tf.raw_ops.ResizeBilinear(
                images=picture[None], size=[spec.size, spec.size], half_pixel_centers=True
            )[0]
        return tf.ensure_shape(picture, [spec.size, spec.size, spec.channels]), tf.ensure_shape(label, [])

    kind = tf.uint8 if spec.resize == "pad" else tf.float32
    return lambda positions: tf.map_fn(one, positions, fn_output_signature=(kind, tf.int64))
