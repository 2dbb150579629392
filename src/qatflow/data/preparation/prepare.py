"""Prepares a data set: from a source to data/<name>/ with TFRecord shards, labels, calibration list and manifest."""

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.base import provenance
from qatflow.base.code_digest import code_digest
from qatflow.base.errors import UserError
from qatflow.base.files import replace_folder, sha256, write_json, write_text
from qatflow.base.work_folder import work_folder
from qatflow.config.sections.base import resolved
from qatflow.config.sections.data import DataSection, PreprocessingSection
from qatflow.data.manifest import FILE as MANIFEST
from qatflow.data.manifest import UNLABELED, File, Manifest, SplitFiles
from qatflow.data.preparation.first_look import look, look_at_unlabeled
from qatflow.data.preparation.progress import ProgressDisplay
from qatflow.data.preparation.rejections import check_left, check_share, kept_list, table
from qatflow.data.preparation.shards import EarlierSplits, ShardMaker, ShardTask, WrittenShard
from qatflow.data.preparation.split import balanced, split
from qatflow.data.preparation.workers import run_all
from qatflow.data.preprocess import Preprocessing
from qatflow.data.sources.listing import Rejected
from qatflow.data.sources.source import PictureSource
from qatflow.data.sources.source_files import SPLITS, Split
from qatflow.data.sources.source_files import UNLABELED as NO_LABEL
from qatflow.data.sources.table import open_source
from qatflow.data.sources.unlabeled import open_unlabeled


@dataclass(frozen=True)
class Settings:
    """Settings of a prepared data set; the fields are those of the configuration's section `data`.

    Attributes:
        name: of the data set.
        source: see `sources.table.open_source`.
        path: folder or file of the source, or None for its default.
        validation: pictures set aside from training, if the source has no validation split.
        test: pictures set aside, if the source has no test split.
        calibration: training pictures on the calibration list.
        shards: files of the training split; the other splits get proportionally many, at least one each.
        max_rejected: share of rejected pictures above which preparation stops.
        seed: of the splits and of the order.
        preprocessing: kept in the manifest; only the size of pictures to be padded is checked here.
        test_from: split from which test pictures are set aside: `train`, or `validation` if the source has one.
        unlabeled: folder, archive or arrays of inputs without labels; None: there are none.
        calibrate_unlabeled: whether the calibration pictures are taken from them.
        convert: whether pictures whose original bytes cannot be kept (see `picture.stored`) are converted to PNG, or
            rejected.
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
    test_from: Split = "train"
    convert: bool = True
    unlabeled: Path | None = None
    calibrate_unlabeled: bool = True

    @property
    def calibration_split(self) -> str:
        """The split that the calibration pictures are taken from."""
        return UNLABELED if self.unlabeled is not None and self.calibrate_unlabeled else "train"

    @staticmethod
    def of(section: DataSection, seed: int) -> "Settings":
        """Return the settings that the configuration's section of the data says.

        Args:
            section: data.
            seed: that holds; the section's own may be null.
        """
        return Settings(
            name=section.name,
            source=section.source,
            path=None if section.path is None else Path(section.path),
            validation=section.validation,
            test=section.test,
            calibration=section.calibration,
            shards=section.shards,
            max_rejected=section.max_rejected,
            seed=seed,
            preprocessing=preprocessing(section.preprocessing),
            test_from=section.test_from,
            convert=section.convert,
            unlabeled=None if section.unlabeled.path is None else Path(section.unlabeled.path),
            calibrate_unlabeled=section.unlabeled.calibration,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the plain JSON form."""
        return asdict(self) | {
            "path": None if self.path is None else str(self.path),
            "unlabeled": None if self.unlabeled is None else str(self.unlabeled),
            "preprocessing": self.preprocessing.to_json(),
        }


def preprocessing(section: PreprocessingSection) -> Preprocessing:
    """Return what the configuration's section says, with the defaults of mean and std."""
    mean, std = section.normalisation
    return Preprocessing.from_json({**resolved(section), "mean": mean, "std": std})


