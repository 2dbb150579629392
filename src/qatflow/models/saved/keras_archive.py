"""Reads a .keras file: a zip archive of a model's description (JSON), its weights (HDF5) and Keras' version."""

import contextlib
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.models.saved.h5_file import ACCEPTED, LayerKind, Saved, damaged, open_h5

PARTS = ("metadata.json", "config.json", "model.weights.h5")
DESCRIPTION_DAMAGE = (ValueError, RuntimeError)
"""What reading a damaged description raises; RuntimeError includes RecursionError and NotImplementedError."""
CONVERT = (
    "load it in Keras 3, write model.save_weights('x.weights.h5'), and give that as pretrained.path, with the network "
    "as model.architecture or as a model.function that builds it with tf-keras"
)


def description(path: Path) -> dict[str, Any]:
    """Return the model's description.

    Raises:
        UserError: the file is damaged, or of Keras 3.
    """
    try:
        return read_description(_parts(path, PARTS[:2])[1])
    except DESCRIPTION_DAMAGE as error:
        raise damaged(path, error) from error


@contextlib.contextmanager
def open_archive(path: Path, kinds: Sequence[LayerKind]) -> Iterator[Saved]:
    """Open the weights in a .keras file; see `h5_file.open_h5`."""
    content = io.BytesIO(_parts(path, PARTS)[2])
    with open_h5(path, kinds, content) as saved:
        yield saved


def read_description(text: str | bytes) -> dict[str, Any]:
    """Return a model's description from its JSON text.

    Raises:
        ValueError or RecursionError: it is not JSON, or not a description.
    """
    value = json.loads(text)
    if not isinstance(value, dict) or not {"class_name", "config"} <= set(value):
        raise ValueError("the description of the model has no class_name and config")
    return value


def refuse_keras_3(path: Path, version: str) -> None:
    """Raise for a file that Keras 3 wrote."""
    if version.startswith("3."):
        raise UserError(f"{path} is a model of Keras {version}, but Keras 2 (tf-keras) is needed: {CONVERT}")


def _parts(path: Path, names: Sequence[str]) -> list[bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.namelist()
            if not set(PARTS) <= set(listed):
                raise UserError(f"{path} is a zip archive, but not a .keras file: {ACCEPTED}")
            if any(listed.count(name) > 1 for name in PARTS):
                raise ValueError("it has a part twice")
            # only the sizes of stored entries can be trusted: a compressed one could grow without bound
            if any(archive.getinfo(name).compress_type != zipfile.ZIP_STORED for name in names):
                raise UserError(f"{path} is a compressed zip archive, which Keras does not write: {ACCEPTED}")
            contents = [archive.read(name) for name in names]
        metadata = json.loads(contents[0])
        refuse_keras_3(path, str(metadata.get("keras_version")))
    except (zipfile.BadZipFile, OSError, EOFError, AttributeError, *DESCRIPTION_DAMAGE) as error:
        raise damaged(path, error) from error
    return contents
