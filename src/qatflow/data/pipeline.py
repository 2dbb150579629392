"""Prepared pictures as tf.data batches, for training and for evaluating Keras graphs.

Epoch e of training is a pure function of (seed, e): order and augmentation are drawn for the whole epoch at once. So
training can start at any step, and a resumed run sees the same pictures as an uninterrupted one.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from qatflow.base.errors import UserError
from qatflow.data import augment
from qatflow.data.augment import Augmentation
from qatflow.data.evaluation_batch import evaluation_batch
from qatflow.data.in_shards import InShards, Parts, normalised_pictures
from qatflow.data.manifest import Manifest
from qatflow.data.mapped import mapped
from qatflow.data.preprocess import Preprocessing, resize
from qatflow.data.reader import pictures

if TYPE_CHECKING:
    import tensorflow as tf

IN_MEMORY = 2_000_000_000  # bytes of resized pictures up to which they are decoded once and kept
NONE = 0
"""Bytes in memory for pictures that are seen once: they are read when needed, however few there are."""
_ORDER, _AUGMENTATION = range(2)


class Store(Protocol):
    """The resized pictures of a split."""

    def batches(
        self, positions: np.ndarray, parts: Parts | None, batch_size: int, normalised: bool
    ) -> "tf.data.Dataset":
        """Return (pictures, labels), `batch_size` at a time.

        Args:
            positions: int64 [n], positions in the split, in the order to return.
            parts: crop and flip of each picture, as in `augment.Draws`; None: whole pictures.
            batch_size: pictures per batch; the last batch may have fewer.
            normalised: whether they are, which is fastest picture by picture; else they are as `resize` returns them.

        Returns:
            Dataset of [batch, height, width, channels], uint8 for `pad`, else float32, and int64 [batch].
        """


@dataclass(frozen=True)
class TrainingData:
    """The training pictures, served epoch by epoch.

    Attributes:
        preprocessing: what is done to them.
        count: number of pictures.
        batch_size: pictures per batch.
        seed: of order and augmentation.
        augmentation: see `training_data`.
    """

    preprocessing: Preprocessing
    count: int
    batch_size: int
    seed: int
    augmentation: Augmentation
    _store: Store

    @property
    def steps(self) -> int:
        """Batches per epoch.

        Every picture is seen in each epoch and every batch is full: the last one is filled up from the start of the
        epoch's order, with other augmentations.
        """
        return -(-self.count // self.batch_size)

    def positions(self, epoch: int) -> np.ndarray:
        """Return the order of an epoch: positions in the split, int64 [steps · batch_size]."""
        order = np.random.default_rng([self.seed, epoch, _ORDER]).permutation(self.count)
        return np.resize(order, self.steps * self.batch_size)  # np.resize repeats from the start

    def epoch(self, epoch: int, start_step: int = 0) -> "tf.data.Dataset":
        """Return the batches of an epoch from `start_step` to its end; both are counted from 0.

        Returns:
            Dataset of (float32 [batch_size, height, width, channels], int64 [batch_size]).
        """
        import tensorflow as tf

        total = self.steps * self.batch_size
        random = np.random.default_rng([self.seed, epoch, _AUGMENTATION])
        draws = augment.draw(self.augmentation, self.preprocessing.size, total, random)
        first = start_step * self.batch_size
        positions = self.positions(epoch)[first:]
        parts = None if draws.crop is None else (draws.crop[first:], draws.flip[first:])
        if self.augmentation in ("none", "crop_flip"):
            return _serve(self._store.batches(positions, parts, self.batch_size, normalised=True))
        pictures = self._store.batches(positions, parts, self.batch_size, normalised=False)
        batched = (draw.reshape(self.steps, self.batch_size, *draw.shape[1:]) for draw in (draws.shift, draws.flip))
        changes = tf.data.Dataset.from_tensor_slices(tuple(draw[start_step:] for draw in batched))

        def changed(pictures: tuple, changes: tuple) -> tuple["tf.Tensor", "tf.Tensor"]:
            (images, labels), (shift, flip) = pictures, changes
            if self.augmentation in augment.SHIFTED:
                images = augment.transform(images, shift, flip)
            else:
                images = augment.mirror(images, flip)
            return normalised_pictures(self.preprocessing, images), labels

        zipped = tf.data.Dataset.zip((pictures, changes))
        return _serve(mapped(zipped, changed))


def training_data(
    manifest: Manifest,
    *,
    batch_size: int,
    seed: int,
    augmentation: Augmentation,
    split: str = "train",
    in_memory: int = IN_MEMORY,
) -> TrainingData:
    """Open the training pictures; small data sets are decoded into memory once, larger ones are read when needed.

    Args:
        manifest: the data set.
        batch_size: pictures per batch.
        seed: of order and augmentation.
        augmentation: `none`; `flip`: mirrored left-right half of the time; `shift`: moved by up to a sixteenth of the
            side each way, with black moving in; `shift_flip`: both. Applied after resizing, before normalisation.
            `crop_flip`: a random part of the picture (see `augment.crop_box`), mirrored half of the time and resized to
            the square; pictures are then decoded each time.
        split: pictures to train on.
        in_memory: bytes of resized pictures up to which they are kept in memory.
    """
    count = manifest.splits[split].count
    if augmentation == "crop_flip" and manifest.preprocessing.resize == "pad":
        raise UserError(
            "augmentation: crop_flip resizes the pictures: set data.preprocessing.resize to stretch or crop"
        )
    store = _open(manifest, split, -1 if augmentation == "crop_flip" else in_memory)
    return TrainingData(manifest.preprocessing, count, batch_size, seed, augmentation, store)


def evaluation_batches(
    manifest: Manifest, split: str, *, batch_size: int | None = None, in_memory: int = IN_MEMORY
) -> "tf.data.Dataset":
    """Return every picture of a split once, in shard order, preprocessed but not augmented.

    Batches have `batch_size` pictures; None: as many as suit their size. Open the data set once and iterate as often as
    needed: small data sets are decoded here, not during iteration.

    Returns:
        Dataset of (float32 [n, height, width, channels], int64 [n]); n is `batch_size`, less in the last batch.
    """
    batch_size = batch_size or evaluation_batch(manifest.preprocessing.size)
    every = np.arange(manifest.splits[split].count)
    return _serve(_open(manifest, split, in_memory).batches(every, None, batch_size, normalised=True))


def _serve(dataset: "tf.data.Dataset") -> "tf.data.Dataset":
    import tensorflow as tf

    options = tf.data.Options()
    options.deterministic = True
    # a pool of its own, otherwise pictures wait behind the operations of a training step
    options.threading.private_threadpool_size = tf.config.threading.get_intra_op_parallelism_threads() or 1
    options.threading.max_intra_op_parallelism = 1  # one thread per picture or batch
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


def _open(manifest: Manifest, split: str, in_memory: int) -> Store:
    spec = manifest.preprocessing
    needed = manifest.splits[split].count * math.prod(spec.shape) * np.dtype(spec.resized_type).itemsize
    return _InMemory(manifest, split) if needed <= in_memory else InShards(manifest, split)


class _InMemory:
    """Every picture is decoded and resized once."""

    def __init__(self, manifest: Manifest, split: str) -> None:
        import tensorflow as tf

        spec, count = manifest.preprocessing, manifest.splits[split].count
        self._spec = spec
        images = np.empty((count, *spec.shape), spec.resized_type)
        labels = np.empty(count, np.int64)
        for i, (picture, label) in enumerate(pictures(manifest, split)):
            images[i], labels[i] = resize(spec, picture), label
        with tf.device("cpu"):
            self._images, self._labels = tf.constant(images), tf.constant(labels)

    def batches(
        self, positions: np.ndarray, parts: Parts | None, batch_size: int, normalised: bool
    ) -> "tf.data.Dataset":
        import tensorflow as tf

        assert parts is None
        places = tf.constant(positions)

        def batch(start: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
            chosen = places[start : start + batch_size]
            images = tf.gather(self._images, chosen)
            return normalised_pictures(self._spec, images) if normalised else images, tf.gather(self._labels, chosen)

        starts = tf.data.Dataset.range(0, len(positions), batch_size)
        return mapped(starts, batch)
