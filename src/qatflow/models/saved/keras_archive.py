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
from qatflow.models.saved.keras_3 import in_words_of_keras_2, is_keras_3, leaves

PARTS = ("metadata.json", "config.json", "model.weights.h5")
DESCRIPTION_DAMAGE = (ValueError, RuntimeError, LookupError, TypeError, AttributeError)
"""What reading a damaged description raises; RuntimeError includes RecursionError and NotImplementedError."""
VERSIONS = ("2.", "3.")
"""Beginnings of the versions of Keras whose files are known."""


def description(path: Path) -> dict[str, Any]:
    """Return the model's description, as tf-keras writes it.

    Raises:
        UserError: the file is damaged, or of an unknown version of Keras.
    """
    metadata, text = _parts(path, PARTS[:2])
    try:
        return translated(read_description(text), _version(metadata))
    except DESCRIPTION_DAMAGE as error:
        raise damaged(path, error) from error


@contextlib.contextmanager
def open_archive(path: Path, kinds: Sequence[LayerKind]) -> Iterator[Saved]:
    """Open the weights in a .keras file; see `h5_file.open_h5`."""
    metadata, text, weights = _parts(path, PARTS)
    described = None
    if is_keras_3(_version(metadata)):
        try:
            described = list(leaves(read_description(text)))
        except DESCRIPTION_DAMAGE as error:
            raise damaged(path, error) from error
    with open_h5(path, kinds, io.BytesIO(weights), described) as saved:
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


def translated(description: dict[str, Any], version: str) -> dict[str, Any]:
    """Return a description as tf-keras writes it; one of Keras 3 is translated."""
    return in_words_of_keras_2(description) if is_keras_3(version) else description


def check_version(path: Path, version: str) -> None:
    """Raise unless a file is of a version of Keras that is known."""
    if not version.startswith(VERSIONS):
        raise UserError(f"{path} is a model of Keras {version}; known are the versions 2 (tf-keras) and 3")


def _version(metadata: bytes) -> str:
    return str(json.loads(metadata).get("keras_version"))


def _parts(path: Path, names: Sequence[str]) -> list[bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.namelist()
            if "model.weights.json" in listed:
                raise UserError(f"{path} has its weights in several parts: save it without max_shard_size")
            if not set(PARTS) <= set(listed):
                raise UserError(f"{path} is a zip archive, but not a .keras file: {ACCEPTED}")
            if any(listed.count(name) > 1 for name in PARTS):
                raise ValueError("it has a part twice")
            # only the sizes of stored entries can be trusted: a compressed one could grow without bound
            if any(archive.getinfo(name).compress_type != zipfile.ZIP_STORED for name in names):
                raise UserError(f"{path} is a compressed zip archive, which Keras does not write: {ACCEPTED}")
            contents = [archive.read(name) for name in names]
        check_version(path, _version(contents[0]))
    except (zipfile.BadZipFile, OSError, EOFError, *DESCRIPTION_DAMAGE) as error:
        raise damaged(path, error) from error
    return contents
