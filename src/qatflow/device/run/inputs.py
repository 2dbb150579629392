"""What goes to the device: a model's folder as the optimise stage wrote it, and the validation pictures for it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.base.errors import UserError
from qatflow.base.measure import ACCURACY, Measure
from qatflow.base.sums import check, read_checked
from qatflow.data import reader
from qatflow.data.answers import measure_of
from qatflow.data.preprocess import Preprocessing
from qatflow.tflite.packing import PACKED, unpack
from qatflow.tflite.run import Model

SPLIT = "validation"
FLOAT = "float"
"""Name of the float model."""
FILES = ("model.tflite", "labels.txt", "preprocessing.json")


class ModelFolder:
    """A model with its labels and preprocessing.

    Attributes:
        name: its name in the report, and of its folder on the device.
        files: its files by name.
        packed: the packed form of the .tflite file, which the device gets in its place; None: it gets the file itself.
        host: the model, loaded on this machine.
    """

    def __init__(self, name: str, folder: Path, packed: Path | None = None) -> None:
        """Load the model; raises UserError if a file is missing or has changed, or LiteRT cannot load it."""
        self.name, self.files, self.packed = name, {file: folder / file for file in FILES}, packed
        for file in self.files.values():
            if not file.is_file():
                raise UserError(f"{file} is missing: make the model with `snakemake --cores all optimize`")
            check(file)
        self.host = Model(self.files["model.tflite"])
        model = self.files["model.tflite"]
        if packed is not None and unpack(packed.read_bytes(), str(packed)) != model.read_bytes():
            raise UserError(f"{packed} is not the packed form of {model}: remove it to have it made again")

    @property
    def sent(self) -> dict[str, Path]:
        """The files that go to the device, by their name there."""
        if self.packed is None:
            return self.files
        others = {name: file for name, file in self.files.items() if name != "model.tflite"}
        return {PACKED: self.packed, **others}

    def preprocessing(self) -> Any:
        """Return the content of preprocessing.json."""
        return json.loads(read_checked(self.files["preprocessing.json"]))


@dataclass(frozen=True)
class Pictures:
    """Pictures of the validation split, starting with the first.

    Attributes:
        inputs: [n, height, width, channels], of the model's input type.
        labels: int64 [n].
        classes: names of the classes.
        measure: of answers that are as the labels.
    """

    inputs: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    measure: Measure = ACCURACY


def read_pictures(model: ModelFolder, manifest: Path, count: int) -> Pictures:
    """Read pictures, and preprocess them as the model's preprocessing.json says.

    Args:
        model: the model.
        manifest: manifest.json of the data set.
        count: number of pictures; a smaller split is used in full.

    Raises:
        UserError: preprocessing or classes do not fit the model.
    """
    file, host = model.files["model.tflite"], model.host
    data = reader.open_manifest(manifest)
    inputs, labels = reader.tensors(data, SPLIT, count, Preprocessing.from_json(model.preprocessing()))
    if (1, *inputs.shape[1:]) != host.input.shape:
        raise UserError(
            f"{model.files['preprocessing.json']} yields pictures of {inputs.shape[1:]}, {file} takes "
            f"{host.input.shape[1:]}: optimise the model again"
        )
    outputs = int(np.prod(host.output.shape))
    if data.classes != outputs:
        raise UserError(f"{manifest} has {data.classes} classes, {file} {outputs}: was the model trained on this data?")
    return Pictures(host.input.from_real(inputs), labels, data.labels, measure_of(data))
