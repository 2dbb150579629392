"""A model's description by Keras 3, in the words of tf-keras (Keras 2), which the rest of the program reads.

Keras 3 is not loaded, nothing in the description is run, and TensorFlow is not needed. Both versions have the same
layers with nearly the same settings. They differ in how a call names its tensors, in the names of some settings, and in
types. What has no equal in Keras 2 is marked with a reason (`PROBLEM`), and refused together with all unknown layers.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qatflow.models.keras.activations import HARD_SIGMOID_3, HARD_SWISH_3
from qatflow.models.saved import keras_3_operations
from qatflow.models.saved.keras_3_operations import ProblemError

PROBLEM = "problem"
"""Entry of a layer's description that says why the layer cannot be translated."""
LAYERS = "keras.layers"
"""Module of the library's own layers; a class of the user has its own."""
OPERATIONS = ("keras.src.ops.", "keras.ops")
"""Modules of operations outside of layers; their classes have names of layers (Add, Multiply)."""
MODELS = {
    "Functional": ("keras.src.models.functional", "keras"),
    "Sequential": ("keras", "keras.src.models.sequential"),
}

RENAMED: dict[str, dict[str, str]] = {"LeakyReLU": {"negative_slope": "alpha"}}
"""Settings that Keras 2 calls by another name, by the kind of layer."""
ONLY_IN_3: dict[str, Any] = {
    "quantization_config": None, "rms_scaling": False, "use_gate": False, "sliding_window": None,
    "pad_to_aspect_ratio": False, "antialias": False,
}  # fmt: skip
"""Settings that Keras 2 does not have, with the value at which they change nothing."""
WITHOUT_EFFECT = ("synchronized", "seed", "fill_mode", "fill_value")
"""Settings that matter in Keras' own training alone, or beside others that are refused."""
PREPROCESSING = ("Resizing", "CenterCrop", "Random")
"""Beginnings of the names of layers that have data_format in Keras 3 alone; and value_range for the contrast."""
APPLICATIONS = {
    "LayerScale": "keras.src.applications.convnext",
    "StochasticDepth": "keras.src.applications.convnext",
    "CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
}
"""Modules of the library's own classes that are not in `keras.layers`."""
WITH_TRAINING = ("BatchNormalization", *MODELS)
"""Layers whose argument `training` is what the user gave. Keras 3 notes the default of the others (True for
augmentation), and replaces it by that of the model's own call."""
ARGUMENTS = {"MultiHeadAttention": ("query", "value", "key")}
"""Layers that are called with several tensors, and the names of these arguments."""
OTHER_MEANING = {"hard_sigmoid": HARD_SIGMOID_3, "hard_silu": HARD_SWISH_3, "hard_swish": HARD_SWISH_3}
"""Activations that compute something else in Keras 2 under the same name, or that it does not have."""


@dataclass(frozen=True)
class Leaf:
    """A layer that is no model.

    Attributes:
        names: of the models that it is in, then its own.
        kind: in snake case.
        group: where its weights are in a .keras file's `model.weights.h5`.
    """

    names: tuple[str, ...]
    kind: str
    group: str


def is_keras_3(version: Any) -> bool:
    """Return whether a file's `keras_version` is one of Keras 3."""
    return str(version).startswith("3.")


