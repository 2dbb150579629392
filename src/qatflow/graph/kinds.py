"""What each operation does to shapes, channels and weights: one table that everything else asks.

Shapes, checks and counts (`shapes.py`, `counts.py`), channels that go together (`channels.py`),
thinner and resized graphs, and the check of a stored graph (`store.py`) all read `KINDS`. How an operation is written
for Keras and for TensorFlow Lite stands in one table each (`training/keras_model.py`, `tflite/operators.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np

from qatflow.graph.operations import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Elu,
    Gelu,
    GlobalAveragePool,
    GlobalMaxPool,
    Identity,
    Input,
    LeakyRelu,
    MaxPool,
    Multiply,
    Operation,
    Pad,
    Padding,
    Pair,
    Relu,
    Relu6,
    Reshape,
    Sigmoid,
    Softmax,
    Tanh,
    UpSample,
)

Shape = tuple[int, ...]

ChannelRule = Literal["pictures", "new", "multiplied", "each", "together", "joined", "reshaped", "mixed"]
"""How the channels of a tensor come from those of the inputs: those of the pictures; new ones of a kernel; each input
channel gives several of its own; channel c of channel c; channel c of channel c of every input, with a single channel
repeated; one input's behind the other's; values in another shape; every channel of all channels."""


class DoesNotFitError(ValueError):
    """Why an operation cannot be applied to its inputs or weights."""


@dataclass(frozen=True)
class Kernel:
    """How the weight that quantisation concerns is laid out.

    Attributes:
        role: of the weight.
        rank: number of axes; the last ones are the channels made.
        reads: axis of the channels that it reads.
        by_itself: each channel read makes `shape[-1]` channels of its own; the channels made are then the last two
            axes. Otherwise every channel made is of all that are read.
    """

    role: str
    rank: int
    reads: int
    by_itself: bool = False

    def channels(self, shape: Shape) -> int:
        """Return how many channels a kernel of that shape makes."""
        return shape[-2] * shape[-1] if self.by_itself else shape[-1]

    def resized(self, shape: Shape, reads: int, makes: int) -> Shape:
        """Return the shape of the kernel that reads and makes so many channels."""
        sizes = list(shape)
        sizes[self.reads] = reads
        if not self.by_itself:
            sizes[-1] = makes
        return tuple(sizes)

    def thinned(self, kernel: np.ndarray, reads: np.ndarray, makes: np.ndarray) -> np.ndarray:
        """Return the kernel with the channels that stay.

        Args:
            kernel: of this layout.
            reads: bool, one for each channel read.
            makes: bool, one for each channel made.
        """
        read = np.compress(reads, kernel, axis=self.reads)
        return read if self.by_itself else np.compress(makes, read, axis=-1)


@dataclass(frozen=True)
class Kind:
    """What an operation is.

    Attributes:
        inputs: least and greatest number of tensors that it reads; None: as many as there are.
        channels: where its channels come from.
        shape: of its tensor, by the operation, the inputs' shapes and the kernel's, all without the batch. Raises
            DoesNotFitError. The kernel has been held to its layout.
        kernel: layout of its kernel; None: it has none.
        vectors: roles of the weights that it needs, with one value a channel of its tensor.
        may_have: those that it can do without.
    """

    inputs: tuple[int, int | None]
    channels: ChannelRule
    shape: Callable[[Any, Sequence[Shape], Shape], Shape]
    kernel: Kernel | None = None
    vectors: tuple[str, ...] = ()
    may_have: tuple[str, ...] = ()


def kind_of(operation: Operation) -> Kind:
    """Return what an operation is."""
    try:
        return KINDS[type(operation)]
    except KeyError:
        raise TypeError(f"{type(operation).__name__} is not described in KINDS: what it does is not known") from None


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """Return the shape that tensors of these shapes, without the batch, are broadcast to.

    NumPy's rule: shapes are aligned at their last axes, missing axes count as 1, and an axis of length 1 is repeated.
    Keras' merging layers do the same behind the batch (`_Merge.call` puts axes of length 1 behind it), and so do
    TensorFlow Lite's kernels with a batch of 1.

    Raises:
        DoesNotFitError: an axis has two lengths other than 1.
    """
    try:
        return tuple(int(size) for size in np.broadcast_shapes(*shapes))
    except ValueError:
        raise DoesNotFitError(
            f"its inputs have the shapes {list(shapes)}, and they cannot be broadcast to one"
        ) from None


def reach(window: int, dilation: int) -> int:
    """Return how many pixels a window covers from its first to its last."""
    return (window - 1) * dilation + 1


def same_padding(size: int, window: int, stride: int) -> Pair:
    """Return the zeros before and after an axis under TensorFlow's `same`: the odd one goes after."""
    out = -(-size // stride)
    total = max((out - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def with_channels(operation: Operation, channels: int) -> Operation:
    """Return the operation that makes so many channels where the operation itself says how many."""
    return Reshape((*operation.shape[:-1], channels)) if isinstance(operation, Reshape) else operation


def _picture(sources: Sequence[Shape]) -> tuple[int, int, int]:
    if len(sources[0]) != 3:
        raise DoesNotFitError(f"it takes height, width and channels, and its input has the shape {sources[0]}")
    return sources[0]


def _slid(source: Shape, window: Pair, strides: Pair, padding: Padding, dilations: Pair = (1, 1)) -> Pair:
    sizes = []
    for size, width, stride, dilation in zip(source[:2], window, strides, dilations, strict=True):
        sizes.append(-(-size // stride) if padding == "same" else (size - reach(width, dilation)) // stride + 1)
    return sizes[0], sizes[1]


def _convolved(o: Conv2D | DepthwiseConv2D, sources: Sequence[Shape], kernel: Shape) -> Shape:
    size = _slid(_picture(sources), (kernel[0], kernel[1]), o.strides, o.padding, o.dilations)
    layout = KINDS[type(o)].kernel
    assert layout is not None
    return *size, layout.channels(kernel)


def _pooled(o: AveragePool | MaxPool, sources: Sequence[Shape], kernel: Shape) -> Shape:
    return *_slid(_picture(sources), o.window, o.strides, o.padding), sources[0][2]


def _padded(o: Pad, sources: Sequence[Shape], kernel: Shape) -> Shape:
    height, width, channels = _picture(sources)
    return height + sum(o.rows), width + sum(o.columns), channels


def _enlarged(o: UpSample, sources: Sequence[Shape], kernel: Shape) -> Shape:
    height, width, channels = _picture(sources)
    return height * o.factors[0], width * o.factors[1], channels


def _global(o: GlobalAveragePool | GlobalMaxPool, sources: Sequence[Shape], kernel: Shape) -> Shape:
    channels = _picture(sources)[2]
    return (1, 1, channels) if o.keepdims else (channels,)


def _joined(o: Concat, sources: Sequence[Shape], kernel: Shape) -> Shape:
    if len({shape[:-1] for shape in sources}) != 1:
        raise DoesNotFitError(f"its inputs have the shapes {list(sources)}, and all but the channels must be the same")
    return *sources[0][:-1], sum(shape[-1] for shape in sources)


def _reshaped(o: Reshape, sources: Sequence[Shape], kernel: Shape) -> Shape:
    if prod(o.shape) != prod(sources[0]):
        raise DoesNotFitError(f"{sources[0]} cannot take the shape {o.shape}")
    return o.shape


def _same(o: Operation, sources: Sequence[Shape], kernel: Shape) -> Shape:
    return sources[0]


def _broadcast(o: Operation, sources: Sequence[Shape], kernel: Shape) -> Shape:
    return broadcast(sources)


EACH = Kind((1, 1), "each", _same)
TOGETHER = Kind((2, 2), "together", _broadcast)

KINDS: dict[type, Kind] = {
    Input: Kind((0, 0), "pictures", lambda o, sources, kernel: o.shape),
    Conv2D: Kind((1, 1), "new", _convolved, Kernel("kernel", 4, 2), may_have=("bias",)),
    DepthwiseConv2D: Kind(
        (1, 1), "multiplied", _convolved, Kernel("depthwise_kernel", 4, 2, by_itself=True), may_have=("bias",)
    ),
    Dense: Kind(
        (1, 1), "new", lambda o, sources, kernel: (*sources[0][:-1], kernel[1]), Kernel("kernel", 2, 0),
        may_have=("bias",),
    ),
    BatchNorm: Kind((1, 1), "each", _same, vectors=("gamma", "beta", "moving_mean", "moving_variance")),
    Relu: EACH,
    Relu6: EACH,
    LeakyRelu: EACH,
    Sigmoid: EACH,
    Tanh: EACH,
    Elu: EACH,
    Gelu: EACH,
    Add: TOGETHER,
    Multiply: TOGETHER,
    Concat: Kind((2, None), "joined", _joined),
    Pad: Kind((1, 1), "each", _padded),
    UpSample: Kind((1, 1), "each", _enlarged),
    AveragePool: Kind((1, 1), "each", _pooled),
    MaxPool: Kind((1, 1), "each", _pooled),
    GlobalAveragePool: Kind((1, 1), "each", _global),
    GlobalMaxPool: Kind((1, 1), "each", _global),
    Reshape: Kind((1, 1), "reshaped", _reshaped),
    Dropout: EACH,
    Identity: EACH,
    Softmax: Kind((1, 1), "mixed", _same),
}  # fmt: skip

VECTORS = ("bias", "gamma", "beta", "moving_mean", "moving_variance")
"""Roles of the weights that have one value a channel of their node's tensor."""

QUANTISED_KERNEL: dict[type, str] = {kind: about.kernel.role for kind, about in KINDS.items() if about.kernel}
"""Operations whose kernels are quantised, with the role of that weight."""
