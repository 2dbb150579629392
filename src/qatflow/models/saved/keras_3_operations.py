"""Operations outside of layers in a model of Keras 3, as tf-keras writes the functions of TensorFlow that it calls."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class ProblemError(Exception):
    """Why a layer or operation cannot be translated."""


@dataclass(frozen=True)
class Function:
    """A function of TensorFlow that computes what an operation of Keras 3 does.

    Attributes:
        name: of the function, as tf-keras writes it.
        second: its second parameter, for operations on two tensors; None for those on one.
        settings: of the operation; the function's parameters have the same names.
        either: whether the two tensors can be exchanged.
    """

    name: str
    second: str | None = None
    settings: tuple[str, ...] = ()
    either: bool = False


OPERATIONS: dict[str, Function] = {
    "Add": Function("math.add", "y", either=True),
    "Multiply": Function("math.multiply", "y", either=True),
    "Maximum": Function("math.maximum", "y", either=True),
    "Minimum": Function("math.minimum", "y", either=True),
    "Subtract": Function("math.subtract", "y"),
    "Divide": Function("math.divide", "y"),
    "TrueDivide": Function("math.divide", "y"),
    "Negative": Function("math.negative"),
    "Mean": Function("math.reduce_mean", settings=("axis", "keepdims")),
    "Max": Function("math.reduce_max", settings=("axis", "keepdims")),
    "Concatenate": Function("concat", settings=("axis",)),
    "Relu": Function("nn.relu"),
    "Relu6": Function("nn.relu6"),
    "Sigmoid": Function("math.sigmoid"),
    "Tanh": Function("math.tanh"),
    "Silu": Function("nn.silu"),
}
"""By the operation's class."""
EMPTY: tuple[Any, ...] = (None, False)
"""Values of settings that change nothing, such as dtype, initial and where."""


def config(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the layer that tf-keras would make of an operation.

    Raises:
        ProblemError: the operation, or one of its settings, is not known.
    """
    kind, settings = entry["class_name"], entry["config"]
    function = OPERATIONS.get(kind)
    if function is None:
        raise ProblemError(f"an operation outside of a layer; known are {', '.join(sorted(OPERATIONS))}, and layers")
    for key, value in settings.items():
        if key not in ("name", *function.settings) and value not in EMPTY:
            raise ProblemError(f"{key}={value!r} is not known")
    return {"name": settings.get("name"), "trainable": True, "dtype": "float32", "function": function.name}


def call(entry: Mapping[str, Any], node: Mapping[str, Any], tensor: Callable[[Any], list[Any]]) -> list[Any]:
    """Return a call as tf-keras writes it.

    Args:
        entry: the operation.
        node: the call, as Keras 3 writes it.
        tensor: returns Keras 2's name of a tensor; raises ProblemError for anything else.

    Raises:
        ProblemError: it is called with something that is not known.
    """
    function, arguments = OPERATIONS[entry["class_name"]], list(node["args"])
    if len(arguments) != 1 + (function.second is not None) or any(v not in EMPTY for v in node["kwargs"].values()):
        raise ProblemError(
            f"is called with {len(arguments)} arguments and {', '.join(node['kwargs']) or 'no keywords'}"
        )
    if isinstance(arguments[0], int | float) and function.either:
        arguments.reverse()
    given = {name: entry["config"][name] for name in function.settings if name in entry["config"]}
    if function.second is not None:
        other = arguments[1]
        given[function.second] = other if isinstance(other, int | float) else tensor(other)
    first = arguments[0]
    if isinstance(first, list):
        return [[*tensor(value), dict(given)] for value in first]
    return [*tensor(first), given]  # a single tensor is no list, unlike that of a layer
