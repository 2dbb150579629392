"""Prepared pictures without TensorFlow: for LiteRT, calibration and the device."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from qatflow.base.errors import UserError
from qatflow.base.files import read_json, sha256
from qatflow.base.sums import compare
from qatflow.data import example, tfrecord
from qatflow.data.manifest import AGAIN, FILE, Manifest, Shard, read_manifest
from qatflow.data.preprocess import Preprocessing, apply
from qatflow.data.stored import opened


def open_manifest(path: Path) -> Manifest:
    """Open a prepared data set by its folder or manifest.json; `manifest.read_manifest` describes the checks."""
    return read_manifest(path)


def records(manifest: Manifest, split: str, limit: int | None = None) -> Iterator[example.Record]:
    """Yield the stored records of `train`, `validation` or `test` in shard order; `_shards` describes the checks."""
    every = (example.parse(data) for path in _shards(manifest, split) for data in tfrecord.read(path))
    return islice(every, limit)


def _shards(manifest: Manifest, split: str) -> Iterator[Path]:
    """Yield the files of a split, each checked against its checksum in the manifest; each record has a CRC-32C too.

    Raises:
        UserError: a shard has changed since it was written.
    """
    for shard in manifest.splits[split].shards:
        yield checked(manifest, shard)


def checked(manifest: Manifest, shard: Shard) -> Path:
    """Return the file of a shard; raises UserError where it has changed."""
    path = manifest.folder / shard.file
    compare(path, sha256(path), shard.sha256, manifest.folder / FILE, AGAIN)
    return path


def pictures(manifest: Manifest, split: str, limit: int | None = None) -> Iterator[tuple[np.ndarray, int]]:
    """Yield each picture decoded, uint8 [height, width, channels], with its label; at most `limit` of them."""
    for record in records(manifest, split, limit):
        yield opened(manifest.preprocessing, record.content), record.label


def tensors(
    manifest: Manifest, split: str, limit: int | None = None, spec: Preprocessing | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return preprocessed pictures and labels of a split, in shard order; for a few pictures, since all are in memory.

    Args:
        manifest: the data set.
        split: `train`, `validation` or `test`.
        limit: at most this many, from the start; None for all.
        spec: preprocessing to use instead of the manifest's.

    Returns:
        float32 [n, height, width, channels] and int64 [n].
    """
    return inputs(places(manifest, split, limit), spec or manifest.preprocessing)


def calibration(manifest: Manifest, limit: int | None = None) -> np.ndarray:
    """Return the first `limit` of the frozen calibration pictures, preprocessed: float32 [n, height, width, channels].

    Raises:
        UserError: the list does not match the shards.
    """
    return inputs(calibration_places(manifest, limit), manifest.preprocessing)[0]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is.

    Attributes:
        shard: the file.
        offset: of the record, in bytes.
        key: that the record must have; None: any.
    """

    shard: Path
    offset: int
    key: str | None = None


def places(manifest: Manifest, split: str, limit: int | None = None) -> Iterator[Place]:
    """Yield where the pictures of a split are, in shard order; `_shards` describes the checks, made shard by shard."""
    every = (Place(path, offset) for path in _shards(manifest, split) for offset in tfrecord.offsets(path).tolist())
    return islice(every, limit)


def calibration_places(manifest: Manifest, limit: int | None = None) -> list[Place]:
    """Return where the frozen calibration pictures are, in the order of their list.

    The classes take turns, so the first `limit` pictures are balanced too.

    Raises:
        UserError: the list names pictures that its split does not have, or a shard that holds one has changed.
    """
    path = manifest.folder / manifest.calibration_file.file
    try:
        content = read_json(path)
        split = content["split"]
        listed = [(picture["position"], picture["key"]) for picture in content["pictures"][:limit]]
        shards = manifest.splits[split].shards
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}): {AGAIN}") from error
    ends = np.cumsum([shard.count for shard in shards])
    beyond = sum(not 0 <= position < ends[-1] for position, _ in listed)
    if beyond:
        raise UserError(f"{path} names {beyond} pictures that the split {split} does not have: {AGAIN}")
    numbers = np.searchsorted(ends, [position for position, _ in listed], side="right")
    begins = {number: tfrecord.offsets(checked(manifest, shards[number])) for number in np.unique(numbers).tolist()}
    return [
        Place(
            manifest.folder / shards[number].file,
            int(begins[number][position - ends[number] + shards[number].count]),
            key,
        )
        for (position, key), number in zip(listed, numbers.tolist(), strict=True)
    ]


def inputs(these: Iterable[Place], spec: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    """Return the preprocessed pictures and the labels of records, in this order.

    Args:
        these: where the records are.
        spec: the preprocessing.

    Returns:
        float32 [n, height, width, channels] and int64 [n].

    Raises:
        UserError: a record is damaged, or is not the one that was listed.
    """
    these = list(these)
    pictures = np.empty((len(these), *spec.shape), np.float32)
    labels = np.empty(len(these), np.int64)
    for i, place in enumerate(these):
        record = example.parse(tfrecord.read_at(place.shard, place.offset))
        if place.key is not None and record.key != place.key:
            raise UserError(
                f"{place.shard}: the record at byte {place.offset} is {record.key}, but the calibration list says "
                f"{place.key}: {AGAIN}"
            )
        pictures[i], labels[i] = apply(spec, opened(spec, record.content)), record.label
    return pictures, labels


def stored_records(these: Iterable[Place]) -> Iterator[example.Record]:
    """Yield the records at these places, as they are stored."""
    return (example.parse(tfrecord.read_at(place.shard, place.offset)) for place in these)


def batches(these: Iterable[Place], size: int) -> Iterator[tuple[Place, ...]]:
    """Yield `size` places at a time; the last batch may have fewer."""
    rest = iter(these)
    while batch := tuple(islice(rest, size)):
        yield batch
