"""From a source to data/<name>/: TFRecord shards, labels, calibration list and manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qatflow import provenance
from qatflow.data import example, tfrecord
from qatflow.data.manifest import File, Manifest, Shard, Split
from qatflow.data.picture import Encoded, RejectedError
from qatflow.data.preprocess import Preprocessing, misfit
from qatflow.data.rejections import check_left, check_share, kept_list, table
from qatflow.data.sources import SOURCES
from qatflow.data.sources.source import Rejected, Source
from qatflow.data.split import SPLITS, balanced, split
from qatflow.errors import UserError
from qatflow.files import sha256, whole_folder, write_json, write_text


@dataclass(frozen=True)
class Settings:
    """What shapes a prepared data set; the fields are those of the configuration's section `data`.

    Attributes:
        name: of the data set.
        source: key of `sources.SOURCES`.
        path: folder of the source, or None for its default.
        validation: pictures set aside from training, where the source has no validation split.
        test: pictures set aside from training, where the source has no test split.
        calibration: training pictures on the calibration list.
        shards: files of the training split; the others get as many in proportion, at least one.
        max_rejected: share of rejected pictures above which preparation stops.
        seed: of the splits and of the order.
        preprocessing: kept in the manifest; only the size of pictures to be padded is checked here.
    """

    name: str
    source: str
    path: Path | None
    validation: int
    test: int
    calibration: int
    shards: int
    max_rejected: float
    seed: int
    preprocessing: Preprocessing

    def to_json(self) -> dict[str, Any]:
        """Return the plain JSON form."""
        return asdict(self) | {
            "path": None if self.path is None else str(self.path),
            "preprocessing": self.preprocessing.to_json(),
        }


@dataclass(frozen=True)
class _Written:
    """A shard, and what went into it: key, label and digest of each record, in order; and what did not."""

    shard: Shard
    keys: list[str]
    labels: list[int]
    digests: list[bytes]
    rejected: list[Rejected]
    converted: int


def prepare(settings: Settings, output: Path) -> Manifest:
    """Write the data set into the folder `output`, in place of whatever was there; the same inputs give the same bytes.

    A picture that cannot be read, is too large to be padded, or is in a later split too, is left out of its split and
    listed in rejected.csv.

    Raises:
        UserError: the source is missing or damaged, too many pictures are rejected or all of a split or class (the
            whole list is then kept in `<output>.rejected.csv`), a split cannot be had, or the disk is full.
    """
    if settings.source not in SOURCES:
        raise UserError(f"data.source: {settings.source!r} is not one of {', '.join(sorted(SOURCES))}")
    source = SOURCES[settings.source](settings.path, output.parent / ".download" / output.name)
    parts = split(source.pictures, validation=settings.validation, test=settings.test, seed=settings.seed)
    if not min(map(len, parts.values())):
        raise UserError(f"data: no picture for {', '.join(s for s in SPLITS if not len(parts[s]))}: ask for at least 1")
    with whole_folder(output) as folder:
        written = _write_splits(source, settings, parts, folder)
        splits = {name: _summary(shards, len(source.labels)) for name, shards in written.items()}
        rejected = [*source.rejected, *(r for shards in written.values() for w in shards for r in w.rejected)]
        check_share(rejected, len(source.pictures) + len(source.rejected), settings.max_rejected, output)
        train = {source.pictures[index].label for index in parts["train"]}
        wanted = [name if label in train else "" for label, name in enumerate(source.labels)]
        check_left({name: part.class_counts for name, part in splits.items()}, wanted, rejected, output)
        write_text(folder / "rejected.csv", table(rejected))
        write_text(folder / "labels.txt", "".join(f"{label}\n" for label in source.labels))
        _write_calibration(folder / "calibration.json", written["train"], settings)
        manifest = Manifest(
            folder=folder,
            dataset=settings.name,
            source=settings.source,
            origin=source.origin,
            licence=source.licence,
            labels=source.labels,
            preprocessing=settings.preprocessing,
            splits=splits,
            labels_file=_file(folder / "labels.txt"),
            calibration_file=_file(folder / "calibration.json"),
            rejected_file=_file(folder / "rejected.csv"),
            rejected=len(rejected),
            converted=sum(w.converted for shards in written.values() for w in shards),
            provenance=provenance.record(source.inputs, settings.to_json(), settings.seed),
        )
        manifest.write()
    kept_list(output).unlink(missing_ok=True)
    return replace(manifest, folder=output)


def _write_splits(
    source: Source, settings: Settings, parts: Mapping[str, np.ndarray], folder: Path
) -> dict[str, list[_Written]]:
    """Write test first and training last, so that of a picture in both it is the training one that goes."""
    written: dict[str, list[_Written]] = {}
    for name in reversed(SPLITS):
        elsewhere = {
            digest: f"{other}: {key}"
            for other, shards in written.items()
            for shard in shards
            for digest, key in zip(shard.digests, shard.keys, strict=True)
        }
        share = len(parts[name]) / len(parts["train"])
        number = max(1, min(round(settings.shards * share), len(parts[name])))
        written[name] = [
            _write_shard(source, settings, picked, elsewhere, folder / f"{name}-{i:05d}-of-{number:05d}.tfrecord")
            for i, picked in enumerate(np.array_split(parts[name], number))
        ]
    return {name: written[name] for name in SPLITS}


def _write_shard(
    source: Source, settings: Settings, picked: Sequence[int] | np.ndarray, elsewhere: Mapping[bytes, str], path: Path
) -> _Written:
    """Write one shard; it depends on nothing but its arguments. `elsewhere`: digests of the other splits' pictures."""
    keys: list[str] = []
    labels: list[int] = []
    digests: list[bytes] = []
    rejected: list[Rejected] = []
    converted = 0
    with path.open("wb") as file:
        for index in picked:
            picture = source.pictures[index]
            try:
                encoded = _usable(source, index, settings.preprocessing, elsewhere)
            except RejectedError as error:
                rejected.append(Rejected(picture.key, str(error)))
                continue
            tfrecord.write(file, example.serialise(example.Record(encoded.content, picture.label, picture.key)))
            keys.append(picture.key)
            labels.append(picture.label)
            digests.append(encoded.digest)
            converted += encoded.converted
    return _Written(Shard(**vars(_file(path)), count=len(keys)), keys, labels, digests, rejected, converted)


def _usable(source: Source, index: int, spec: Preprocessing, elsewhere: Mapping[bytes, str]) -> Encoded:
    encoded = source.encoded(index)
    if (reason := misfit(spec, encoded.height, encoded.width)) is not None:
        raise RejectedError(reason)
    if encoded.digest in elsewhere:
        raise RejectedError(f"the same picture is among those of {elsewhere[encoded.digest]}")
    return encoded


def _write_calibration(path: Path, train: Sequence[_Written], settings: Settings) -> None:
    """Write the frozen list: position in the training split (in shard order), key and label of each picture."""
    keys = [key for written in train for key in written.keys]
    labels = np.array([label for written in train for label in written.labels], np.int64)
    chosen = balanced(labels, settings.calibration, settings.seed)
    pictures = [{"position": int(p), "key": keys[p], "label": int(labels[p])} for p in chosen]
    write_json(path, {"split": "train", "seed": settings.seed, "pictures": pictures})


def _summary(written: Sequence[_Written], classes: int) -> Split:
    labels = np.array([label for w in written for label in w.labels], np.int64)
    counts = tuple(np.bincount(labels, minlength=classes).tolist())
    return Split(len(labels), counts, tuple(w.shard for w in written))


def _file(path: Path) -> File:
    return File(path.name, sha256(path), path.stat().st_size)