def prepare(settings: Settings, output: Path, cores: int = 1) -> Manifest:
    """Write the data set into the folder `output`, replacing what was there; the same inputs give the same bytes.

    A picture that cannot be read, is too large to be padded, or is also in a later split, is rejected and listed in
    rejected.csv. If a run ends early, for whatever reason, its finished shards stay in `.prepare/` beside `output`, and
    the next run with the same settings, source and code continues from there.

    Args:
        settings: what to prepare.
        output: the folder.
        cores: number of processes that read pictures; it does not change the result.

    Raises:
        UserError: the source is missing or damaged; too many pictures are rejected, or all of a split or class (the
            list is then kept in `<output>.rejected.csv`); a split cannot be made; or the disk is full.
    """
    source = open_source(settings.source, settings.path, output.parent / ".download" / output.name)
    parts = split(
        source.pictures,
        validation=settings.validation,
        test=settings.test,
        seed=settings.seed,
        test_from=settings.test_from,
    )
    if not min(map(len, parts.values())):
        empty = ", ".join(name for name in SPLITS if not len(parts[name]))
        raise UserError(f"data: no picture for {empty}: ask for at least 1")
    look(source, parts["train"], settings)
    unlabeled = None
    if settings.unlabeled is not None:
        downloads = output.parent / ".download" / f"{output.name}.unlabeled"
        unlabeled = open_unlabeled(settings.unlabeled, source.array_shape is not None, downloads)
        look_at_unlabeled(unlabeled, settings)
    state = _state_folder(output)
    with work_folder(state, _shape(settings, source, unlabeled), "preparing data") as work:
        folder = work / "data"
        folder.mkdir(exist_ok=True)
        written = _write_splits(source, unlabeled, settings, parts, folder, cores)
        manifest = _finish(source, unlabeled, settings, parts, written, folder, output)
        replace_folder(folder, output)
        shutil.rmtree(state)
    with contextlib.suppress(OSError):  # another data set is being prepared
        state.parent.rmdir()
    kept_list(output).unlink(missing_ok=True)
    return replace(manifest, folder=output)


def _state_folder(output: Path) -> Path:
    """Return the folder of the state: on the output's disk, and outside what Snakemake removes."""
    target = Path(os.path.realpath(output))
    return target.parent / ".prepare" / target.name


def _shape(settings: Settings, source: PictureSource, unlabeled: PictureSource | None) -> dict[str, Any]:
    """Return everything that determines the shards; what is only checked or chosen afterwards does not count."""
    later = {"path", "unlabeled", "max_rejected", "calibration", "calibrate_unlabeled", "preprocessing"}
    spec = settings.preprocessing
    inputs = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in _inputs(source, unlabeled)]
    return {
        "settings": {key: value for key, value in settings.to_json().items() if key not in later},
        "largest": spec.size.to_json() if spec.resize == "pad" else None,
        "pictures": source.pictures.digest(),
        "unlabeled": None if unlabeled is None else unlabeled.pictures.digest(),
        "inputs": inputs,
        "origin": source.origin,
        "code": code_digest("qatflow.data.preparation.prepare"),
        "pillow": metadata.version("pillow"),
    }


def _inputs(source: PictureSource, unlabeled: PictureSource | None) -> tuple[Path, ...]:
    return (*source.inputs, *(() if unlabeled is None else unlabeled.inputs))


def _write_splits(
    source: PictureSource,
    unlabeled: PictureSource | None,
    settings: Settings,
    parts: Mapping[Split, np.ndarray],
    folder: Path,
    cores: int,
) -> dict[str, list[WrittenShard]]:
    """Write test first and training last, so that a picture in both is removed from training.

    Pictures without labels come between: one that is also in test or validation is left out, one in training stays.
    """
    written: dict[str, list[WrittenShard]] = {}
    places: dict[str, tuple[PictureSource, np.ndarray]] = {name: (source, parts[name]) for name in SPLITS}
    if unlabeled is not None:
        order = np.random.default_rng([settings.seed, len(SPLITS) + 1]).permutation(len(unlabeled.pictures))
        places = {"train": places.pop("train"), UNLABELED: (unlabeled, order), **places}
    progress = ProgressDisplay(sum(len(picked) for _, picked in places.values()), "pictures")
    for name, (of, picked_all) in reversed(places.items()):
        earlier = [(other, shard) for other, shards in written.items() if other != UNLABELED for shard in shards]
        elsewhere = EarlierSplits(earlier, lambda place: source.pictures[place].key)
        maker = ShardMaker(of, settings.preprocessing, settings.convert, elsewhere, folder, folder.parent)
        share = len(picked_all) / len(parts["train"])
        number = max(1, min(round(settings.shards * share), len(picked_all)))
        tasks = [
            ShardTask(f"{name}-{i:05d}-of-{number:05d}.tfrecord", picked, name in ("validation", "test"))
            for i, picked in enumerate(np.array_split(picked_all, number))
        ]
        written[name] = run_all(tasks, maker.make, cores, progress.show)
        progress.go_on()
    progress.close()
    return {name: written[name] for name in (*SPLITS, UNLABELED) if name in written}


