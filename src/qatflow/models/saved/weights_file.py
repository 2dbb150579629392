"""Reads weights and descriptions of saved models of every supported form. No code in them is run."""

import zipfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import h5py

from qatflow.base.errors import UserError
from qatflow.models.saved import keras_archive, saved_model
from qatflow.models.saved.h5_file import ACCEPTED, DAMAGE, LayerKind, Saved, damaged, open_h5
from qatflow.models.saved.keras_3 import Leaf, is_keras_3, leaves

Form = Literal["HDF5", "archive", "SavedModel"]


def form(path: Path) -> Form:
    """Return the form in which a model is saved.

    Raises:
        UserError: there is no such file, or it has another form.
    """
    if path.is_dir():
        if not (path / saved_model.MARK).is_file():
            raise UserError(f"{path} is a folder without {saved_model.MARK}, so not a SavedModel: {ACCEPTED}")
        return "SavedModel"
    if not path.is_file():
        raise UserError(f"{path}: no such file; {ACCEPTED}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}: make it readable") from error
    if h5py.is_hdf5(path):
        return "HDF5"
    if zipfile.is_zipfile(path):
        return "archive"
    raise UserError(f"{path} is neither an HDF5 file nor a .keras file: {ACCEPTED}")


def open_weights(path: Path, kinds: Sequence[LayerKind]) -> AbstractContextManager[Saved]:
    """Open weights and yield the layers that have some, in the model's order.

    Args:
        path: HDF5 file, .keras file or SavedModel folder; for the last, TensorFlow must have been started.
        kinds: kind of each of the model's layers with weights, in order; see `open_h5`.

    Raises:
        UserError: there is no such file, or it is damaged, or holds anything but numbers of its own.
    """
    kind = form(path)
    if kind == "HDF5":
        return open_h5(path, kinds, described=_leaves(path))
    return keras_archive.open_archive(path, kinds) if kind == "archive" else saved_model.open_saved_model(path)


def description(path: Path) -> dict[str, Any]:
    """Return the description of a whole model, as JSON values: class_name and config, as tf-keras writes them.

    Raises:
        UserError: the file has no description, or is damaged, or is of an unknown version of Keras.
    """
    kind = form(path)
    if kind == "SavedModel":
        return saved_model.description(path)
    if kind == "archive":
        return keras_archive.description(path)
    try:
        text, version = _described(path)
        if text is None:
            raise UserError(
                f"{path} holds only weights, and no description of the model: write it with model.save, or name the "
                "network in model.architecture or model.function and the file in pretrained.path"
            )
        return keras_archive.translated(keras_archive.read_description(text), version)
    except DAMAGE as error:
        raise damaged(path, error) from error


def _described(path: Path) -> tuple[Any, str]:
    """Return the description in an HDF5 file, None if it has none, and the version of Keras that wrote it."""
    with h5py.File(path, "r") as file:
        version = file.attrs.get("keras_version", "")
        return file.attrs.get("model_config"), version.decode() if isinstance(version, bytes) else str(version)


def _leaves(path: Path) -> list[Leaf] | None:
    """Return the layers that a whole model of Keras 3 in an HDF5 file describes; None for another file."""
    try:
        text, version = _described(path)
        return list(leaves(keras_archive.read_description(text))) if text is not None and is_keras_3(version) else None
    except DAMAGE as error:
        raise damaged(path, error) from error
