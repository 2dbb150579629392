"""Operators and functions that are called outside of layers: `x + y`, `x * 0.5`, `tf.nn.relu6(x)`, `tf.reshape(x, …)`.

tf_keras makes a layer of each (TFOpLambda), with the function and its arguments. A function is found by TensorFlow's
name for it; that it is TensorFlow's own is checked.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qatflow.graph.operations import Identity
from qatflow.models.keras import arithmetic, moving
from qatflow.models.keras.activations import LINEAR, SWISH, Activation, activation_of, made
from qatflow.models.keras.calls import UNKNOWN, Call, Source, UnseenError
from qatflow.models.keras.library import UntranslatableError
from qatflow.models.keras.translation import Translate, Translation

FUNCTIONS: dict[str, Callable[..., str]] = {**arithmetic.FUNCTIONS, **moving.FUNCTIONS}
"""By TensorFlow's name of the function, without `tf.`."""

ACTIVATIONS = {
    "identity": LINEAR, "nn.relu": "relu", "nn.relu6": "relu6", "nn.leaky_relu": "leaky_relu", "nn.elu": "elu",
    "nn.selu": "selu", "nn.silu": SWISH, "nn.gelu": "gelu", "nn.softmax": "softmax", "nn.softsign": "softsign",
    "math.sigmoid": "sigmoid", "math.tanh": "tanh", "math.exp": "exponential", "math.softplus": "softplus",
}  # fmt: skip
"""Functions of one tensor, with the names of the activations that they are."""


def unknown_function(symbol: Any) -> str | None:
    """Return why a function of TensorFlow's, by its name, cannot be translated; None if it can."""
    known = symbol in (*FUNCTIONS, *ACTIVATIONS)
    return None if known else f"tf.{symbol}: a function that is not known; use a layer of the known kinds"


def call_problem(symbol: str, first: Any, keywords: Mapping[str, Any]) -> str:
    """Return why a described call of a known function cannot be translated, or an empty text; no TensorFlow is needed.

    Args:
        symbol: TensorFlow's name of the function.
        first: its first argument: a Source (with the shape UNKNOWN where the description does not say it), a list of
            them, or a constant.
        keywords: the others.
    """
    call = Call(Translation({}, {}), "call", None, UNKNOWN)
    try:
        _translated(call, symbol, functools.partial(made, ACTIVATIONS.get(symbol, "")), [first], keywords)
    except UntranslatableError as error:
        return str(error)
    except UnseenError:
        pass  # the translation will say what is wrong
    return ""


def _operator(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    symbol = layer.symbol
    function = _own_function(symbol, layer.function) if symbol in (*FUNCTIONS, *ACTIVATIONS) else None
    if function is None:
        raise UntranslatableError(
            unknown_function(symbol) or f"tf.{symbol} is a function of that name, not TensorFlow's"
        )
    if not all(sources):  # one could not be translated, which is a problem of its own
        return to.add(name, Identity(), sources[:1])
    use = to.use
    batch = use.keras_inputs[0].shape[0]
    call = Call(to, name, batch, tuple(getattr(use.outputs, "shape", ())))
    arguments = [_argument(to, value) for value in use.call_args]
    keywords = {key: _argument(to, value) for key, value in use.call_kwargs.items()}
    return _translated(call, symbol, lambda given: _activation_of(function, given), arguments, keywords)


def _translated(
    call: Call,
    symbol: str,
    activation: Callable[[dict[str, Any]], Activation],
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
) -> str:
    """Add the nodes of a call; `activation` returns the activation that the function is with keywords."""
    try:
        if symbol not in ACTIVATIONS:
            return FUNCTIONS[symbol](call, *arguments, **keywords)
        source, *others = arguments
        if others:
            raise UntranslatableError("name its arguments, such as alpha=0.1")
        given = {key: value for key, value in keywords.items() if value is not None}
        return activation(given).build(call.to, call.name, (source.node,))
    except UntranslatableError as error:
        raise UntranslatableError(f"tf.{symbol}: {error}") from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UntranslatableError(f"tf.{symbol} is called with arguments that are not known") from error


def _activation_of(function: Any, given: dict[str, Any]) -> Activation:
    return activation_of(functools.partial(function, **given) if given else function)


def _argument(to: Translation, value: Any) -> Any:
    """Return an argument with a Source in the place of each of Keras' tensors, and arrays in that of constants."""
    if isinstance(value, dict):
        return {key: _argument(to, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_argument(to, item) for item in value]
    if id(value) in to.tensors:
        node, shape = to.tensors[id(value)], tuple(value.shape[1:])
        return Source(node, to.shape_of(node) if None in shape and node else shape)
    return value.numpy() if hasattr(value, "numpy") else value


def _own_function(symbol: str, function: Any) -> Any:
    """Return TensorFlow's, or Keras', function of that name if a layer's function is that one or within it; else None.

    A function of the user's own can have the name, and can claim to decorate TensorFlow's, but is not within it.
    """
    import tensorflow as tf
    import tf_keras

    first, *rest = symbol.split(".")
    start = tf_keras if first == "keras" else getattr(tf, first, None)
    own = functools.reduce(lambda holder, part: getattr(holder, part, None), rest, start)
    inner = own
    while inner is not None and inner is not function:
        inner = getattr(inner, "__wrapped__", None)
    return None if inner is None else own


TRANSLATIONS: dict[str, Translate] = {"TFOpLambda": _operator, "SlicingOpLambda": _operator}
