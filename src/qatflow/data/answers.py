"""Pictures without labels, labelled by the float model.

Its classes become the data's, and its best class of each picture becomes the picture's label. No figure on such
pictures is an accuracy: top-1 is replaced by how often a model answers as the float model does (`measure_of`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from qatflow.base import provenance
from qatflow.base.errors import UserError
from qatflow.base.files import read_json, sha256, whole_folder, write_json, write_text
from qatflow.base.measure import ACCURACY, AGREEMENT, Measure
from qatflow.data import example, tfrecord
from qatflow.data.manifest import File, Manifest, Shard, SplitFiles
from qatflow.data.reader import checked


def measure_of(data: Manifest) -> Measure:
    """Return the measure of a data set: accuracy, or agreement with float where the pictures have no labels."""
    return AGREEMENT if data.labels_from == "float model" else ACCURACY


def with_classes_of(data: Manifest, classes: int) -> Manifest:
    """Return unlabelled data with the float model's classes: their names where labels.txt has them, or else 0, 1, ….

    Args:
        data: pictures without labels.
        classes: values of the float model's output; one value is a binary classifier, with two classes.

    Raises:
        UserError: labels.txt names another number of classes.
    """
    number = 2 if classes == 1 else classes
    if data.labels and data.classes != number:
        raise UserError(
            f"data.path: labels.txt names {data.classes} classes, and the float model has {number}: name these, in the "
            "order of its outputs"
        )
    return data if data.labels else replace(data, labels=tuple(map(str, range(number))))


def write_answers(data: Manifest, answers: Mapping[str, np.ndarray], inputs: Sequence[Path], output: Path) -> Manifest:
    """Write the data set with the answers as labels into the folder `output`, complete or not at all.

    Args:
        data: pictures without labels, with the float model's classes (`with_classes_of`).
        answers: class of each picture, int [n], in the order of the shards, by split.
        inputs: files that the answers depend on, for the provenance.
        output: the folder.

    Raises:
        UserError: a shard has changed since it was written, or the disk is full.
    """
    with whole_folder(output) as folder:
        splits = {name: _split(data, name, answers[name], folder) for name in data.splits}
        write_text(folder / "labels.txt", "".join(f"{label}\n" for label in data.labels))
        (folder / data.rejected_file.file).write_bytes((data.folder / data.rejected_file.file).read_bytes())
        _calibration(data, answers, folder)
        labelled = replace(
            data,
            folder=folder,
            splits=splits,
            labels_file=_file(folder / "labels.txt"),
            calibration_file=_file(folder / data.calibration_file.file),
            rejected_file=_file(folder / data.rejected_file.file),
            provenance=provenance.record(inputs, {}),
            labels_from="float model",
        )
        labelled.write()
    return replace(labelled, folder=output)


def _split(data: Manifest, split: str, answers: np.ndarray, folder: Path) -> SplitFiles:
    shards, rest = [], iter(answers.tolist())
    for shard in data.splits[split].shards:
        path = folder / shard.file
        with path.open("wb") as file:
            for record in _records(checked(data, shard)):
                tfrecord.write(file, example.serialise(replace(record, label=next(rest))))
        shards.append(Shard(shard.file, sha256(path), path.stat().st_size, shard.count))
    counts = np.bincount(answers, minlength=data.classes)
    return SplitFiles(len(answers), tuple(counts.tolist()), tuple(shards))


def _records(path: Path) -> Iterator[example.Record]:
    return (example.parse(content) for content in tfrecord.read(path))


def _calibration(data: Manifest, answers: Mapping[str, np.ndarray], folder: Path) -> None:
    """Write the same calibration pictures, with their labels."""
    name = data.calibration_file.file
    content = read_json(data.folder / name)
    of_split = answers[content["split"]]
    for picture in content["pictures"]:
        picture["label"] = int(of_split[picture["position"]])
    write_json(folder / name, content)


def _file(path: Path) -> File:
    return File(path.name, sha256(path), path.stat().st_size)
