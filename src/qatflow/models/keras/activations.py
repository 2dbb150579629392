"""The known activations, and which function is which of them. Functions are known by identity, never by name."""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qatflow.graph.operations import (
    Elu,
    Exp,
    Gelu,
    HardSigmoid,
    HardSwish,
    Identity,
    LeakyRelu,
    Minimum,
    Mish,
    Multiply,
    Operation,
    PRelu,
    Relu,
    Relu6,
    Selu,
    Sigmoid,
    Softmax,
    Softplus,
    Softsign,
    Subtract,
    Tanh,
    ThresholdedRelu,
)
from qatflow.models.keras.library import UntranslatableError, called, own_kind, weights_of
from qatflow.models.keras.translation import Translate, Translation

LINEAR, SWISH = "linear", "swish"
HARD_SIGMOID_3, HARD_SWISH_3 = "keras.hard_sigmoid", "keras.hard_silu"
"""relu6(x + 3) / 6, and x times it: what Keras 3 calls so. tf-keras' hard_sigmoid is another function, and it has no
hard_silu. No function of Python can have such a name, so no file of tf-keras means one by it."""

Build = Callable[[Translation, str, tuple[str, ...]], str]
"""Adds the nodes of an activation: the graph under construction, the last node's name, the tensor that it reads."""


@dataclass(frozen=True)
class Activation:
    """A known activation.

    Attributes:
        name: last part of its node's name, `<layer>/<name>`.
        build: adds its nodes; returns the last one.
    """

    name: str
    build: Build


def of(operation: Operation) -> Activation:
    """Return the activation that is one operation."""
    return Activation(_snake(type(operation).__name__), lambda to, name, sources: to.add(name, operation, sources))