def _finish(
    source: PictureSource,
    unlabeled: PictureSource | None,
    settings: Settings,
    parts: Mapping[Split, np.ndarray],
    written: Mapping[str, Sequence[WrittenShard]],
    folder: Path,
    output: Path,
) -> Manifest:
    """Check the rejected pictures and write all files except the shards; `output` is the folder's final place."""
    labels = source.pictures.labels
    labelled = {name: shards for name, shards in written.items() if name != UNLABELED}
    splits = {name: _summary(shards, labels, len(source.labels)) for name, shards in labelled.items()}
    bare = source.pictures.unlabeled
    rejected = [*source.rejected, *(r for shards in labelled.values() for w in shards for r in w.rejected)]
    check_share(rejected, len(source.pictures) + len(source.rejected), settings.max_rejected, output)
    if unlabeled is not None:
        shards = written[UNLABELED]
        left_out = [Rejected(f"{UNLABELED}/{r.key}", r.reason) for w in shards for r in w.rejected]
        check_share(left_out, len(unlabeled.pictures), settings.max_rejected, output)
        rejected += left_out
        splits[UNLABELED] = _summary(shards, unlabeled.pictures.labels, 0)
    train = set(np.unique(labels[parts["train"]]).tolist())
    wanted = [] if bare else [name if label in train else "" for label, name in enumerate(source.labels)]
    counts = {name: (splits[name].count,) if bare else splits[name].class_counts for name in labelled}
    check_left(counts, wanted or [""], rejected, output)
    write_text(folder / "rejected.csv", table(rejected))
    write_text(folder / "labels.txt", "".join(f"{label}\n" for label in source.labels))
    listed = source if settings.calibration_split == "train" or unlabeled is None else unlabeled
    _write_calibration(folder / "calibration.json", listed, written[settings.calibration_split], settings)
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
        provenance=provenance.record(_inputs(source, unlabeled), settings.to_json(), settings.seed),
        labels_from="nothing" if bare else "source",
    )
    manifest.write()
    ours = {MANIFEST, "rejected.csv", "labels.txt", "calibration.json"}
    ours |= {shard.file for part in splits.values() for shard in part.shards}
    for left in folder.iterdir():
        if left.name not in ours:  # left half written by a killed process
            left.unlink()
    return manifest


def _write_calibration(path: Path, source: PictureSource, train: Sequence[WrittenShard], settings: Settings) -> None:
    """Write the calibration list: position in its split (in shard order), key and label of each picture."""
    kept = np.concatenate([written.kept for written in train])
    chosen = balanced(source.pictures.labels[kept], settings.calibration, settings.seed, settings.calibration_split)
    listed = [(int(position), source.pictures[int(kept[position])]) for position in chosen]
    pictures = [{"position": position, "key": picture.key, "label": picture.label} for position, picture in listed]
    write_json(path, {"split": settings.calibration_split, "seed": settings.seed, "pictures": pictures})


def _summary(written: Sequence[WrittenShard], labels: np.ndarray, classes: int) -> SplitFiles:
    if int(labels.max()) == NO_LABEL:
        return SplitFiles(sum(len(w.kept) for w in written), (), tuple(w.shard for w in written))
    counts = sum((np.bincount(labels[w.kept], minlength=classes) for w in written), np.zeros(classes, np.int64))
    return SplitFiles(int(counts.sum()), tuple(counts.tolist()), tuple(w.shard for w in written))


def _file(path: Path) -> File:
    return File(path.name, sha256(path), path.stat().st_size)
