"""Operators and functions that are called outside of layers: `x + y`, `x * 0.5`, `tf.nn.relu6(x)`, `tf.reshape(x, …)`.

tf_keras makes a layer of each (TFOpLambda), with the function and its arguments. Each function here has the parameters
and defaults of TensorFlow's, and is found by TensorFlow's name for it; that it is TensorFlow's own is checked.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from qatflow.graph.operations import (
    Add,
    AveragePool,
    Concat,
    Crop,
    GlobalAveragePool,
    GlobalMaxPool,
    Identity,
    Maximum,
    MaxPool,
    Minimum,
    Multiply,
    Operation,
    Pad,
    Permute,
    Relu,
    Relu6,
    Reshape,
    Resize,
    Subtract,
)
from qatflow.models.keras.activations import activation_of
from qatflow.models.keras.library import UntranslatableError
from qatflow.models.keras.translation import Translate, Translation


@dataclass(frozen=True)
class Source:
    """A tensor that is an argument of a function: the node that computes it, and its shape without the batch."""

    node: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Call:
    """A call of a function.

    Attributes:
        to: the graph under construction.
        name: of the node that computes the result.
        batch: size of the batch, usually None.
        output: shape of the result, with the batch.
    """

    to: Translation
    name: str
    batch: int | None
    output: tuple[int | None, ...]

    def result(self, operation: Operation, *sources: Source | str, weights: Mapping[str, Any] | None = None) -> str:
        """Add the node that computes the result."""
        return self.step("", operation, *sources, weights=weights)

    def step(
        self, last: str, operation: Operation, *sources: Source | str, weights: Mapping[str, Any] | None = None
    ) -> str:
        """Add a node whose name ends in `last`."""
        nodes = tuple(source.node if isinstance(source, Source) else source for source in sources)
        return self.to.add(f"{self.name}/{last}" if last else self.name, operation, nodes, weights)


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
    _channels_last(data_format)
    return _combined(Add(), 0.0)(call, value, bias)


def _channels_last(data_format: Any) -> None:
    if data_format not in (None, "NHWC", "N...C", "channels_last"):
        raise UntranslatableError("channels come first; they must come last")


def _reduced(kind: type[GlobalAveragePool] | type[GlobalMaxPool]) -> Callable[..., str]:
    def translate(call: Call, input_tensor: Source, axis: Any = None, keepdims: Any = False, name: Any = None) -> str:
        rank = len(input_tensor.shape) + 1
        axes = sorted(int(a) % rank for a in np.atleast_1d(axis)) if axis is not None else []
        if rank != 4 or axes != [1, 2]:
            raise UntranslatableError(f"over the axes {axis} of a tensor of rank {rank}; height and width are known")
        return call.result(kind(bool(keepdims)), input_tensor)

    return translate


def _reshaped(call: Call, tensor: Source, *arguments: Any, **keywords: Any) -> str:
    """Add a function that lays the same values in another shape; the batch must stay its first axis."""
    if not call.output or call.output[0] != call.batch or None in call.output[1:]:
        raise UntranslatableError("its result has no fixed shape behind the batch")
    shape = tuple(int(size or 0) for size in call.output[1:])
    if not shape or prod(shape) != prod(int(size or 0) for size in tensor.shape):
        raise UntranslatableError("it mixes the values of several pictures")
    return call.result(Reshape(shape), tensor)


def _flattened(call: Call, x: Source) -> str:
    if None in x.shape:
        raise UntranslatableError("its input has no fixed shape")
    return call.result(Reshape((prod(int(size or 0) for size in x.shape),)), x)


def _concat(call: Call, values: Sequence[Source], axis: Any, name: Any = None) -> str:
    rank = len(values[0].shape) + 1
    from_last = int(axis) - rank if axis >= 0 else int(axis)
    if not -rank < from_last < 0:
        raise UntranslatableError(f"axis={axis} is that of the batch")
    return call.result(Concat(from_last), *values)


def _transposed(call: Call, a: Source, perm: Any = None, conjugate: Any = False, name: Any = None) -> str:
    axes = [] if perm is None else [int(axis) for axis in perm]
    if sorted(axes) != list(range(len(a.shape) + 1)) or axes[0] != 0:
        raise UntranslatableError(f"perm={perm} moves the axis of the batch")
    return call.result(Permute(tuple(axis - 1 for axis in axes[1:])), a)


def _resized(
    call: Call,
    images: Source,
    size: Any,
    method: Any = "bilinear",
    preserve_aspect_ratio: Any = False,
    antialias: Any = False,
    name: Any = None,
) -> str:
    if method not in ("bilinear", "nearest") or preserve_aspect_ratio or antialias:
        raise UntranslatableError("known are bilinear and nearest, without preserve_aspect_ratio and antialias")
    height, width = (int(number) for number in size)
    return call.result(Resize(height, width, method == "bilinear"), images)


def _part(call: Call, tensor: Source, slice_spec: Any, *others: Any) -> str:
    """Add x[:, top:bottom, left:right, :]."""
    spec = [part for part in slice_spec if isinstance(part, dict) and part.get("step") in (None, 1)]
    if len(spec) != len(slice_spec) or others or len(tensor.shape) != 3 or None in tensor.shape:
        raise UntranslatableError("a part of a tensor; known are rows and columns of pictures, x[:, 1:-1, 1:-1]")
    spec += [WHOLE] * (4 - len(spec))
    if any((spec[axis]["start"], spec[axis]["stop"]) != (None, None) for axis in (0, 3)):
        raise UntranslatableError("a part of the pictures or of the channels; known are rows and columns")
    amounts = []
    for part, size in zip(spec[1:3], tensor.shape, strict=False):
        start, stop, _ = slice(part["start"], part["stop"]).indices(int(size or 0))
        if start >= stop:
            raise UntranslatableError("an empty part")
        amounts.append((start, int(size or 0) - stop))
    return call.result(Crop(*amounts), tensor)


WHOLE = {"start": None, "stop": None, "step": None}


def _pad(
    call: Call, tensor: Source, paddings: Any, mode: Any = "CONSTANT", name: Any = None, constant_values: Any = 0
) -> str:
    amounts = np.asarray(paddings)
    if str(mode).upper() != "CONSTANT" or np.any(np.asarray(constant_values)):
        raise UntranslatableError("pads with other values than zeros")
    if amounts.shape != (4, 2) or amounts[[0, 3]].any():
        raise UntranslatableError("pads other axes than height and width")
    rows, columns = ((int(before), int(after)) for before, after in amounts[1:3])
    return call.result(Pad(rows, columns), tensor)


def _pool(kind: type[AveragePool] | type[MaxPool]) -> Callable[..., str]:
    def translate(
        call: Call, input: Source, ksize: Any, strides: Any, padding: Any, data_format: Any = None, name: Any = None
    ) -> str:
        _channels_last(data_format)
        if padding not in ("SAME", "VALID"):
            raise UntranslatableError("pads by numbers; known: SAME, VALID")
        return call.result(kind(_window(ksize), _window(strides), "same" if padding == "SAME" else "valid"), input)

    return translate


def _window(size: Any) -> tuple[int, int]:
    """Return rows and columns of a window, which TensorFlow takes as 1, 2 or 4 numbers."""
    numbers = [int(n) for n in np.atleast_1d(size)]
    if len(numbers) == 4 and numbers[0] == numbers[3] == 1:
        numbers = numbers[1:3]
    if len(numbers) not in (1, 2):
        raise UntranslatableError(f"a window of {size}; height and width are known")
    return numbers[0], numbers[-1]


def _cast(call: Call, x: Source, dtype: Any, name: Any = None) -> str:
    if getattr(dtype, "name", dtype) != "float32":
        raise UntranslatableError(f"casts to {getattr(dtype, 'name', dtype)}")
    return call.result(Identity(), x)


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
    "math.square": _square,
    "math.pow": _power,
    "math.add_n": _sum,
    "math.scalar_mul": _scaled,
    "compat.v1.math.scalar_mul": _scaled,
    "clip_by_value": _clip,
    "nn.bias_add": _bias,
    "math.reduce_mean": _reduced(GlobalAveragePool),
    "math.reduce_max": _reduced(GlobalMaxPool),
    "reshape": _reshaped,
    "squeeze": _reshaped,
    "compat.v1.squeeze": _reshaped,
    "expand_dims": _reshaped,
    "keras.backend.batch_flatten": _flattened,
    "concat": _concat,
    "transpose": _transposed,
    "compat.v1.transpose": _transposed,
    "image.resize": _resized,
    "__operators__.getitem": _part,
    "pad": _pad,
    "compat.v1.pad": _pad,
    "nn.max_pool2d": _pool(MaxPool),
    "nn.avg_pool2d": _pool(AveragePool),
    "cast": _cast,
}
"""By TensorFlow's name of the function, without `tf.`."""

