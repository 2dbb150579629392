"""A prepared data set, as later stages see it: data/<name>/manifest.json."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from qatflow.base.errors import UserError
from qatflow.base.files import sha256
from qatflow.base.sums import compare, read_sealed, write_sealed
from qatflow.data.preprocess import Preprocessing

FORMAT = 1
FILE = "manifest.json"
UNLABELED = "unlabeled"
"""The split of pictures without labels."""
LabelsFrom = Literal["source", "nothing", "float model"]
"""Where the labels come from. `nothing`: there are none yet; `float model`: its answers serve as labels."""
AGAIN = "prepare the data again with `snakemake --cores all data --forcerun prepare_data`"


@dataclass(frozen=True)
class File:
    """A file of the data folder: its name, SHA-256 and size in bytes."""

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Shard(File):
    """A TFRecord file, with the number of its records."""

    count: int


@dataclass(frozen=True)
class SplitFiles:
    """The shards with the pictures of training, validation or test, in order.

    Attributes:
        count: pictures.
        class_counts: pictures of each class, by label; empty for pictures without labels.
        shards: files, in order.
    """

    count: int
    class_counts: tuple[int, ...]
    shards: tuple[Shard, ...]

    @property
    def unlabeled(self) -> bool:
        """Whether some of the pictures have no label."""
        return sum(self.class_counts) < self.count


@dataclass(frozen=True)
class Manifest:
    """A prepared data set.

    Attributes:
        folder: where its files are.
        dataset: name of the data set, as in data/<name>.
        source: kind of source (`idx`, `folder`, ...).
        origin: where the pictures come from, in words.
        licence: its terms, as far as known.
        labels: name of each class, by label.
        preprocessing: what is done to a picture before the network sees it.
        splits: `train`, `validation` and `test`; `unlabeled` too if there are pictures without labels.
        labels_file: labels.txt, one name per line.
        calibration_file: calibration.json, the frozen list of calibration pictures.
        rejected_file: rejected.csv, key and reason of each rejected picture.
        rejected: number of rejected pictures.
        converted: number of pictures whose original bytes could not be kept (see `picture.stored`).
        provenance: what made the folder.
        labels_from: where the labels of the pictures come from.
    """

    folder: Path
    dataset: str
    source: str
    origin: str
    licence: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    splits: Mapping[str, SplitFiles]
    labels_file: File
    calibration_file: File
    rejected_file: File
    rejected: int
    converted: int
    provenance: Mapping[str, Any]
    labels_from: LabelsFrom = "source"

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.labels)

    def shard_paths(self, split: str) -> list[Path]:
        """Return the TFRecord files of a split, in order."""
        return [self.folder / shard.file for shard in self.splits[split].shards]

    def with_unlabeled(self) -> "Manifest":
        """Return the manifest with the pictures without labels behind the training pictures, in one split.

        Raises:
            UserError: there are none.
        """
        if UNLABELED not in self.splits:
            raise UserError(f"data/{self.dataset} has no pictures without labels: set data.unlabeled.path")
        train, more = self.splits["train"], self.splits[UNLABELED]
        together = SplitFiles(train.count + more.count, train.class_counts, (*train.shards, *more.shards))
        return replace(self, splits={**self.splits, "train": together})

    def content_digest(self) -> str:
        """Return the SHA-256 over pictures, labels, calibration list and preprocessing; the folder plays no part."""
        shards = {name: [shard.sha256 for shard in split.shards] for name, split in self.splits.items()}
        files = [self.labels_file.sha256, self.calibration_file.sha256]
        content = json.dumps([shards, files, self.preprocessing.to_json()], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def split_digest(self, split: str) -> str:
        """Return the SHA-256 over the pictures of a split, their order and their labels, whatever is done to them then.

        The shards hold the files of the pictures, so the digest is the same at every size of the network's input.
        """
        content = json.dumps([[shard.sha256 for shard in self.splits[split].shards], self.labels_file.sha256])
        return hashlib.sha256(content.encode()).hexdigest()

    def write(self) -> None:
        """Write manifest.json into the folder, complete or not at all."""
        value = {
            "format_version": FORMAT,
            "dataset": self.dataset,
            "source": self.source,
            "origin": self.origin,
            "licence": self.licence,
            "labels_from": self.labels_from,
            "classes": self.classes,
            "splits": {name: asdict(split) for name, split in self.splits.items()},
            "labels": asdict(self.labels_file),
            "calibration": asdict(self.calibration_file),
            "rejected": asdict(self.rejected_file) | {"count": self.rejected},
            "converted": self.converted,
            "preprocessing": self.preprocessing.to_json(),
            "provenance": dict(self.provenance),
        }
        write_sealed(self.folder / FILE, value)


def read_manifest(path: Path) -> Manifest:
    """Read manifest.json (or the folder that holds it); check the sizes of its files, and the checksums of small ones.

    A shard's checksum is checked when it is read (`reader.records`); each record has its own checksum too.

    Raises:
        UserError: the manifest is missing, unreadable or of another format, or one of its files is missing, has
            another size, or has changed.
    """
    path = path / FILE if path.is_dir() else path
    try:
        value = read_sealed(path, AGAIN)
        manifest = _from_json(path.parent, value)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {AGAIN}") from None
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a data manifest of format {FORMAT} ({error!r}): {AGAIN}") from error
    if len(manifest.labels) != value["classes"]:
        raise UserError(f"{path.parent / manifest.labels_file.file} does not name {value['classes']} classes: {AGAIN}")
    return manifest


def _from_json(folder: Path, value: dict[str, Any]) -> Manifest:
    if value["format_version"] != FORMAT:
        raise UserError(f"{folder / FILE} has format {value['format_version']}, expected {FORMAT}: {AGAIN}")
    rejected = dict(value["rejected"])
    rejected_count = rejected.pop("count")
    labels_file, calibration_file, rejected_file = (
        File(**file) for file in (value["labels"], value["calibration"], rejected)
    )
    splits = {
        name: SplitFiles(
            split["count"], tuple(split["class_counts"]), tuple(Shard(**shard) for shard in split["shards"])
        )
        for name, split in value["splits"].items()
    }
    for file in (labels_file, calibration_file, rejected_file, *(s for split in splits.values() for s in split.shards)):
        _check(folder / file.file, file.bytes)
    for file in (labels_file, calibration_file, rejected_file):
        compare(folder / file.file, sha256(folder / file.file), file.sha256, folder / FILE, AGAIN)
    return Manifest(
        folder=folder,
        dataset=value["dataset"],
        source=value["source"],
        origin=value["origin"],
        licence=value["licence"],
        labels=tuple((folder / labels_file.file).read_text("utf-8").split("\n")[:-1]),
        preprocessing=Preprocessing.from_json(value["preprocessing"]),
        splits=splits,
        labels_file=labels_file,
        calibration_file=calibration_file,
        rejected_file=rejected_file,
        rejected=rejected_count,
        converted=value["converted"],
        provenance=value["provenance"],
        labels_from=value.get("labels_from", "source"),  # older manifests are of pictures with labels
    )


def _check(path: Path, size: int) -> None:
    if not path.is_file():
        raise UserError(f"{path} is missing, though the manifest names it: {AGAIN}")
    if path.stat().st_size != size:
        raise UserError(f"{path} has {path.stat().st_size} bytes, but the manifest says {size}: {AGAIN}")