def in_words_of_keras_2(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description as tf-keras would write it.

    Raises:
        ValueError, LookupError, TypeError, AttributeError or RecursionError: it is damaged.
    """
    kind, config = description["class_name"], description["config"]
    if not _is_model(description):
        own = description.get("registered_name") or kind
        problem = f"{own} is a class of your own, which hides what it computes; save keras.Model(inputs, outputs)"
        return {"class_name": kind, "config": {"name": config.get("name", "the model")}, PROBLEM: problem}
    return _Model().entry(description)


def leaves(description: Mapping[str, Any]) -> Iterator[Leaf]:
    """Yield the layers of a Keras 3 model in its order.

    Args:
        description: as Keras 3 writes it.
    """
    yield from _leaves(description, (), "")


def _leaves(description: Mapping[str, Any], names: tuple[str, ...], group: str) -> Iterator[Leaf]:
    """Yield the layers in a model; their groups are counted by class (Keras 3's `_save_container_state`)."""
    counts: dict[str, int] = {}
    sequential = description["class_name"] == "Sequential"
    for entry in description["config"]["layers"]:
        kind, config = entry["class_name"], entry["config"]
        if _is_operation(entry) or (sequential and kind == "InputLayer"):
            continue
        name = snake(kind)
        count = counts[name] = counts.get(name, -1) + 1
        inner = f"{group}layers/{name}_{count}" if count else f"{group}layers/{name}"
        if kind in MODELS and isinstance(config.get("layers"), list):
            yield from _leaves(entry, (*names, str(config["name"])), f"{inner}/")
        else:
            yield Leaf((*names, str(config["name"])), name, inner)


def snake(name: str) -> str:
    """Return the name of a class as Keras writes it in files and names of layers (`to_snake_case`)."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _is_model(entry: Mapping[str, Any]) -> bool:
    kind = entry["class_name"]
    return kind in MODELS and entry.get("module", "keras") in MODELS[kind]


def _is_operation(entry: Mapping[str, Any]) -> bool:
    if "module" in entry:
        return str(entry["module"]).startswith(OPERATIONS)
    # a .h5 file does not say it, but layers alone can be frozen or, but for casts, have a type
    config, kind = entry["config"], entry["class_name"]
    return "trainable" not in config and kind not in MODELS and (kind == "Cast" or not config.get("dtype"))


@dataclass
class _Model:
    """A model's layers while they are translated.

    Attributes:
        first_calls: number of a layer's first call in Keras 2, by the layer's name. Calls of layers are counted from 0,
            but those of models with an input from 1, since their own making counts as one.
        functional: names of functional models, whose calls Keras 3 counts from 1 too, for a model's outputs alone.
    """

    first_calls: dict[str, int] = field(default_factory=dict)
    functional: set[str] = field(default_factory=set)

    def entry(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return the description of a model."""
        kind, config = entry["class_name"], entry["config"]
        layers = list(config["layers"])
        if kind == "Sequential" and layers[0]["class_name"] != "InputLayer" and config.get("build_input_shape"):
            shape = {"batch_shape": config["build_input_shape"], "dtype": "float32", "name": f"{config['name']}_input"}
            layers.insert(0, {"module": LAYERS, "class_name": "InputLayer", "config": shape})
        self._number(layers)
        own = {key: config[key] for key in ("name", "trainable") if key in config}
        own["layers"] = [self._layer(layer) for layer in layers]
        if kind != "Sequential":
            own |= {key: [self._output(t) for t in _tensors(config[key])] for key in ("input_layers", "output_layers")}
        return {"class_name": kind, "config": own}

    def _number(self, layers: list[Any]) -> None:
        for layer in layers:
            kind, inner = layer["class_name"], layer["config"].get("layers")
            if kind in MODELS and inner:
                begins = int(inner[0]["class_name"] == "InputLayer" or bool(layer["config"].get("build_input_shape")))
                self.first_calls[layer["config"]["name"]] = begins
                if kind == "Functional":
                    self.functional.add(layer["config"]["name"])

    def _layer(self, layer: Mapping[str, Any]) -> dict[str, Any]:
        kind, config = layer["class_name"], layer["config"]
        if not isinstance(kind, str) or not isinstance(config, dict):
            raise ValueError("a layer has no class_name or no config")
        name = str(layer.get("name", config.get("name")))
        result: dict[str, Any] = {"class_name": kind, "config": {"name": name}}
        try:
            module = layer.get("module", LAYERS) if ">" not in kind else None
            if _is_operation(layer):
                return keras_3_operations.entry(layer, self._read)
            if _is_model(layer):
                result = _Model().entry(layer)
            elif kind in APPLICATIONS and layer.get("module") == APPLICATIONS[kind]:
                result |= {"module": module, "config": _settings(kind, config)}
            elif module != LAYERS or layer.get("registered_name") not in (None, kind):
                own = layer.get("registered_name") or kind
                raise ProblemError(f"{own} is not Keras' own class, and what it computes cannot be seen")
            else:
                _check_crop(kind, layer)
                result["config"] = _settings(kind, config) | _shapes(kind, layer)
            result["name"] = name
            if "inbound_nodes" in layer:
                result["inbound_nodes"] = [self._call(kind, call) for call in layer["inbound_nodes"]]
        except ProblemError as problem:
            result[PROBLEM] = str(problem)
        return result

    def _call(self, kind: str, call: Any) -> list[Any]:
        """Return a call as `[layer, number of its call, number of its tensor, keywords]` for each tensor it reads."""
        if isinstance(call, list):
            return call
        keywords = {key: value for key, value in call["kwargs"].items() if value is not None}
        if kind not in WITH_TRAINING:
            keywords.pop("training", None)
        arguments = ARGUMENTS.get(kind, ("inputs",))
        positional = list(call["args"]) or [keywords.pop(arguments[0])]
        if len(arguments) > 1:  # Keras 2 has the others as keywords
            keywords |= dict(zip(arguments[1:], positional[1:], strict=False))
            tensors = {name: self._tensor(_history(keywords[name])) for name in arguments[1:] if name in keywords}
            positional, keywords = positional[:1], {name: keywords[name] for name in set(keywords) - set(tensors)}
            ((*read, others),) = self._call("", {"args": positional, "kwargs": keywords})
            return [[*read, {**others, **tensors}]]
        if keywords.get("training") is True:
            raise ProblemError("is called with training=True, so it does not compute what inference would")
        more = [*(f"{len(positional)} arguments" for _ in positional[1:2]), *sorted(set(keywords) - {"training"})]
        if more:
            raise ProblemError(f"is called with {', '.join(more)}; only a call with its input alone is known")
        first = positional[0]
        reads = [_history(tensor) for tensor in (first if isinstance(first, list) else [first])]
        return [[*self._tensor(tensor), dict(keywords)] for tensor in reads]

    def _read(self, value: Any) -> list[Any]:
        return self._tensor(_history(value))

    def _tensor(self, tensor: list[Any]) -> list[Any]:
        """Return a tensor with Keras 2's number of the call that makes it."""
        name, call, which = tensor
        return [name, int(call) + self.first_calls.get(name, 0), which]

    def _output(self, tensor: list[Any]) -> list[Any]:
        name, call, which = tensor
        return self._tensor([name, int(call) - int(name in self.functional), which])


def _history(value: Any) -> list[Any]:
    if not isinstance(value, dict) or value.get("class_name") != "__keras_tensor__":
        raise ProblemError("reads something other than the tensors of layers")
    name, call, which = value["config"]["keras_history"]
    return [str(name), int(call), int(which)]


def _tensors(value: Any) -> Iterator[list[Any]]:
    """Yield the tensors of a model's inputs or outputs, however they are nested."""
    if isinstance(value, dict):
        value = list(value.values())
    if value and isinstance(value[0], str):
        yield value
    else:
        for inner in value:
            yield from _tensors(inner)


def _shapes(kind: str, layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shapes of the tensors that a layer reads, for layers whose description by Keras 2 has them."""
    if kind not in ARGUMENTS:
        return {}
    call = layer["inbound_nodes"][0]
    given = dict(zip(ARGUMENTS[kind], call["args"], strict=False)) | call["kwargs"]
    tensors = {name: given.get(name) or given["value"] for name in ARGUMENTS[kind]}
    return {f"{name}_shape": tensor["config"]["shape"] for name, tensor in tensors.items()}


def _check_crop(kind: str, layer: Mapping[str, Any]) -> None:
    """Raise for a RandomCrop that does something outside of training: what it does depends on the version of Keras.

    Up to 3.5 it crops and resizes, then it crops without resizing, and newer ones pass the whole pictures on.
    """
    if kind != "RandomCrop":
        return
    calls, built = layer.get("inbound_nodes"), layer.get("build_config") or {}
    shape = calls[0]["args"][0]["config"]["shape"] if calls else built.get("input_shape")
    size = [layer["config"]["height"], layer["config"]["width"]]
    if shape is None or list(shape[1:3]) != size:
        raise ProblemError(
            "outside of training it crops, resizes or does nothing, depending on the version of Keras 3: leave it out, "
            f"or make it {size[0]}×{size[1]} behind a Resizing of that size; set compress.augmentation"
        )


def _settings(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer's settings in Keras 2's names."""
    _check_type(config)
    if config.get("lora_rank"):
        raise ProblemError(
            f"has LoRA weights (lora_rank {config['lora_rank']}); build the model without enable_lora, load these "
            "weights there, and save it"
        )
    if kind == "InputLayer":
        shape = config.get("batch_shape", config.get("batch_input_shape"))
        return {
            "name": config.get("name"), "batch_input_shape": shape, "dtype": _type(config.get("dtype")),
            "sparse": config.get("sparse", False), "ragged": config.get("ragged", False),
        }  # fmt: skip
    settings: dict[str, Any] = {}
    for key, value in config.items():
        if key in WITHOUT_EFFECT or (kind, key) == ("RandomContrast", "value_range"):
            continue
        if key == "data_format" and kind.startswith(PREPROCESSING):
            if value != "channels_last":
                raise ProblemError("channels come first; they must come last")
            continue
        if key in ONLY_IN_3:
            if value != ONLY_IN_3[key]:
                raise ProblemError(f"{key}={value!r} is not known")
        elif key == "activation":
            settings[key] = _activation(value)
        elif key != "dtype":
            settings[RENAMED.get(kind, {}).get(key, key)] = _plain(value)
    return settings


def _check_type(config: Mapping[str, Any]) -> None:
    """Raise unless a layer computes in float32."""
    dtype = config.get("dtype")
    policy = dtype.get("class_name") if isinstance(dtype, dict) else "DTypePolicy"
    if policy != "DTypePolicy" or config.get("quantization_config") is not None:
        mode = dtype.get("config", {}).get("mode", policy) if isinstance(dtype, dict) else policy
        raise ProblemError(f"is quantised by Keras ({mode}); give the float model that it was made from")
    if _type(dtype) not in (None, "float32"):
        raise ProblemError(
            f"computes in {_type(dtype)}; build the model with keras.config.set_dtype_policy('float32'), load these "
            "weights there, and save it"
        )


def _type(dtype: Any) -> Any:
    return dtype["config"]["name"] if isinstance(dtype, dict) else dtype


def _activation(value: Any) -> Any:
    """Return the activation inside a layer: a name, a layer, or None."""
    if isinstance(value, str) or value is None:
        return OTHER_MEANING.get(value, value) if value is not None else None
    kind = value.get("class_name")
    if kind in (None, "__lambda__"):
        raise ProblemError("activation that is written as code (a lambda)")
    if kind == "function" or value.get("module", LAYERS) != LAYERS or value.get("registered_name") not in (None, kind):
        own = value.get("config") if kind == "function" else kind
        raise ProblemError(f"activation {own} is not Keras' own, and what it computes cannot be seen")
    return {"class_name": kind, "config": _settings(kind, value["config"])}


def _plain(value: Any) -> Any:
    """Return a setting without the objects in which Keras 3 writes arrays and types."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        return value["config"]["value"]
    return value
