"""The known activations, and which function is which of them. Functions are known by identity, never by name."""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qatflow.graph.operations import (
    Elu,
    Gelu,
    Identity,
    LeakyRelu,
    Multiply,
    Operation,
    Relu,
    Relu6,
    Sigmoid,
    Softmax,
    Tanh,
)
from qatflow.models.keras.library import UntranslatableError, called, own_kind
from qatflow.models.keras.translation import Translate, Translation

SWISH = "swish"


@dataclass(frozen=True)
class Activation:
    """A known activation.

    Attributes:
        name: last part of its node's name, `<layer>/<name>`.
        operation: what it computes; None: x · sigmoid(x), which takes two nodes.
    """

    name: str
    operation: Operation | None


def relu(alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Operation:
    """Return the operation of Keras' relu (tf_keras.activations.relu) with these arguments."""
    slope, largest = float(alpha), None if max_value is None else float(max_value)
    if float(threshold) or largest not in (None, 6.0) or (slope and largest is not None):
        raise UntranslatableError("only ReLU, ReLU6 and a ReLU with a negative slope")
    if slope:
        return LeakyRelu(slope)
    return Relu() if largest is None else Relu6()


def elu(alpha: float = 1.0) -> Operation:
    """Return the operation of Keras' elu."""
    if float(alpha) != 1.0:
        raise UntranslatableError("alpha must be 1")
    return Elu()


def softmax(axis: Any = -1) -> Operation:
    """Return the operation of a softmax over an axis."""
    if axis not in (-1, None):  # TensorFlow's None is the last axis
        raise UntranslatableError("must be over the last axis")
    return Softmax()


MAKE: dict[str, Callable[..., Operation]] = {
    "linear": Identity,
    "relu": relu,
    "relu6": Relu6,
    "leaky_relu": lambda alpha=0.2: LeakyRelu(float(alpha)),
    "softmax": softmax,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "elu": elu,
    "gelu": lambda approximate=False: Gelu(bool(approximate)),
}
"""By name; the functions take the keywords and defaults of Keras' function of that name."""

NAMES = {*MAKE, SWISH, "silu"}
"""Names of activations in a model's description in a file; Keras' own functions have these names there."""


def activation_of(function: Any) -> Activation:
    """Return the activation that a function is: it must be one of Keras' or TensorFlow's own functions.

    Args:
        function: a function, or functools.partial of one with keywords.

    Raises:
        UntranslatableError: it is another function, even one with a known name.
    """
    plain: Any = function
    keywords: dict[str, Any] = {}
    if isinstance(function, functools.partial) and not function.args:
        plain, keywords = function.func, dict(function.keywords)
    name = _known().get(id(plain))
    if name is None:
        known = ", ".join(sorted((*MAKE, SWISH)))
        raise UntranslatableError(
            f"activation {called(function)} is not one of the known ones of Keras and TensorFlow: {known}"
        )
    keywords.pop("name", None)
    if name == SWISH:
        if keywords:
            raise UntranslatableError(f"activation {name} with {_keywords(keywords)}; it is known without keywords")
        return Activation(SWISH, None)
    try:
        operation = MAKE[name](**keywords)
    except (TypeError, ValueError) as error:
        raise UntranslatableError(f"activation {name} with {_keywords(keywords)} is not known") from error
    except UntranslatableError as error:
        raise UntranslatableError(f"activation {name} with {_keywords(keywords)}: {error}") from error
    return Activation(name, operation)


def _keywords(keywords: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in keywords.items())


@functools.cache
def _known() -> dict[int, str]:
    """Return the name of each known function by its id; TensorFlow keeps them all alive."""
    import tensorflow as tf
    from tf_keras import activations, backend

    functions: dict[str, tuple[Any, ...]] = {
        "linear": (activations.linear, tf.identity),
        "relu": (activations.relu, tf.nn.relu, backend.relu),
        "relu6": (tf.nn.relu6,),
        "leaky_relu": (tf.nn.leaky_relu,),
        "softmax": (activations.softmax, tf.nn.softmax, backend.softmax),
        "sigmoid": (activations.sigmoid, tf.nn.sigmoid, backend.sigmoid),
        "tanh": (activations.tanh, tf.nn.tanh, backend.tanh),
        "elu": (activations.elu, tf.nn.elu, backend.elu),
        "gelu": (activations.gelu, tf.nn.gelu),
        SWISH: (activations.swish, tf.nn.swish),
    }
    return {id(function): name for name, known in functions.items() for function in known}


ACTIVATION_LAYERS: dict[str, Callable[[Any], Operation]] = {
    "ReLU": lambda layer: relu(layer.negative_slope, layer.max_value, layer.threshold),
    "LeakyReLU": lambda layer: LeakyRelu(float(layer.alpha)),
    "ELU": lambda layer: elu(layer.alpha),
    "Softmax": lambda layer: softmax(layer.axis),
}
"""By kind of layer."""


def activated(to: Translation, name: str, layer: Any) -> str:
    """Add the activation inside a layer, whose node is `name`; return the node that computes the layer's output."""
    activation = given(layer.activation)
    if isinstance(activation.operation, Identity):
        return name
    return _add_activation(to, f"{name}/{activation.name}", activation, (name,))


def given(function: Any) -> Activation:
    """Return the activation given to a layer, as a function or as a layer."""
    kind = own_kind(function)
    if kind == "Activation":
        return given(function.activation)
    if kind in ACTIVATION_LAYERS:
        operation = ACTIVATION_LAYERS[kind](function)
        return Activation(_snake(type(operation).__name__), operation)
    return activation_of(function)


def _add_activation(to: Translation, name: str, activation: Activation, sources: tuple[str, ...]) -> str:
    if activation.operation is not None:
        return to.add(name, activation.operation, sources)
    return to.add(name, Multiply(), (*sources, to.add(f"{name}/sigmoid", Sigmoid(), sources)))


def _snake(name: str) -> str:
    return re.sub("(?<!^)([A-Z])", r"_\1", name).lower()


def _layer(make: Callable[[Any], Operation]) -> Translate:
    return lambda to, name, layer, sources: to.add(name, make(layer), sources)


TRANSLATIONS: dict[str, Translate] = {
    **{kind: _layer(make) for kind, make in ACTIVATION_LAYERS.items()},
    "Activation": lambda to, name, layer, sources: _add_activation(to, name, given(layer.activation), sources),
}
