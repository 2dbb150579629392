"""Makes a Keras model from its description, using nothing but layers of known kinds."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from qatflow.base.errors import UserError
from qatflow.models.from_keras import SUBCLASS, check_visible
from qatflow.models.keras.activations import ACTIVATION_LAYERS, MAKE, NAMES, of_keras_3
from qatflow.models.keras.described_calls import called_problem, reads
from qatflow.models.keras.described_ranks import ranks
from qatflow.models.keras.library import OPERATORS, OWN_CLASSES, own_class
from qatflow.models.keras.operators import unknown_function
from qatflow.models.keras.table import HINTS, TRANSLATIONS
from qatflow.models.keras.translation import NESTED
from qatflow.models.saved.h5_file import reason
from qatflow.models.saved.keras_3 import PROBLEM

DEFAULTS = ("_initializer", "_regularizer", "_constraint")
"""Suffixes of settings that only matter for new weights: left out, since their descriptions can name any function."""
LIBRARY = ("keras", "tf_keras")
"""Packages whose layers are known; a .keras file names the package of each layer."""
POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")
"""Types in which layers may have computed; here they compute in float32."""
MODEL_KEYS = ("name", "trainable", "layers", "input_layers", "output_layers")
ENTRY_KEYS = ("name", "inbound_nodes")
Ranks = Mapping[str, int]
NO_RANKS: Ranks = MappingProxyType({})


def check_description(description: Any, where: str) -> dict[str, Any]:
    """Return a description with only plain values, as far as it can be checked without TensorFlow.

    Args:
        description: class_name and config, as tf-keras writes them.
        where: the file, for messages.

    Raises:
        UserError: it cannot become a model, see `model_of`.
    """
    return _checked(description, where)


def unknown_layers(description: dict[str, Any]) -> list[str]:
    """Return name and kind of each layer that cannot be translated; no TensorFlow is needed."""
    return [f"{name} ({kind}{f': {why}' if why else ''})" for name, kind, why in _kinds(description) if why is not None]


def model_of(description: dict[str, Any], where: str) -> Any:
    """Return the tf_keras model of a description, with random weights.

    Args:
        description: class_name and config, as tf-keras writes them.
        where: the file, for messages.

    Raises:
        UserError: layers are of an unknown kind (lists all of them), or the description is damaged.
    """
    clean = _checked(description, where)
    import tf_keras

    try:
        kind = getattr(tf_keras, "Sequential" if clean["class_name"] == "Sequential" else "Model")
        own = {name: own_class(name) for name in OWN_CLASSES}
        with tf_keras.utils.custom_object_scope({**own, **of_keras_3()}):
            model = kind.from_config(clean["config"])
        check_visible(model)
        return model
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except Exception as error:  # Keras raises many kinds for damaged descriptions
        raise UserError(_damaged(where, error)) from error


def _checked(description: Any, where: str) -> dict[str, Any]:
    """Return the description with only plain values."""
    try:
        if _is_subclass(description):
            own = description.get("registered_name") or description["class_name"]
            raise UserError(f"the model ({own}) {SUBCLASS.format('save')}")
        unknown = unknown_layers(description)
        if unknown:
            raise UserError(
                f"these layers cannot be translated: {'; '.join(unknown)}. Known kinds: "
                f"{', '.join(sorted(TRANSLATIONS))}"
            )
        return _cleaned(description)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise UserError(_damaged(where, error)) from error


def _is_subclass(description: dict[str, Any]) -> bool:
    """Return whether the whole model is of a class of the user's own, whose layers are not in its description."""
    kind, config = description["class_name"], description["config"]
    if PROBLEM in description or not isinstance(config, dict) or "layers" in config or kind in TRANSLATIONS:
        return False
    return kind not in NESTED or description.get("module", LIBRARY[0]) is None


def _damaged(where: str, error: Exception) -> str:
    return f"{where} is damaged: its description makes no model ({reason(error)[:300]}): save it again"


def _kinds(description: dict[str, Any], known: Ranks = NO_RANKS) -> Iterator[tuple[str, str, str | None]]:
    """Yield name and kind of each layer, and why it is not known; None if it is known."""
    kind, config = description["class_name"], description["config"]
    if not isinstance(kind, str) or not isinstance(config, dict):
        raise ValueError("a layer has no class_name or no config")
    if kind not in NESTED or PROBLEM in description:
        yield str(config.get("name")), kind, _why_unknown(description, known)
        return
    layers = config["layers"]
    if not isinstance(layers, list) or not layers:
        raise ValueError(f"model {config.get('name')} has no layers")
    known = ranks(_with_lists(description))
    for layer in layers:
        yield from _kinds(layer, known)


def _why_unknown(entry: dict[str, Any], known: Ranks = NO_RANKS) -> str | None:
    """Return why a layer is not known; None if it is. `known` has the number of axes of what other layers put out."""
    kind, registered = entry["class_name"], entry.get("registered_name")
    if PROBLEM in entry:
        return str(entry[PROBLEM])
    if kind not in TRANSLATIONS:
        return HINTS.get(kind, "")
    if kind in OPERATORS:
        return unknown_function(entry["config"].get("function")) or called_problem(_with_lists(entry), known) or None
    if kind in OWN_CLASSES and "module" not in entry:
        return "the file does not say whether it is tf_keras' own class: save a .keras file, or set model.function"
    module = entry.get("module", LIBRARY[0])
    if registered not in (None, kind) or not isinstance(module, str) or module.split(".")[0] not in LIBRARY:
        return f"{registered or module} is not tf_keras' own class, and what it computes cannot be seen"
    return None


