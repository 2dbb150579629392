"""Reads the weights in an HDF5 file that Keras wrote, without Keras.

Two layouts are known: that of `save("x.h5")` and tf-keras' `save_weights("x.h5")`, which names the layers in order, and
that of `save_weights("x.weights.h5")` and of .keras files, which counts them by kind. Only arrays of numbers are read.
The description of a whole model in the file (with Lambda layers, which are code) is ignored, so nothing in it can run.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import h5py

from qatflow.base.errors import UserError
from qatflow.models.saved.keras_3 import Leaf

ACCEPTED = (
    "accepted are an HDF5 file as Keras' model.save_weights('x.weights.h5') or model.save('x.h5') writes it, a .keras "
    "file, and a SavedModel folder of tf-keras; models in other forms can carry code and are not opened"
)
DAMAGE = (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError)
"""What reading a damaged file raises: each was seen from h5py. RuntimeError includes RecursionError."""


@dataclass(frozen=True)
class SavedLayer:
    """A layer that has weights.

    Attributes:
        name: of the layer, in the file.
        weights: float arrays in Keras' order, or HDF5 data sets that become arrays while the file is open.
        names: of the models that it is in, then its own, where the file says so; else empty.
    """

    name: str
    weights: tuple[Any, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Saved:
    """The layers with weights in a file, in the model's order.

    Attributes:
        layers: the layers.
        whole: whether a model used as a layer is one entry, with all its weights; otherwise each of its layers is one.
    """

    layers: list[SavedLayer]
    whole: bool


def reason(error: BaseException) -> str:
    """Return what an error says, on one line, or its kind if it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def damaged(path: Path, error: BaseException) -> UserError:
    """Return the error for a file that cannot be read to its end."""
    return UserError(f"{path} is damaged ({reason(error)}): fetch or save it again")


SUBLAYERS = {"multi_head_attention": ("_query_dense", "_key_dense", "_value_dense", "_output_dense")}
"""Layers within a layer, in the order of its weights, by the layer's kind in snake case."""


class _LinkError(Exception):
    """Part of a file is a link to another place."""


LayerKind = str | tuple[str, tuple["LayerKind", ...]]
"""Keras' class name of a layer in snake case; for a model used as a layer, with the kinds of its layers."""


