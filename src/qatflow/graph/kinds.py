"""What each operation does to shapes, channels and weights: `KINDS`, one table that everything else asks.

Shapes, checks and counts (`shapes.py`, `counts.py`), channels that are removed together (`channels.py`), thinner and
resized graphs, and the check of a stored graph (`store.py`) all read it. How an operation is written for Keras and for
TensorFlow Lite is in one table each (`training/keras_model.py`, `tflite/operators.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np

from qatflow.graph.operations import (
    Add,
    Attention,
    AveragePool,
    BatchNorm,
    Concat,
    Conv2D,
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Elu,
    Exp,
    Gelu,
    GlobalAveragePool,
    GlobalMaxPool,
    GroupNorm,
    HardSigmoid,
    HardSwish,
    Identity,
    Input,
    LayerNorm,
    LeakyRelu,
    Maximum,
    MaxPool,
    Minimum,
    Mish,
    Multiply,
    Operation,
    Pad,
    Padding,
    Pair,
    Permute,
    PictureDropout,
    PRelu,
    Relu,
    Relu6,
    Rescale,
    Reshape,
    Resize,
    Selu,
    Sigmoid,
    Softmax,
    Softplus,
    Softsign,
    SpatialDropout,
    Subtract,
    Tanh,
    ThresholdedRelu,
    UnitNorm,
    UpSample,
)

Shape = tuple[int, ...]

ChannelRule = Literal[
    "pictures", "new", "multiplied", "each", "together", "joined", "part", "reshaped", "permuted", "mixed"
]  # fmt: skip
"""Where the channels of an output tensor come from.

`pictures`: the input pictures; `new`: a kernel makes new ones; `multiplied`: each input channel makes several;
`each`: channel c comes from input channel c; `together`: channel c comes from channel c of every input, where a single
channel is broadcast; `joined`: the inputs behind one another, by their channels or by another axis; `part`: some of the
input channels, all behind one another; `reshaped`: the same values in another shape; `permuted`: the axes in another
order; `mixed`: every channel comes from all channels, and there are as many as in the last input.
"""


class DoesNotFitError(ValueError):
    """Why an operation cannot be applied to its inputs or weights."""


@dataclass(frozen=True)
class Kernel:
    """Layout of the weight that is quantised.

    Attributes:
        role: of the weight.
        rank: number of axes; the last ones are the output channels.
        reads: axis of the input channels.
        by_itself: each input channel makes `shape[-1]` output channels of its own, so the last two axes are the output
            channels. Otherwise every output channel reads all input channels of its group.
    """

    role: str
    rank: int
    reads: int
    by_itself: bool = False

    def channels(self, shape: Shape) -> int:
        """Return the number of output channels of a kernel of that shape."""
        return shape[-2] * shape[-1] if self.by_itself else shape[-1]

    def resized(self, shape: Shape, reads: int, makes: int) -> Shape:
        """Return the kernel's shape with these numbers of channels: `reads` in a group of the input, `makes` in all."""
        sizes = list(shape)
        sizes[self.reads] = reads
        if not self.by_itself:
            sizes[-1] = makes
        return tuple(sizes)

    def thinned(self, kernel: np.ndarray, reads: np.ndarray, makes: np.ndarray) -> np.ndarray:
        """Return the kernel with only the channels that stay.

        Args:
            kernel: in this layout.
            reads: bool [input channels of the first group], true where the channel stays.
            makes: bool [output channels], true where the channel stays.
        """
        read = np.compress(reads, kernel, axis=self.reads)
        return read if self.by_itself else np.compress(makes, read, axis=-1)


@dataclass(frozen=True)
class Operand:
    """A weight that stands in the place of a second tensor, and is broadcast like one.

    Attributes:
        role: of the weight.
        always: whether every node of this kind has it; otherwise a node has it where it reads a single tensor.
        trained: whether training changes it. A constant stays as the model has it.
        own_scale: whether the int8 kernel reads it in a scale of its own; otherwise in that of the output.
    """

    role: str = "constant"
    always: bool = False
    trained: bool = False
    own_scale: bool = True