def _cleaned(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a layer or model with only plain values."""
    entry = _with_lists(entry)
    kind, config = entry["class_name"], dict(entry["config"])
    kept: dict[str, Any] = {key: entry[key] for key in ENTRY_KEYS if key in entry}
    if _objects(kept):
        raise UserError(f"layer {config.get('name')} is called with objects, which are not created from a file")
    if kind in NESTED:
        config = {key: config[key] for key in MODEL_KEYS if key in config}
        config["layers"] = [_cleaned(layer) for layer in config["layers"]]
        if kind != "Sequential":
            _check_calls(config["layers"])
            _check_inputs(config.get("input_layers") or [])
        return {"class_name": kind, "config": config, **kept}
    return {"class_name": kind, "config": _plain(kind, config), **kept}


def _check_calls(layers: list[dict[str, Any]]) -> None:
    """Raise if a layer reads a tensor that no layer computes: Keras would search for it forever.

    A call of a layer is `[name, number of that layer's call, number of its tensor, …]` for each tensor it reads.
    """
    computed = {(layer["config"].get("name"), 0) for layer in layers if layer["class_name"] == "InputLayer"}
    waiting = {
        (layer["config"].get("name"), number + _first_call(layer)): [tensor for read in reads(call) for tensor in read]
        for layer in layers
        if layer["class_name"] != "InputLayer"
        for number, call in enumerate(layer.get("inbound_nodes") or [])
    }
    while ready := [call for call, tensors in waiting.items() if computed.issuperset(tensors)]:
        computed.update(ready)
        for call in ready:
            del waiting[call]
    if waiting:
        (name, _), tensors = next(iter(waiting.items()))
        read = tensors[0][0] if tensors else "nothing"
        raise ValueError(f"layer {name} reads {read}, which no earlier layer computes")


def _check_inputs(entries: list[Any]) -> None:
    """Raise if an input is not the only tensor of an input layer's only call: Keras would ignore the rest."""
    for name, *numbers in [entries] if entries and isinstance(entries[0], str) else entries:
        if numbers != [0, 0]:
            raise ValueError(f"the model's input {name} has the numbers {numbers}, but must have [0, 0]")


def _first_call(layer: dict[str, Any]) -> int:
    """Return the number of a layer's first call: 1 for a model with an input, whose own call is number 0."""
    inside = layer["config"].get("layers")
    return int(layer["class_name"] in NESTED and inside[0]["class_name"] == "InputLayer")


def _plain(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a layer, without those that only matter for new weights."""
    _check_type(kind, config)
    config = {key: value for key, value in config.items() if not key.endswith(DEFAULTS) and key != "dtype"}
    if "activation" in config:
        activation, config["activation"] = config["activation"], None
    else:
        activation = None
    if kind == "BatchNormalization" and isinstance(config.get("axis"), list):
        (config["axis"],) = config["axis"]
    if _objects(config):
        raise UserError(f"layer {config.get('name')} ({kind}) has objects for settings, which a file cannot create")
    if activation is not None:
        config["activation"] = _activation(config, activation)
    return config


def _check_type(kind: str, config: dict[str, Any]) -> None:
    """Raise if a layer does not compute in floats."""
    dtype = config.get("dtype")
    if isinstance(dtype, dict):  # a policy
        inner = dtype.get("config")
        dtype = inner.get("name") if isinstance(inner, dict) else dtype
    if dtype is not None and dtype not in (POLICIES[:1] if kind == "InputLayer" else POLICIES):
        raise UserError(f"layer {config.get('name')} ({kind}) has type {dtype}, but must have float32")


def _with_lists(value: Any) -> Any:
    """Return the value with lists in place of the tuples and shapes that a SavedModel's description has."""
    if isinstance(value, dict):
        if value.get("class_name") in ("__tuple__", "TensorShape") and set(value) == {"class_name", "items"}:
            return _with_lists(value["items"])
        return {key: _with_lists(inner) for key, inner in value.items()}
    return [_with_lists(inner) for inner in value] if isinstance(value, list) else value


def _activation(config: dict[str, Any], value: Any) -> Any:
    """Return the description of the activation inside a layer: a name, or a layer without weights."""
    if isinstance(value, dict) and value.get("class_name") in ACTIVATION_LAYERS and _why_unknown(value) is None:
        kind, inner = value["class_name"], value["config"]
        return {"class_name": kind, "config": _plain(kind, dict(_with_lists(inner)))}
    name = value.get("config") if isinstance(value, dict) and value.get("class_name") == "function" else value
    if not isinstance(name, str) or name not in NAMES:
        raise UserError(
            f"layer {config.get('name')}: activation {_shown(value, name)} cannot be translated; known: "
            f"{', '.join(sorted({*MAKE, 'silu'}))} and the layers {', '.join(sorted(ACTIVATION_LAYERS))}"
        )
    return name


def _shown(value: Any, name: Any) -> str:
    """Return how a message names an unknown activation: a file stores a lambda as compiled code."""
    kind = value.get("class_name") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind not in ("function", "__lambda__"):
        return kind
    return name if isinstance(name, str) else "that is written as code (a lambda)"


def _objects(value: Any) -> bool:
    if isinstance(value, dict):
        return bool({"class_name", "module", "registered_name"} & set(value)) or any(map(_objects, value.values()))
    return isinstance(value, list) and any(map(_objects, value))
