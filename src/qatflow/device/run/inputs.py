"""The validation pictures that run on host and device, as the model takes them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qatflow.base.errors import UserError
from qatflow.data import reader
from qatflow.data.preprocess import Preprocessing
from qatflow.device.run.model_folder import ModelFolder

SPLIT = "validation"


@dataclass(frozen=True)
class Pictures:
    """Pictures of the validation split, from the first on.

    Attributes:
        inputs: [n, size, size, channels], of the model's input type.
        labels: int64 [n].
        classes: names of the classes.
    """

    inputs: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]


def read_pictures(model: ModelFolder, manifest: Path, count: int) -> Pictures:
    """Read pictures, and preprocess them as the model's folder says.

    Args:
        model: the model.
        manifest: manifest.json of the data set.
        count: at most this many; a smaller split is used whole.

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
    return Pictures(host.input.from_real(inputs), labels, data.labels)
