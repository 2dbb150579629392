"""Prepared pictures without TensorFlow: for LiteRT, calibration and the device."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from qatflow.base.errors import UserError
from qatflow.base.files import read_json, sha256
from qatflow.base.sums import compare
from qatflow.data import example, tfrecord
from qatflow.data.manifest import AGAIN, FILE, Manifest, read_manifest
from qatflow.data.picture import decode
from qatflow.data.preprocess import Preprocessing, apply


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
    for path, shard in zip(manifest.shard_paths(split), manifest.splits[split].shards, strict=True):
        compare(path, sha256(path), shard.sha256, manifest.folder / FILE, AGAIN)
        yield path


def pictures(manifest: Manifest, split: str, limit: int | None = None) -> Iterator[tuple[np.ndarray, int]]:
    """Yield each picture decoded, uint8 [height, width, channels], with its label; at most `limit` of them."""
    for record in records(manifest, split, limit):
        yield decode(record.content, manifest.preprocessing.channels), record.label


def tensors(
    manifest: Manifest, split: str, limit: int | None = None, spec: Preprocessing | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return preprocessed pictures and labels of a split, in shard order.

    Args:
        manifest: the data set.
        split: `train`, `validation` or `test`.
        limit: at most this many, from the start; None for all.
        spec: preprocessing to use instead of the manifest's.

    Returns:
        float32 [n, height, width, channels] and int64 [n].
    """
    spec = spec or manifest.preprocessing
    count = min(manifest.splits[split].count, manifest.splits[split].count if limit is None else limit)
    inputs = np.empty((count, *spec.shape), np.float32)
    labels = np.empty(count, np.int64)
    for i, record in enumerate(records(manifest, split, count)):
        inputs[i] = apply(spec, decode(record.content, spec.channels))
        labels[i] = record.label
    return inputs, labels


def calibration(manifest: Manifest, limit: int | None = None) -> np.ndarray:
    """Return the frozen calibration pictures, preprocessed: float32 [n, height, width, channels].

    The classes take turns, so the first `limit` pictures are balanced too.

    Raises:
        UserError: the list does not match the shards.
    """
    path = manifest.folder / manifest.calibration_file.file
    try:
        listed = read_json(path)["pictures"][:limit]
        rows = {picture["position"]: (row, picture["key"]) for row, picture in enumerate(listed)}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}): {AGAIN}") from error
    spec = manifest.preprocessing
    inputs = np.empty((len(rows), *spec.shape), np.float32)
    count = 0
    for position, record in enumerate(records(manifest, "train", max(rows, default=-1) + 1)):
        if position in rows:
            row, key = rows[position]
            if record.key != key:
                raise UserError(f"{path}: picture {position} of training is {record.key}, not {key}: {AGAIN}")
            inputs[row] = apply(spec, decode(record.content, spec.channels))
            count += 1
    if count != len(rows):
        raise UserError(f"{path} names {len(rows) - count} pictures that training does not have: {AGAIN}")
    return inputs
