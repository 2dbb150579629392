"""What the data set is, and which of its pictures were rejected."""

import csv
from dataclasses import dataclass
from pathlib import Path

from qatflow.data.manifest import read_manifest

SHOWN = 10


@dataclass(frozen=True)
class Rejection:
    """A rejected picture: its name in the source, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class DataFacts:
    """The data set.

    Attributes:
        name: as in data/<name>.
        source: kind of source.
        origin: where the pictures come from, in words.
        licence: its terms, as far as known.
        classes: number of classes.
        splits: pictures of each split, by its name.
        rejected: number of rejected pictures.
        rejections: the first of them.
        converted: number of pictures whose original bytes could not be kept.
    """

    name: str
    source: str
    origin: str
    licence: str
    classes: int
    splits: dict[str, int]
    rejected: int
    rejections: tuple[Rejection, ...]
    converted: int


def data_facts(path: Path) -> DataFacts:
    """Return the facts from the manifest.json of a data set; raises UserError as its reader does."""
    manifest = read_manifest(path)
    with (manifest.folder / manifest.rejected_file.file).open(encoding="utf-8", newline="") as file:
        first = [Rejection(line["key"], line["reason"]) for line, _ in zip(csv.DictReader(file), range(SHOWN))]  # noqa: B905
    return DataFacts(
        name=manifest.dataset,
        source=manifest.source,
        origin=manifest.origin,
        licence=manifest.licence,
        classes=manifest.classes,
        splits={name: split.count for name, split in manifest.splits.items()},
        rejected=manifest.rejected,
        rejections=tuple(first),
        converted=manifest.converted,
    )
