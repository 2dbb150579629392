"""Arithmetic outside of layers: operators such as `x + y` and `x * 0.5`, and TensorFlow's functions of single values.

Each function here has the parameters and defaults of TensorFlow's.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qatflow.graph.operations import Add, Identity, Maximum, Minimum, Multiply, Operation, Relu, Relu6, Subtract
from qatflow.graph.written_out import Erf, as_operation
from qatflow.models.keras.calls import Call, Source, channels_last
from qatflow.models.keras.library import UntranslatableError


def _constant(value: Any, source: Source) -> np.ndarray:
    """Return a constant that is combined with a tensor, without the batch axis, float32."""
    array = np.asarray(value, np.float32)
    if array.ndim == len(source.shape) + 1 and array.shape[0] == 1:
        array = array[0]
    if array.ndim > len(source.shape):
        raise UntranslatableError(f"combines a tensor with a constant of the shape {array.shape}")
    return array.reshape(1) if array.ndim == 0 else array


def _two(first: Source, second: Source) -> None:
    """Raise if two tensors are not broadcast as in the graph: TensorFlow counts the batch as an axis."""
    if len(first.shape) != len(second.shape):
        ranks = f"{len(first.shape) + 1} and {len(second.shape) + 1}"
        raise UntranslatableError(f"combines tensors of rank {ranks}; reshape one, so that both have the same")


def _combined(operation: Operation, neutral: float | None = None) -> Callable[..., str]:
    """Return the translation of a function whose two arguments can change places."""

    def translate(call: Call, x: Any, y: Any, name: Any = None) -> str:
        if isinstance(x, Source) and isinstance(y, Source):
            _two(x, y)
            return call.result(operation, x, y)
        source, value = (x, y) if isinstance(x, Source) else (y, x)
        constant = _constant(value, source)
        if constant.size == 1 and constant.item() == neutral:
            return call.result(Identity(), source)
        return call.result(operation, source, weights={"constant": constant})

    return translate


def _subtract(call: Call, x: Any, y: Any, name: Any = None) -> str:
    if isinstance(x, Source) and isinstance(y, Source):
        _two(x, y)
        return call.result(Subtract(), x, y)
    first = not isinstance(x, Source)
    source, value = (y, x) if first else (x, y)
    return call.result(Subtract(constant_first=first), source, weights={"constant": _constant(value, source)})


def _divide(call: Call, x: Any, y: Any, name: Any = None) -> str:
    if isinstance(y, Source):
        raise UntranslatableError("divides by a tensor; only a division by a constant is known")
    constant = _constant(y, x)
    if not constant.all():
        raise UntranslatableError("divides by zero")
    return call.result(Multiply(), x, weights={"constant": 1 / constant})


def _negative(call: Call, x: Source, name: Any = None) -> str:
    return call.result(Multiply(), x, weights={"constant": [-1.0]})


def _absolute(call: Call, x: Source, name: Any = None) -> str:
    return call.result(Maximum(), x, call.step("negative", Multiply(), x, weights={"constant": [-1.0]}))


def _error_function(call: Call, x: Source, name: Any = None) -> str:
    return call.result(as_operation(Erf()), x)


def _square(call: Call, x: Source, name: Any = None) -> str:
    return call.result(Multiply(), x, x)


def _power(call: Call, x: Any, y: Any, name: Any = None) -> str:
    if isinstance(y, Source) or np.asarray(y).ndim or float(y) != 2:
        raise UntranslatableError("only the square is known of all powers")
    return _square(call, x)


def _sum(call: Call, inputs: Sequence[Source], name: Any = None) -> str:
    result = inputs[0].node
    for place, source in enumerate(inputs[1:], 2):
        result = call.step("" if place == len(inputs) else str(place), Add(), result, source)
    return result if len(inputs) > 1 else call.result(Identity(), inputs[0])


def _clip(call: Call, t: Source, clip_value_min: Any, clip_value_max: Any, name: Any = None) -> str:
    low, high = np.asarray(clip_value_min, np.float32), np.asarray(clip_value_max, np.float32)
    if low.ndim or high.ndim or low > high:
        raise UntranslatableError("clips to other than two numbers, the smaller one first")
    if low == 0 and high == 6:
        return call.result(Relu6(), t)
    raised = call.step("low", Relu(), t) if low == 0 else call.step("low", Maximum(), t, weights={"constant": [low]})
    return call.result(Minimum(), raised, weights={"constant": [high]})


def _scaled(call: Call, scalar: Any, x: Source, name: Any = None) -> str:
    return _combined(Multiply(), 1.0)(call, x, scalar)


def _bias(call: Call, value: Source, bias: Any, data_format: Any = None, name: Any = None) -> str:
    channels_last(data_format)
    return _combined(Add(), 0.0)(call, value, bias)


FUNCTIONS: dict[str, Callable[..., str]] = {
    "__operators__.add": _combined(Add(), 0.0),
    "math.add": _combined(Add(), 0.0),
    "math.multiply": _combined(Multiply(), 1.0),
    "math.maximum": _combined(Maximum()),
    "math.minimum": _combined(Minimum()),
    "math.subtract": _subtract,
    "math.truediv": _divide,
    "math.divide": _divide,
    "math.negative": _negative,
    "math.abs": _absolute,
    "math.erf": _error_function,
    "math.square": _square,
    "math.pow": _power,
    "math.add_n": _sum,
    "math.scalar_mul": _scaled,
    "compat.v1.math.scalar_mul": _scaled,
    "clip_by_value": _clip,
    "nn.bias_add": _bias,
}
"""By TensorFlow's name of the function, without `tf.`."""
