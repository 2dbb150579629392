"""Pictures of shards as tf.data batches, each read and decoded when it is needed."""

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from qatflow.data import augment, example, jpeg, tfrecord
from qatflow.data.manifest import Manifest
from qatflow.data.mapped import mapped
from qatflow.data.picture import decode, size_of
from qatflow.data.preprocess import Preprocessing, in_order, placed, resize
from qatflow.data.stored import opened

if TYPE_CHECKING:
    import tensorflow as tf

Parts = tuple[np.ndarray, np.ndarray]
"""Crop, float64 [n, 4], and flip, bool [n], of each picture, as in `augment.Draws`."""

READ = 16
"""Pictures read by one call of Python, which costs more than to read one."""
LARGEST = 4
"""Where `crop` takes less than this share of a picture, one in so many, NumPy resizes only what is taken."""


class InShards:
    """The pictures of a split, by their positions in its shards.

    TensorFlow decodes those of which it gives the same bits as Pillow (`jpeg`), and Pillow all others.
    """

    def __init__(self, manifest: Manifest, split: str) -> None:
        """Find the records of a split."""
        self._spec = manifest.preprocessing
        self._paths = manifest.shard_paths(split)
        begins = [tfrecord.offsets(path) for path in self._paths]
        self._offsets = np.concatenate(begins)
        self._shards = np.repeat(np.arange(len(self._paths)), [len(b) for b in begins])
        self._same_bits = jpeg.same_bits()

    def batches(
        self, positions: np.ndarray, parts: Parts | None, batch_size: int, normalised: bool
    ) -> "tf.data.Dataset":
        """Return (pictures, labels), `batch_size` at a time: see `pipeline.Store`."""
        import tensorflow as tf

        places = tf.data.Dataset.from_tensor_slices((positions,) if parts is None else (positions, *parts))
        by_numpy = self._spec.resize in ("pad", "none")
        if not by_numpy:
            places = mapped(places.batch(READ), self._read).unbatch()

        def one(*place: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
            picture, label = self._resized(*place) if by_numpy else self._decoded(*place, whole=parts is None)
            return normalised_pictures(self._spec, picture) if normalised else picture, label

        return mapped(places, one).batch(batch_size)

    def _resized(self, position: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
        """Return a picture resized by NumPy, and its label."""
        import tensorflow as tf

        kinds = (tf.as_dtype(self._spec.resized_type), tf.int64)
        picture, label = tf.numpy_function(self._numpy_resized, [position], kinds, stateful=False)
        return tf.ensure_shape(picture, self._spec.shape), tf.ensure_shape(label, [])

    def _read(self, positions: "tf.Tensor", *parts: "tf.Tensor") -> tuple["tf.Tensor", ...]:
        """Return position, file, box, placement, mirrored and label of some pictures, as `_numpy_read` does."""
        import tensorflow as tf

        kinds = (tf.string, tf.int32, tf.int32, tf.bool, tf.int64)
        read = tf.numpy_function(self._numpy_read, [positions, *parts], kinds, stateful=False)
        shapes = ((), (4,), (5,), (), ())
        return (
            positions,
            *(tf.ensure_shape(values, [None, *shape]) for values, shape in zip(read, shapes, strict=True)),
            *parts[:1],
        )

    def _decoded(
        self,
        position: "tf.Tensor",
        file: "tf.Tensor",
        box: "tf.Tensor",
        placement: "tf.Tensor",
        mirrored: "tf.Tensor",
        label: "tf.Tensor",
        *crop: "tf.Tensor",
        whole: bool,
    ) -> tuple["tf.Tensor", "tf.Tensor"]:
        """Return a picture resized by TensorFlow, and its label."""
        import tensorflow as tf

        spec = self._spec
        plain, down, across, top, left = tf.unstack(placement)

        def by_tensorflow() -> "tf.Tensor":
            above, before, height, width = tf.unstack(box)
            seen = jpeg.decoded(file, spec.channels)[above : above + height, before : before + width]
            return seen if whole else tf.cond(mirrored, lambda: tf.reverse(seen, [1]), lambda: seen)

        def by_pillow() -> "tf.Tensor":
            flip = [] if whole else [mirrored]
            return tf.numpy_function(self._numpy_part, [position, *crop, *flip], tf.uint8, stateful=False)

        def resized() -> "tf.Tensor":
            seen = tf.ensure_shape(tf.cond(plain > 0, by_tensorflow, by_pillow), [None, None, spec.channels])
            picture = in_order(spec, seen)[None]
            # for a whole rectangle TensorFlow gives the same bits as `preprocess.resize`, only faster
            larger = tf.raw_ops.ResizeBilinear(images=picture, size=[down, across], half_pixel_centers=True)[0]
            return larger[top : top + spec.size.height, left : left + spec.size.width]

        if whole and spec.resize == "crop":
            small = down * across <= LARGEST * math.prod(spec.shape[:2])
            picture = tf.cond(small, resized, lambda: self._resized(position)[0])
        else:
            picture = resized()
        return tf.ensure_shape(picture, spec.shape), label

    def _numpy_read(
        self, positions: np.ndarray, crops: np.ndarray | None = None, flips: np.ndarray | None = None
    ) -> tuple[np.ndarray, ...]:
        """Return what `_decoded` needs of some pictures.

        Returns:
            The file; the box of it that is seen (top, left, height, width); whether TensorFlow decodes it, the size to
            which the box is resized, and top and left of what is taken of that; whether the box is mirrored; the label.
        """
        count, spec = len(positions), self._spec
        files, labels = np.empty(count, object), np.empty(count, np.int64)
        boxes, placements = np.zeros((count, 4), np.int32), np.zeros((count, 5), np.int32)
        for i, position in enumerate(positions):
            record = self._record(position)
            files[i], labels[i] = record.content, record.label
            size = jpeg.plain_size(record.content, spec.channels) if self._same_bits else None
            plain = size is not None
            size = size or size_of(record.content)
            if crops is None:
                whole, top, left = placed(spec, size.height, size.width)
                boxes[i], placements[i] = (0, 0, size.height, size.width), (plain, whole.height, whole.width, top, left)
            else:
                boxes[i] = augment.crop_box(crops[i], size, spec.size)
                placements[i] = plain, spec.size.height, spec.size.width, 0, 0
        return files, boxes, placements, np.zeros(count, bool) if flips is None else flips, labels

    def _numpy_resized(self, position: int) -> tuple[np.ndarray, np.int64]:
        record = self._record(position)
        picture = resize(self._spec, opened(self._spec, record.content))
        return np.ascontiguousarray(picture), np.int64(record.label)

    def _numpy_part(self, position: int, crop: np.ndarray | None = None, flip: bool = False) -> np.ndarray:
        part = None if crop is None else functools.partial(augment.crop_box, crop, target=self._spec.size)
        return np.ascontiguousarray(decode(self._record(position).content, self._spec.channels, part, flip))

    def _record(self, position: int) -> example.Record:
        return example.parse(tfrecord.read_at(self._paths[self._shards[position]], int(self._offsets[position])))


def normalised_pictures(spec: Preprocessing, images: "tf.Tensor") -> "tf.Tensor":
    """Do the same as `preprocess.normalise`, bit for bit, on pictures [..., height, width, channels]."""
    import tensorflow as tf

    # one row at a time: TensorFlow takes ten times as long to broadcast three numbers
    _, width, channels = spec.shape
    mean, scale = (
        np.tile(np.broadcast_to(np.asarray(values, np.float32), channels), width) for values in (spec.mean, spec.scale)
    )
    rows = tf.reshape(tf.cast(images, tf.float32), [-1, width * channels])
    return tf.reshape((rows - mean) * scale, [-1] * (images.shape.rank - 3) + list(spec.shape))
