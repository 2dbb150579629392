"""The weights in an HDF5 file that Keras wrote, read without Keras.

Two layouts are known: that of tf-keras' `save_weights("x.h5")` and `save("x.h5")`, which names the layers in order, and
that of `save_weights("x.weights.h5")`, which counts them by kind. Arrays of numbers are all that is read. A whole model
in the file (with Lambda layers, which are code) stays unread, so nothing in it can be run, and no switch is needed.
"""

import contextlib
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py

from qatflow.errors import UserError

ACCEPTED = (
    "pretrained.path takes an HDF5 file of weights, as tf-keras' model.save_weights('x.h5') or model.save('x.h5') "
    "writes it; models in other forms can carry code and are not opened"
)
DAMAGE = (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError)  # all of them seen from h5py


@dataclass(frozen=True)
class SavedLayer:
    """A layer that has weights.

    Attributes:
        name: of the layer, in the file.
        weights: float arrays in Keras' order, not read yet; valid while the file is open.
    """

    name: str
    weights: tuple[h5py.Dataset, ...]


@contextlib.contextmanager
def open_h5(path: Path, kinds: Sequence[str]) -> Iterator[list[SavedLayer]]:
    """Open a file and yield its layers that have weights, in the order of the model's.

    Args:
        path: the file.
        kinds: of each of the model's layers with weights, in order, Keras' class name in snake case; gives the order
            where the file counts by kind. Layers that the file has beyond them come last.

    Raises:
        UserError: there is no file, it is not HDF5, or it is damaged, or holds anything but numbers of its own.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder (a SavedModel?): {ACCEPTED}")
    if not path.is_file():
        raise UserError(f"{path}: no such file; {ACCEPTED}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}: make it readable") from error
    if not h5py.is_hdf5(path):
        kind = "a zip archive (a .keras or .pt model?)" if zipfile.is_zipfile(path) else "no HDF5 file"
        raise UserError(f"{path} is {kind}: {ACCEPTED}")
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(h5py.File(path, "r"))
            layers = _in_order(file) if _root(file) is not None else _by_kind(file, kinds)
        except DAMAGE as error:
            raise UserError(f"{path} is damaged ({error}): fetch or save it anew") from error
        if not layers:
            raise UserError(f"{path} holds no weights of Keras layers: {ACCEPTED}")
        for layer in layers:
            _check(path, file, layer)
        try:
            yield layers
        except OSError as error:  # of an array that is read now
            raise UserError(f"{path} is damaged ({error}): fetch or save it anew") from error


def _root(file: h5py.File) -> h5py.Group | None:
    """Return the group that names its layers: the file, or what lies beside the description of a whole model."""
    return next((group for group in (file, file.get("model_weights")) if group and _names(group, "layer_names")), None)


def _in_order(file: h5py.File) -> list[SavedLayer]:
    root = _root(file)
    assert root is not None
    layers = [
        SavedLayer(name, tuple(root[name][weight] for weight in _names(root[name], "weight_names")))
        for name in _names(root, "layer_names")
    ]
    return [layer for layer in layers if layer.weights]


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Return a list of names; Keras cuts one that is longer than 64 kB into pieces with numbers."""
    pieces = [attribute] if attribute in group.attrs else []
    while (piece := f"{attribute}{len(pieces)}") in group.attrs:
        pieces.append(piece)
    found = [name for piece in pieces for name in group.attrs[piece]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in found]


def _by_kind(file: h5py.File, kinds: Sequence[str]) -> list[SavedLayer]:
    saved: dict[str, SavedLayer] = {}
    layers = file.get("layers", {})
    for name in sorted(layers, key=lambda name: [int(n) if n.isdigit() else n for n in re.split(r"(\d+)", name)]):
        variables = layers[name].get("vars", {})
        if len(variables):
            saved[name] = SavedLayer(name, tuple(variables[str(i)] for i in range(len(variables))))
    wanted = [kind if not kinds[:i].count(kind) else f"{kind}_{kinds[:i].count(kind)}" for i, kind in enumerate(kinds)]
    return [saved.pop(name) for name in wanted if name in saved] + list(saved.values())


def _check(path: Path, file: h5py.File, layer: SavedLayer) -> None:
    for weight in layer.weights:
        if not isinstance(weight, h5py.Dataset) or weight.dtype.kind != "f":
            raise UserError(f"{path}: layer {layer.name} holds what is no array of floats: {ACCEPTED}")
        if weight.is_virtual or weight.external or weight.file.filename != file.filename:
            raise UserError(f"{path}: the weights of layer {layer.name} lie in another file, which is not opened")
