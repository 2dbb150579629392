"""Puts weights from a file into a Keras model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.models.saved.h5_file import LayerKind, Saved, SavedLayer
from qatflow.models.saved.keras_3 import snake
from qatflow.models.saved.weights_file import open_weights
from qatflow.pretrained.fit import Expected, LayerWeights, NotFiniteError, fit


def load_weights(model: Any, path: Path, about: str) -> None:
    """Load the weights of a file into a tf_keras model.

    Only arrays are read from the file (see `weights_file`); code in it is never run.

    Args:
        model: its variables are assigned, all or none.
        path: HDF5 file, .keras file or SavedModel folder.
        about: description of the model, for messages.

    Raises:
        UserError: the file cannot be read, or does not fit the model.
    """
    with open_weights(path, _kinds(model)) as saved:
        _assign(model, saved, path, about)


def load_classifier(build: Callable[[int], Any], classes: int, path: Path, about: str) -> Any:
    """Return a model with the weights of a file, and as many classes as they have.

    Args:
        build: returns a tf_keras model with random weights, for a number of classes.
        classes: of the data; used where the last layer of the file does not show them.
        path: as `load_weights`.
        about: description of the model, for messages, without its classes.

    Raises:
        UserError: as `load_weights`.
    """
    model = build(classes)
    with open_weights(path, _kinds(model)) as saved:
        saved_classes = _classes(saved.layers)
        same_layers = len(saved.layers) == len(_with_weights(model))
        if saved_classes is not None and saved_classes != classes and same_layers:
            model, classes = build(saved_classes), saved_classes
        _assign(model, saved, path, f"{about}, {classes} classes")
    return model


def _assign(model: Any, saved: Saved, path: Path, about: str) -> None:
    own = _with_weights(model) if saved.whole else [layer for _, layer in _leaves(model)]
    expected = [
        Expected(layer.name, tuple(_role(v) for v in _saved(layer)), tuple(tuple(v.shape) for v in _saved(layer)))
        for layer in own
    ]
    try:
        weights = fit(expected, _in_order(model, saved))
    except NotFiniteError as error:
        raise UserError(f"{path}: {error}") from error
    except UserError as error:
        raise UserError(f"{path}: its weights do not fit {about}: {error}") from error
    for layer, values in zip(own, weights, strict=True):
        for variable, value in zip(_saved(layer), values, strict=True):
            variable.assign(value.astype(variable.dtype.as_numpy_dtype))
        layer.finalize_state()  # Normalization computes with copies of its weights


def _classes(layers: Sequence[LayerWeights]) -> int | None:
    """Return the output channels of the last saved layer, if its kernel is one of a classifier."""
    kernel = layers[-1].weights[0]
    pixels = tuple(kernel.shape[:-2])
    return int(kernel.shape[-1]) if len(kernel.shape) >= 2 and pixels in ((), (1, 1)) else None


def _with_weights(model: Any) -> list[Any]:
    return [layer for layer in model.layers if layer.weights]


def _saved(layer: Any) -> list[Any]:
    """Return a layer's variables in the order in which Keras saves them."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _in_order(model: Any, saved: Saved) -> list[SavedLayer]:
    """Return the saved layers in the model's order, where the file has their names; else as they are.

    Layers of the same shape side by side have no order of their own: two versions of Keras may count them differently.
    """
    by_name = {layer.names: layer for layer in saved.layers}
    wanted = [names for names, _ in _leaves(model)]
    return [by_name[names] for names in wanted] if set(by_name) == set(wanted) else saved.layers


def _leaves(model: Any, within: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Return the layers with weights, by their names; a model used as a layer is replaced by its layers."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for layer in _with_weights(model):
        names = (*within, layer.name)
        found += _leaves(layer, names) if hasattr(layer, "layers") else [(names, layer)]
    return found


def _kinds(model: Any) -> tuple[LayerKind, ...]:
    return tuple(_kind(layer) for layer in _with_weights(model))


def _kind(layer: Any) -> LayerKind:
    name = snake(type(layer).__name__)
    return (name, _kinds(layer)) if hasattr(layer, "layers") else name


def _role(variable: Any) -> str:
    return str(variable.name).split(":")[0].rsplit("/", 1)[-1]
