"""From a source to data/<name>/: TFRecord shards, labels, calibration list and manifest."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qatflow import provenance
from qatflow.data import example, tfrecord
from qatflow.data.manifest import File, Manifest, Shard, Split
from qatflow.data.picture import RejectedError
from qatflow.data.preprocess import Preprocessing, check_fits
from qatflow.data.sources import SOURCES
from qatflow.data.sources.source import Rejected, Source
from qatflow.data.split import SPLITS, balanced, split
from qatflow.errors import UserError
from qatflow.files import sha256, whole_folder, write_json, write_text

SHOWN = 20


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
        max_rejected: share of unreadable pictures above which preparation stops.
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
    """A shard, and what went into it: key and label of each record, in order; and what did not."""

    shard: Shard
    keys: list[str]
    labels: list[int]
    rejected: list[Rejected]
    converted: int


def prepare(settings: Settings, output: Path) -> Manifest:
    """Write the data set into the folder `output`, in place of whatever was there; the same inputs give the same bytes.

    A picture that cannot be read is left out of its split and listed in rejected.csv.

    Raises:
        UserError: the source is missing or damaged, too many pictures are unreadable (the whole list is then kept in
            `<output>.rejected.csv`), a split cannot be had, or a picture is too large to be padded.
    """
    if settings.source not in SOURCES:
        raise UserError(f"data.source: {settings.source!r} is not one of {', '.join(sorted(SOURCES))}")
    source = SOURCES[settings.source](settings.path, output.parent / ".download" / output.name)
    parts = split(source.pictures, validation=settings.validation, test=settings.test, seed=settings.seed)
    if not min(map(len, parts.values())):
        raise UserError(f"data: no picture for {', '.join(s for s in SPLITS if not len(parts[s]))}: ask for at least 1")
    with whole_folder(output) as folder:
        written = {name: _write_split(source, settings, name, parts, folder) for name in SPLITS}
        rejected = [*source.rejected, *(r for shards in written.values() for w in shards for r in w.rejected)]
        listing = folder / "rejected.csv"
        write_text(listing, _csv([("key", "reason"), *((r.key, r.reason) for r in rejected)]))
        _check_rejected(rejected, len(source.pictures) + len(source.rejected), settings.max_rejected, listing, output)
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
            splits={name: _summary(shards, len(source.labels)) for name, shards in written.items()},
            labels_file=_file(folder / "labels.txt"),
            calibration_file=_file(folder / "calibration.json"),
            rejected_file=_file(listing),
            rejected=len(rejected),
            converted=sum(w.converted for shards in written.values() for w in shards),
            provenance=provenance.record(source.inputs, settings.to_json(), settings.seed),
        )
        manifest.write()
    _rejected_list(output).unlink(missing_ok=True)
    return replace(manifest, folder=output)


def _write_split(
    source: Source, settings: Settings, name: str, parts: Mapping[str, np.ndarray], folder: Path
) -> list[_Written]:
    share = len(parts[name]) / len(parts["train"])
    shards = max(1, min(round(settings.shards * share), len(parts[name])))
    return [
        _write_shard(source, settings, picked, folder / f"{name}-{number:05d}-of-{shards:05d}.tfrecord")
        for number, picked in enumerate(np.array_split(parts[name], shards))
    ]


def _write_shard(source: Source, settings: Settings, picked: Sequence[int] | np.ndarray, path: Path) -> _Written:
    """Write one shard; it depends on nothing but its arguments."""
    keys: list[str] = []
    labels: list[int] = []
    rejected: list[Rejected] = []
    converted = 0
    with path.open("wb") as file:
        for index in picked:
            picture = source.pictures[index]
            try:
                encoded = source.encoded(index)
            except RejectedError as error:
                rejected.append(Rejected(picture.key, str(error)))
                continue
            check_fits(settings.preprocessing, encoded.height, encoded.width, picture.key)
            tfrecord.write(file, example.serialise(example.Record(encoded.content, picture.label, picture.key)))
            keys.append(picture.key)
            labels.append(picture.label)
            converted += encoded.converted
    return _Written(Shard(**vars(_file(path)), count=len(keys)), keys, labels, rejected, converted)


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


def _check_rejected(rejected: Sequence[Rejected], total: int, allowed: float, listing: Path, output: Path) -> None:
    if len(rejected) <= allowed * total:
        return
    kept = _rejected_list(output)
    write_text(kept, listing.read_text("utf-8"))
    shown = "".join(f"\n  {r.key}: {r.reason}" for r in rejected[:SHOWN])
    raise UserError(
        f"{len(rejected)} of {total} pictures cannot be used, more than data.max_rejected = {allowed:g} allows: "
        "mend or remove them, or raise data.max_rejected. "
        f"All are listed in {kept}; the first {min(SHOWN, len(rejected))}:{shown}"
    )


def _rejected_list(output: Path) -> Path:
    return output.with_name(f"{output.name}.rejected.csv")


def _csv(rows: Iterable[tuple[str, str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _file(path: Path) -> File:
    return File(path.name, sha256(path), path.stat().st_size)