@dataclass(frozen=True)
class Kind:
    """Description of one kind of operation.

    Attributes:
        inputs: smallest and largest number of tensors that it reads; None: no limit.
        channels: where its output channels come from.
        shape: function from the operation, the shapes of its inputs and the shape of its kernel to the shape of its
            output, all without the batch. Raises DoesNotFitError. The kernel has been checked against its layout.
        kernel: layout of its kernel; None: it has none.
        vectors: roles of the required weights with one value per output channel.
        may_have: roles of the optional ones.
        operand: the weight that can stand in the place of its second tensor; None: none can. Its shape follows those
            of the inputs in what `shape` is given.
    """

    inputs: tuple[int, int | None]
    channels: ChannelRule
    shape: Callable[[Any, Sequence[Shape], Shape], Shape]
    kernel: Kernel | None = None
    vectors: tuple[str, ...] = ()
    may_have: tuple[str, ...] = ()
    operand: Operand | None = None


def kind_of(operation: Operation) -> Kind:
    """Return the description of an operation."""
    # operations that no finished graph has describe themselves
    kind = KINDS.get(type(operation)) or getattr(operation, "KIND", None)
    if kind is None:
        raise TypeError(f"{type(operation).__name__} has no description: add it to KINDS")
    return kind


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """Return the shape to which tensors of these shapes, without the batch, are broadcast.

    This is NumPy's rule: shapes are aligned at their last axes, missing axes count as 1, and axes of length 1 are
    repeated. Keras' merging layers do the same behind the batch axis (`_Merge.call` inserts axes of length 1 there),
    and so do TensorFlow Lite's kernels with a batch of 1.

    Raises:
        DoesNotFitError: an axis has two lengths other than 1.
    """
    try:
        return tuple(int(size) for size in np.broadcast_shapes(*shapes))
    except ValueError:
        raise DoesNotFitError(
            f"its inputs have the shapes {list(shapes)}, which cannot be broadcast to one shape"
        ) from None


def reach(window: int, dilation: int) -> int:
    """Return how many pixels a dilated window covers, from its first to its last."""
    return (window - 1) * dilation + 1


