"""A Keras model made from its description, in which nothing but layers of known kinds is left."""

from collections.abc import Iterator
from typing import Any

from qatflow.errors import UserError
from qatflow.models.from_keras import ACTIVATIONS, HINTS, NESTED, TRANSLATIONS

DEFAULTS = ("_initializer", "_regularizer", "_constraint")
"""Ends of the names of what only matters to new weights: left out, since their descriptions can name any function."""
FUNCTIONS = {*ACTIVATIONS, "swish", "silu"}


def unknown_layers(description: dict[str, Any]) -> list[str]:
    """Return name and kind of each layer that cannot be translated; no TensorFlow is needed."""
    return [
        f"{name} ({kind}{f': {HINTS[kind]}' if kind in HINTS else ''})"
        for name, kind in _kinds(description)
        if kind not in TRANSLATIONS and kind not in NESTED
    ]


def model_of(description: dict[str, Any], where: str) -> Any:
    """Return the tf_keras model of a description, with random weights.

    Args:
        description: class_name and config, as tf-keras writes them.
        where: the file, for messages.

    Raises:
        UserError: a layer is of an unknown kind (all are listed), or the description is damaged.
    """
    unknown = unknown_layers(description)
    if unknown:
        raise UserError(
            f"{where}: these layers cannot be translated: {'; '.join(unknown)}. Known kinds: "
            f"{', '.join(sorted(TRANSLATIONS))}"
        )
    import tf_keras

    try:
        clean = _cleaned(description)
        kind = getattr(tf_keras, "Sequential" if clean["class_name"] == "Sequential" else "Model")
        return kind.from_config(clean["config"])
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except Exception as error:  # whatever Keras meets in a description that is none
        raise UserError(f"{where}: its description of the model is damaged ({error}): save it anew") from error


def _kinds(description: dict[str, Any]) -> Iterator[tuple[str, str]]:
    kind, config = str(description.get("class_name")), description.get("config")
    if kind not in NESTED or not isinstance(config, dict):
        yield str(config.get("name")) if isinstance(config, dict) else "?", kind
        return
    for layer in config.get("layers", []):
        yield from _kinds(layer)


def _cleaned(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a description of a layer or model with plain values alone."""
    entry = _with_lists(entry)
    kind, config = entry["class_name"], dict(entry["config"])
    kept: dict[str, Any] = {key: entry[key] for key in ("name", "inbound_nodes") if key in entry}
    if _objects(kept):
        raise UserError(f"layer {config.get('name')} is called with objects, which are not made from a file")
    if kind in NESTED:
        config = {
            key: config[key]
            for key in ("name", "trainable", "layers", "input_layers", "output_layers")
            if key in config
        }
        config["layers"] = [_cleaned(layer) for layer in config["layers"]]
        return {"class_name": kind, "config": config, **kept}
    config = {key: value for key, value in config.items() if not key.endswith(DEFAULTS) and key != "dtype"}
    if "activation" in config:
        config["activation"] = _function(config)
    if kind == "BatchNormalization" and isinstance(config.get("axis"), list):
        config["axis"] = config["axis"][0]
    if _objects(config):
        raise UserError(f"layer {config.get('name')} ({kind}) is described by objects, which are not made from a file")
    return {"class_name": kind, "config": config, **kept}


def _with_lists(value: Any) -> Any:
    """Return the value with lists for what a SavedModel's description writes as tuples and shapes."""
    if isinstance(value, dict):
        if value.get("class_name") in ("__tuple__", "TensorShape") and set(value) == {"class_name", "items"}:
            return _with_lists(value["items"])
        return {key: _with_lists(inner) for key, inner in value.items()}
    return [_with_lists(inner) for inner in value] if isinstance(value, list) else value


def _function(config: dict[str, Any]) -> str:
    value = config["activation"]
    name = value.get("config") if isinstance(value, dict) else value
    if not isinstance(name, str) or name not in FUNCTIONS:
        raise UserError(
            f"layer {config.get('name')}: activation {name} cannot be translated; known: {', '.join(sorted(FUNCTIONS))}"
        )
    return name


def _objects(value: Any) -> bool:
    if isinstance(value, dict):
        return bool({"class_name", "module", "registered_name"} & set(value)) or any(map(_objects, value.values()))
    return isinstance(value, list) and any(map(_objects, value))
