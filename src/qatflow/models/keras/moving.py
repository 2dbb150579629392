"""Functions of TensorFlow's outside of layers that move, pick or pool values, as `tf.reshape` and `x[:, 1:-1]` do.

Each function here has the parameters and defaults of TensorFlow's.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from qatflow.graph.operations import (
    AveragePool,
    Concat,
    Crop,
    GlobalAveragePool,
    GlobalMaxPool,
    Identity,
    MaxPool,
    Pad,
    Permute,
    Reshape,
    Resize,
)
from qatflow.models.keras.calls import Call, Source, channels_last
from qatflow.models.keras.library import UntranslatableError


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
    """Add x[:, top:bottom, left:right, first:last]."""
    given = list(slice_spec) if isinstance(slice_spec, list | tuple) else [slice_spec]
    if Ellipsis in given:
        place = given.index(Ellipsis)
        given[place : place + 1] = [WHOLE] * (5 - len(given))
    spec = [part for part in given if isinstance(part, dict) and set(part) == set(WHOLE) and part["step"] in (None, 1)]
    if len(spec) != len(given) or others or len(tensor.shape) != 3 or None in tensor.shape:
        raise UntranslatableError("a part of a tensor; known are those of pictures, without steps: x[:, 1:-1, 1:-1]")
    spec += [WHOLE] * (4 - len(spec))
    if (spec[0]["start"], spec[0]["stop"]) != (None, None):
        raise UntranslatableError("some of the pictures; known are rows, columns and channels")
    amounts = []
    for part, size in zip(spec[1:], tensor.shape, strict=True):
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
        channels_last(data_format)
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