def relu(alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Activation:
    """Return Keras' relu (tf_keras.activations.relu) with these arguments.

    It computes x · [x > threshold], clipped to 0 … max_value if there is one, − alpha · max(threshold − x, 0).
    """
    slope, largest, start = float(alpha), None if max_value is None else float(max_value), float(threshold)
    if start < 0 or (largest is not None and largest <= 0):
        raise UntranslatableError(
            f"max_value={max_value}, threshold={threshold}; max_value must be above 0, and threshold not below"
        )
    if start:
        return Activation("relu", functools.partial(_relu_from, start, largest, slope))
    if largest is None:
        return of(LeakyRelu(slope) if slope else Relu())
    if largest == 6 and not slope:
        return of(Relu6())
    return Activation("relu", functools.partial(_relu_to, largest, LeakyRelu(slope) if slope else Relu()))


def _relu_to(largest: float, operation: Operation, to: Translation, name: str, sources: tuple[str, ...]) -> str:
    """Add min(relu(x), largest)."""
    full = to.add(f"{name}/{of(operation).name}", operation, sources)
    return to.add(name, Minimum(), (full,), {"constant": np.asarray([largest])})


def _relu_from(
    start: float, largest: float | None, slope: float, to: Translation, name: str, sources: tuple[str, ...]
) -> str:
    """Add min(x · [x > start], largest) − slope · max(start − x, 0)."""

    def named(last: str, more: bool) -> str:
        return f"{name}/{last}" if more else name

    result = to.add(named("above", largest is not None or bool(slope)), ThresholdedRelu(start), sources)
    if largest is not None:
        result = to.add(named("at_most", bool(slope)), Minimum(), (result,), {"constant": np.asarray([largest])})
    if slope:
        below = to.add(f"{name}/below", Subtract(constant_first=True), sources, {"constant": np.asarray([start])})
        below = to.add(f"{name}/negative", Relu(), (below,))
        below = to.add(f"{name}/slope", Multiply(), (below,), {"constant": np.asarray([slope])})
        result = to.add(name, Subtract(), (result, below))
    return result


def elu(alpha: float = 1.0) -> Activation:
    """Return Keras' elu."""
    return of(Elu(float(alpha)))


def softmax(axis: Any = -1) -> Activation:
    """Return a softmax over an axis."""
    if axis not in (-1, None):  # TensorFlow's None is the last axis
        raise UntranslatableError("must be over the last axis")
    return of(Softmax())


def swish() -> Activation:
    """Return x · sigmoid(x): two operations, as the int8 kernels have it."""
    return Activation(
        SWISH,
        lambda to, name, sources: to.add(name, Multiply(), (*sources, to.add(f"{name}/sigmoid", Sigmoid(), sources))),
    )


def _always(operation: Operation) -> Callable[[], Activation]:
    return lambda: of(operation)


MAKE: dict[str, Callable[..., Activation]] = {
    LINEAR: _always(Identity()),
    "relu": relu,
    "relu6": _always(Relu6()),
    "leaky_relu": lambda alpha=0.2: of(LeakyRelu(float(alpha))),
    "softmax": softmax,
    "sigmoid": _always(Sigmoid()),
    "hard_sigmoid": _always(HardSigmoid(0.2, 0.5)),
    "tanh": _always(Tanh()),
    "elu": elu,
    "selu": _always(Selu()),
    "exponential": _always(Exp()),
    "softplus": _always(Softplus()),
    "softsign": _always(Softsign()),
    "mish": _always(Mish()),
    "gelu": lambda approximate=False: of(Gelu(bool(approximate))),
    SWISH: swish,
}
"""By name; the functions take the keywords and defaults of Keras 2's function of that name."""

ALL: dict[str, Callable[..., Activation]] = {
    **MAKE,
    HARD_SIGMOID_3: _always(HardSigmoid(1 / 6, 0.5)),
    HARD_SWISH_3: _always(HardSwish()),
}
"""These and those of Keras 3 alone."""

NAMES = {*ALL, "silu"}
"""Names of activations in a model's description in a file; Keras' own functions have these names there."""


def of_keras_3() -> dict[str, Any]:
    """Return the functions of Keras 3 that tf-keras does not have, by the names that they have here."""
    return {HARD_SIGMOID_3: _hard_sigmoid_3, HARD_SWISH_3: _hard_swish_3}


def _hard_sigmoid_3(x: Any) -> Any:
    import tensorflow as tf

    return tf.nn.relu6(x + 3.0) / 6.0


def _hard_swish_3(x: Any) -> Any:
    return x * _hard_sigmoid_3(x)


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
        known = ", ".join(sorted(MAKE))
        raise UntranslatableError(
            f"activation {called(function)} is not one of the known ones of Keras and TensorFlow: {known}"
        )
    return made(name, keywords)


def made(name: str, keywords: Mapping[str, Any]) -> Activation:
    """Return the known activation of a name with keywords of its function.

    Raises:
        UntranslatableError: the keywords are not known.
    """
    given = {key: value for key, value in keywords.items() if key != "name"}
    try:
        activation = ALL[name](**given)
    except (TypeError, ValueError) as error:
        raise UntranslatableError(f"activation {name} with {_keywords(given)} is not known") from error
    except UntranslatableError as error:
        raise UntranslatableError(f"activation {name} with {_keywords(given)}: {error}") from error
    return Activation(name.rpartition(".")[2], activation.build)


def _keywords(keywords: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in keywords.items())


@functools.cache
def _known() -> dict[int, str]:
    """Return the name of each known function by its id; TensorFlow keeps them all alive."""
    import tensorflow as tf
    from tf_keras import activations, backend

    functions: dict[str, tuple[Any, ...]] = {
        LINEAR: (activations.linear, tf.identity),
        "relu": (activations.relu, tf.nn.relu, backend.relu),
        "relu6": (tf.nn.relu6,),
        "leaky_relu": (tf.nn.leaky_relu,),
        "softmax": (activations.softmax, tf.nn.softmax, backend.softmax),
        "sigmoid": (activations.sigmoid, tf.nn.sigmoid, backend.sigmoid),
        "tanh": (activations.tanh, tf.nn.tanh, backend.tanh),
        "elu": (activations.elu, tf.nn.elu, backend.elu),
        "hard_sigmoid": (activations.hard_sigmoid, backend.hard_sigmoid),
        "selu": (activations.selu, tf.nn.selu),
        "exponential": (activations.exponential, tf.exp),
        "softplus": (activations.softplus, tf.math.softplus, backend.softplus),
        "softsign": (activations.softsign, tf.nn.softsign, backend.softsign),
        "mish": (activations.mish,),
        "gelu": (activations.gelu, tf.nn.gelu),
        SWISH: (activations.swish, tf.nn.swish),
    }
    functions |= {name: (function,) for name, function in of_keras_3().items()}
    return {id(function): name for name, known in functions.items() for function in known}


ACTIVATION_LAYERS: dict[str, Callable[[Any], Activation]] = {
    "ReLU": lambda layer: relu(layer.negative_slope, layer.max_value, layer.threshold),
    "ThresholdedReLU": lambda layer: relu(threshold=layer.theta),
    "LeakyReLU": lambda layer: of(LeakyRelu(float(layer.alpha))),
    "ELU": lambda layer: elu(layer.alpha),
    "Softmax": lambda layer: softmax(layer.axis),
}
"""By kind of layer."""


def activated(to: Translation, name: str, layer: Any) -> str:
    """Add the activation inside a layer, whose node is `name`; return the node that computes the layer's output."""
    activation = given(layer.activation)
    return name if activation.name == LINEAR else activation.build(to, f"{name}/{activation.name}", (name,))


def given(function: Any) -> Activation:
    """Return the activation given to a layer, as a function or as a layer."""
    kind = own_kind(function)
    if kind == "Activation":
        return given(function.activation)
    if kind in ACTIVATION_LAYERS:
        return ACTIVATION_LAYERS[kind](function)
    return activation_of(function)


def _snake(name: str) -> str:
    return re.sub("(?<!^)([A-Z])", r"_\1", name).lower()


def _activation(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    return given(layer.activation).build(to, name, sources)


def _layer(make: Callable[[Any], Activation]) -> Translate:
    return lambda to, name, layer, sources: make(layer).build(to, name, sources)


def _prelu(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    return to.add(name, PRelu(), sources, weights_of(layer))


TRANSLATIONS: dict[str, Translate] = {
    **{kind: _layer(make) for kind, make in ACTIVATION_LAYERS.items()},
    "PReLU": _prelu,
    "Activation": _activation,
}