@contextlib.contextmanager
def open_h5(
    path: Path, kinds: Sequence[LayerKind], content: BinaryIO | None = None, described: Sequence[Leaf] | None = None
) -> Iterator[Saved]:
    """Open a file and yield its layers.

    Args:
        path: the file.
        kinds: kind of each of the model's layers with weights, in order; determines the order if the file counts by
            kind. Further layers in the file come last.
        content: the HDF5 file if it is a part of `path`.
        described: the layers of a whole model of Keras 3, whose weights are found by them instead.

    Raises:
        UserError: the file is damaged, or holds anything but numbers of its own.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(h5py.File(content or path, "r"))
            whole = _root(file) is not None
            if described is not None:
                layers = _by_path(file, described) if whole else _by_group(file, described)
                whole = False
            else:
                layers = _in_order(file) if whole else _by_kind(file, kinds)
        except _LinkError as error:
            raise UserError(f"{path}: {error}") from error
        except DAMAGE as error:
            raise damaged(path, error) from error
        if not layers:
            raise UserError(f"{path} holds no weights of Keras layers: {ACCEPTED}")
        for layer in layers:
            _check(path, file, layer)
        try:
            yield Saved(layers, whole)
        except OSError as error:  # from reading an array
            raise damaged(path, error) from error


def _root(file: h5py.File) -> h5py.Group | None:
    """Return the group that names its layers: the file, or the part beside the description of a whole model."""
    beside = _child(file, "model_weights") if "model_weights" in file else None
    return next((group for group in (file, beside) if group and _names(group, "layer_names")), None)


def _child(group: h5py.Group, name: str, layer: str = "") -> Any:
    """Return a group's member by its path, whose parts must all be in this file: no link is followed.

    Raises:
        _LinkError: a part is a link; its target is not opened.
        KeyError: there is no such member.
    """
    for part in name.split("/"):
        link = group.get(part, getlink=True) if part else None
        if isinstance(link, h5py.ExternalLink | h5py.SoftLink):
            where = "another file, which" if isinstance(link, h5py.ExternalLink) else "another place, which"
            weights = f"the weights of layer {layer}" if layer else f"the weights below '{part}'"
            raise _LinkError(f"{weights} are in {where} is not opened")
        group = group[part] if part else group
    return group


def _in_order(file: h5py.File) -> list[SavedLayer]:
    root = _root(file)
    assert root is not None
    groups = {name: _child(root, name, name) for name in _names(root, "layer_names")}
    layers = [
        SavedLayer(name, tuple(_child(group, weight, name) for weight in _names(group, "weight_names")))
        for name, group in groups.items()
    ]
    return [layer for layer in layers if layer.weights]


def _by_path(file: h5py.File, described: Sequence[Leaf]) -> list[SavedLayer]:
    """Return the layers of a .h5 file of Keras 3, where each weight has its path, `…/<layer>/<role>`."""
    root = _root(file)
    assert root is not None
    weights: dict[tuple[str, ...], list[Any]] = {}
    for outer in _names(root, "layer_names"):
        group = _child(root, outer, outer)
        within: dict[str, list[tuple[str, ...]]] = {}
        for leaf in described:
            if leaf.names[0] == outer:
                within.setdefault(leaf.names[-1], []).append(leaf.names)
        for weight in _names(group, "weight_names"):
            layers = next((within[part] for part in reversed(weight.split("/")) if part in within), [])
            if len(layers) != 1:
                raise ValueError(f"weight {weight} belongs to {len(layers)} layers of {outer}")
            weights.setdefault(layers[0], []).append(_child(group, weight, outer))
    return [SavedLayer("/".join(names), tuple(values), names) for names, values in weights.items()]


def _by_group(file: h5py.File, described: Sequence[Leaf]) -> list[SavedLayer]:
    """Return the layers of a .keras file of Keras 3, where each layer has its group."""
    found: list[SavedLayer] = []
    for leaf in described:
        if leaf.group in file:
            sublayers = SUBLAYERS.get(leaf.kind, ())
            found += _variables("/".join(leaf.names), _child(file, leaf.group, leaf.group), sublayers, leaf.names)
    return found


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Return a list of names; Keras splits a list of more than 64 kB into numbered pieces."""
    pieces = [attribute] if attribute in group.attrs else []
    while (piece := f"{attribute}{len(pieces)}") in group.attrs:
        pieces.append(piece)
    names = [name for piece in pieces for name in group.attrs[piece]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _by_kind(group: h5py.Group, kinds: Sequence[LayerKind], within: tuple[str, ...] = ()) -> list[SavedLayer]:
    layers = _child(group, "layers") if "layers" in group else {}
    names = sorted(layers, key=lambda name: [int(n) if n.isdigit() else n for n in re.split(r"(\d+)", name)])
    left = {name: _child(layers, name, name) for name in names}
    in_order: list[SavedLayer] = []
    counts: dict[str, int] = {}
    for kind in kinds:
        name, inner = kind if isinstance(kind, tuple) else (kind, None)
        count = counts[name] = counts.get(name, -1) + 1
        saved = left.pop(f"{name}_{count}" if count else name, None)
        if saved is not None:
            own, parts = (*within, _own_name(saved)), SUBLAYERS.get(name, ())
            in_order += _variables(name, saved, parts, own) if inner is None else _by_kind(saved, inner, own)
    return [*in_order, *(layer for name, saved in left.items() for layer in _variables(name, saved))]


def _variables(
    name: str, group: h5py.Group, sublayers: Sequence[str] = (), names: tuple[str, ...] = ()
) -> list[SavedLayer]:
    weights: tuple[Any, ...] = ()
    # Keras 3 has them without the underscore
    inner = [sublayer if sublayer in group else sublayer.lstrip("_") for sublayer in sublayers]
    for part in (group, *(_child(group, sublayer, name) for sublayer in inner)):
        variables = _child(part, "vars", name) if "vars" in part else {}
        weights += tuple(_child(variables, str(i), name) for i in range(len(variables)))
    return [SavedLayer(name, weights, names if all(names) else ())] if weights else []


def _own_name(group: h5py.Group) -> str:
    """Return a layer's name, which newer versions of Keras 3 note beside its variables; else an empty text."""
    return str(_child(group, "vars").attrs.get("name", "")) if "vars" in group else ""


def _check(path: Path, file: h5py.File, layer: SavedLayer) -> None:
    for weight in layer.weights:
        # a single integer is Normalization's count of what it has seen
        kinds = "f" if getattr(weight, "shape", None) else "fi"
        if not isinstance(weight, h5py.Dataset) or weight.dtype.kind not in kinds:
            raise UserError(f"{path}: layer {layer.name} holds something other than arrays of floats: {ACCEPTED}")
        if weight.is_virtual or weight.external or weight.file.filename != file.filename:
            raise UserError(f"{path}: the weights of layer {layer.name} are in another file, which is not opened")