ACTIVATIONS = (
    "identity", "nn.relu", "nn.relu6", "nn.leaky_relu", "nn.elu", "nn.selu", "nn.silu", "nn.gelu", "nn.softmax",
    "nn.softsign", "math.sigmoid", "math.tanh", "math.exp", "math.softplus",
)  # fmt: skip
"""Functions of one tensor that `activations.activation_of` knows."""


def unknown_function(symbol: Any) -> str | None:
    """Return why a function of TensorFlow's, by its name, cannot be translated; None if it can."""
    known = symbol in (*FUNCTIONS, *ACTIVATIONS)
    return None if known else f"tf.{symbol}: a function that is not known; use a layer of the known kinds"


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
    try:
        if symbol in ACTIVATIONS:
            return _activation(call, function, *arguments, **keywords)
        return FUNCTIONS[symbol](call, *arguments, **keywords)
    except UntranslatableError as error:
        raise UntranslatableError(f"tf.{symbol}: {error}") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise UntranslatableError(f"tf.{symbol} is called with arguments that are not known") from error


def _activation(call: Call, function: Any, source: Source, *arguments: Any, **keywords: Any) -> str:
    if arguments:
        raise UntranslatableError("name its arguments, such as alpha=0.1")
    given = {key: value for key, value in keywords.items() if value is not None}
    activation = activation_of(functools.partial(function, **given) if given else function)
    return activation.build(call.to, call.name, (source.node,))


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