def same_padding(size: int, window: int, stride: int) -> Pair:
    """Return the zeros before and after an axis under TensorFlow's `same` padding: an odd one goes after."""
    out = -(-size // stride)
    total = max((out - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def with_channels(operation: Operation, channels: int) -> Operation:
    """Return the operation with that many output channels, if the operation itself states them (a reshape does)."""
    return Reshape((*operation.shape[:-1], channels)) if isinstance(operation, Reshape) else operation


def _picture(sources: Sequence[Shape]) -> tuple[int, int, int]:
    if len(sources[0]) != 3:
        raise DoesNotFitError(f"it takes height, width and channels, but its input has the shape {sources[0]}")
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
    channels, groups = layout.channels(kernel), getattr(o, "groups", 1)
    if channels % groups:
        raise DoesNotFitError(f"its kernel {kernel} makes {channels} channels, which are not {groups} equal groups")
    return *size, channels


def _pooled(o: AveragePool | MaxPool, sources: Sequence[Shape], kernel: Shape) -> Shape:
    return *_slid(_picture(sources), o.window, o.strides, o.padding), sources[0][2]


def _spread(o: Conv2DTranspose, sources: Sequence[Shape], kernel: Shape) -> Shape:
    sizes = []
    for size, window, stride in zip(_picture(sources)[:2], kernel[:2], o.strides, strict=True):
        sizes.append(size * stride + (max(window - stride, 0) if o.padding == "valid" else 0))
    return sizes[0], sizes[1], kernel[3]


def _cropped(o: Crop, sources: Sequence[Shape], kernel: Shape) -> Shape:
    height, width, channels = _picture(sources)
    return height - sum(o.rows), width - sum(o.columns), channels - sum(o.channels)


def _resized(o: Resize, sources: Sequence[Shape], kernel: Shape) -> Shape:
    return o.height, o.width, _picture(sources)[2]


def _permuted(o: Permute, sources: Sequence[Shape], kernel: Shape) -> Shape:
    if sorted(o.axes) != list(range(len(sources[0]))):
        raise DoesNotFitError(f"its axes are {o.axes}, which are not those of its input of the shape {sources[0]}")
    return tuple(sources[0][axis] for axis in o.axes)


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
    if any(len(shape) < -o.axis for shape in sources):
        raise DoesNotFitError(f"its inputs have the shapes {list(sources)}, but it joins axis {o.axis}")
    others = {(len(shape), *np.delete(shape, o.axis)) for shape in sources}
    if len(others) != 1:
        axis = "their channels" if o.axis == -1 else f"axis {o.axis}"
        raise DoesNotFitError(f"its inputs have the shapes {list(sources)}, but only {axis} may differ")
    joined = list(sources[0])
    joined[o.axis] = sum(shape[o.axis] for shape in sources)
    return tuple(joined)


def _reshaped(o: Reshape, sources: Sequence[Shape], kernel: Shape) -> Shape:
    if prod(o.shape) != prod(sources[0]):
        raise DoesNotFitError(f"{sources[0]} cannot take the shape {o.shape}")
    return o.shape


def _attended(o: Attention, sources: Sequence[Shape], kernel: Shape) -> Shape:
    query, key, value = sources
    if {len(shape) for shape in sources} != {2} or query[1] != key[1] or key[0] != value[0]:
        raise DoesNotFitError(
            f"its inputs have the shapes {list(sources)}, but must be [places, n], [others, n] and [others, m]"
        )
    if query[1] % o.heads or value[1] % o.heads:
        raise DoesNotFitError(f"its {o.heads} heads do not divide the channels of {list(sources)}")
    return query[0], value[1]


def _grouped(o: GroupNorm, sources: Sequence[Shape], kernel: Shape) -> Shape:
    if sources[0][-1] % o.groups:
        raise DoesNotFitError(f"its {o.groups} groups do not divide the {sources[0][-1]} channels")
    return sources[0]


def _same(o: Operation, sources: Sequence[Shape], kernel: Shape) -> Shape:
    return sources[0]


def _broadcast(o: Operation, sources: Sequence[Shape], kernel: Shape) -> Shape:
    return broadcast(sources)


EACH = Kind((1, 1), "each", _same)
TOGETHER = Kind((1, 2), "together", _broadcast, operand=Operand())
PICKED = Kind((1, 2), "together", _broadcast, operand=Operand(own_scale=False))

KINDS: dict[type, Kind] = {
    Input: Kind((0, 0), "pictures", lambda o, sources, kernel: o.shape),
    Conv2D: Kind((1, 1), "new", _convolved, Kernel("kernel", 4, 2), may_have=("bias",)),
    DepthwiseConv2D: Kind(
        (1, 1), "multiplied", _convolved, Kernel("depthwise_kernel", 4, 2, by_itself=True), may_have=("bias",)
    ),
    Conv2DTranspose: Kind((1, 1), "new", _spread, Kernel("kernel", 4, 2), may_have=("bias",)),
    Rescale: Kind((1, 1), "each", _same, vectors=("factor", "offset")),
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
    PRelu: Kind((1, 1), "together", _broadcast, operand=Operand("alpha", always=True, trained=True)),
    HardSwish: EACH,
    HardSigmoid: EACH,
    ThresholdedRelu: EACH,
    Elu: EACH,
    Selu: EACH,
    Exp: EACH,
    Softplus: EACH,
    Softsign: EACH,
    Mish: EACH,
    Gelu: EACH,
    LayerNorm: Kind((1, 1), "mixed", _same, vectors=("gamma", "beta")),
    GroupNorm: Kind((1, 1), "mixed", _grouped, vectors=("gamma", "beta")),
    UnitNorm: Kind((1, 1), "mixed", _same),
    Attention: Kind((3, 3), "mixed", _attended),
    Add: TOGETHER,
    Multiply: TOGETHER,
    Subtract: TOGETHER,
    Maximum: PICKED,
    Minimum: PICKED,
    Concat: Kind((2, None), "joined", _joined),
    Pad: Kind((1, 1), "each", _padded),
    Crop: Kind((1, 1), "part", _cropped),
    Permute: Kind((1, 1), "permuted", _permuted),
    UpSample: Kind((1, 1), "each", _enlarged),
    Resize: Kind((1, 1), "each", _resized),
    AveragePool: Kind((1, 1), "each", _pooled),
    MaxPool: Kind((1, 1), "each", _pooled),
    GlobalAveragePool: Kind((1, 1), "each", _global),
    GlobalMaxPool: Kind((1, 1), "each", _global),
    Reshape: Kind((1, 1), "reshaped", _reshaped),
    Dropout: EACH,
    PictureDropout: EACH,
    SpatialDropout: EACH,
    Identity: EACH,
    Softmax: Kind((1, 1), "mixed", _same),
}  # fmt: skip

CONSTANTS = ("factor", "offset")
"""Roles of the vectors that training does not change; they are no parameters of the network."""
VECTORS = ("bias", "gamma", "beta", "moving_mean", "moving_variance", *CONSTANTS)
"""Roles of the weights with one value per output channel."""

QUANTISED_KERNEL: dict[type, str] = {kind: about.kernel.role for kind, about in KINDS.items() if about.kernel}
"""Operations whose kernels are quantised, with the role of that weight."""
