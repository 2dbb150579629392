"""The operations of a graph: one frozen dataclass each, with the attributes that determine its result.

Tensors are batch × height × width × channels (NHWC), float32 unless quantised. Kernels have Keras' layouts:
conv [height, width, in / groups, out], depthwise [height, width, in, multiplier], dense [in, out]; that of a transposed
conv is [height, width, in, out] like any other, where Keras' is [height, width, out, in].
"""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args


@dataclass(frozen=True)
class Between:
    """Bounds of a number, both included."""

    low: float
    high: float


LARGEST = 2**31 - 1
"""TensorFlow Lite stores sizes as int32."""
FLOAT_MAX = (2 - 2.0**-23) * 2.0**127
"""The largest float32. Without NumPy, which the environment that plans the jobs need not have."""

Positive = Annotated[int, Between(1, LARGEST)]
Pixels = Annotated[int, Between(1, 2**16)]
"""Size of a window, a stride or a factor: no picture has more pixels on a side."""
Zeros = Annotated[int, Between(0, 2**16)]
FromLast = Annotated[int, Between(-4, -1)]
Real = Annotated[float, Between(-FLOAT_MAX, FLOAT_MAX)]
Fraction = Annotated[float, Between(0, 1)]
Slope = Annotated[float, Between(2.0**-10, 2.0**10)]
"""Factor by which an int8 kernel changes the scale of a tensor, without changing its integers."""

Padding = Literal["same", "valid"]
FusedActivation = Literal["relu", "relu6"]
Pair = tuple[Pixels, Pixels]


@dataclass(frozen=True)
class Input:
    """The pictures. `shape` is that of one picture, without the batch."""

    shape: tuple[Positive, ...]


@dataclass(frozen=True)
class Conv2D:
    """2-D convolution, with the bias if the node has one, and with a fused activation if there is one.

    With `groups`, the input channels are that many parts of equal size, and so are the output channels; each part of
    the output reads its part of the input alone.
    """

    strides: Pair
    padding: Padding
    dilations: Pair = (1, 1)
    activation: FusedActivation | None = None
    groups: Positive = 1


@dataclass(frozen=True)
class DepthwiseConv2D:
    """Convolution of each channel separately."""

    strides: Pair
    padding: Padding
    dilations: Pair = (1, 1)
    activation: FusedActivation | None = None


@dataclass(frozen=True)
class Conv2DTranspose:
    """Transposed 2-D convolution: each pixel times the kernel, added up where its place times the strides puts it.

    `same` gives `strides` times as many rows and columns, `valid` all that any pixel reaches.
    """

    strides: Pair
    padding: Padding
    activation: FusedActivation | None = None


@dataclass(frozen=True)
class Rescale:
    """x · factor + offset per channel, with constants that training does not change.

    The pictures themselves are rescaled in float, before they are quantised, so that nothing is rounded twice. In int8
    the operation is a 1 × 1 depthwise convolution with the integers ±127, whose scales are exact.
    """


@dataclass(frozen=True)
class Dense:
    """Matrix product with the last axis."""

    activation: FusedActivation | None = None


@dataclass(frozen=True)
class BatchNorm:
    """(x − mean) · gamma / sqrt(variance + epsilon) + beta, per channel. `momentum` is the decay in training."""

    epsilon: Fraction
    momentum: Fraction


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class Relu6:
    """min(max(x, 0), 6)."""


@dataclass(frozen=True)
class Add:
    """Sum of two tensors, broadcast as in NumPy and Keras (`kinds.broadcast`).

    Add, Multiply, Subtract, Maximum and Minimum read two tensors, or one tensor and the constant `<node>/constant`.
    """

    activation: FusedActivation | None = None


@dataclass(frozen=True)
class Multiply:
    """Product of two tensors, or of a tensor and a constant, broadcast like `Add`."""


@dataclass(frozen=True)
class Subtract:
    """First tensor − second tensor, broadcast like `Add`; tensor − constant, or with `constant_first` the reverse."""

    constant_first: bool = False
    activation: FusedActivation | None = None


@dataclass(frozen=True)
class Maximum:
    """The larger of two values, broadcast like `Add`."""


@dataclass(frozen=True)
class Minimum:
    """The smaller of two values, broadcast like `Add`."""


@dataclass(frozen=True)
class Concat:
    """Several tensors behind one another along an axis, counted from the last (−1: channels); otherwise equal."""

    axis: FromLast = -1


@dataclass(frozen=True)
class LeakyRelu:
    """x where x ≥ 0, else alpha · x."""

    alpha: Real


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(−x)). The int8 kernels write it in steps of 1/256 from 0."""


@dataclass(frozen=True)
class Tanh:
    """tanh(x). The int8 kernels write it in steps of 1/128 from −1."""


@dataclass(frozen=True)
class PRelu:
    """x where x ≥ 0, else alpha · x, with a trained alpha (`<node>/alpha`) that is broadcast like a second tensor."""


@dataclass(frozen=True)
class HardSwish:
    """x · min(max(x + 3, 0), 6) / 6 (Howard et al. 2019, arXiv:1905.02244, §5.2)."""


@dataclass(frozen=True)
class HardSigmoid:
    """min(max(slope · x + offset, 0), 1). The int8 kernels write it in steps of 1/255 from 0."""

    slope: Slope
    offset: Real


@dataclass(frozen=True)
class ThresholdedRelu:
    """x where x > threshold, else 0. Runs in float only: its jump needs a comparison that the int8 kernels round."""

    threshold: Real


@dataclass(frozen=True)
class Elu:
    """x where x > 0, else alpha · (exp(x) − 1). Runs in float only."""

    alpha: Real = 1.0


@dataclass(frozen=True)
class Selu:
    """1.0507 · x where x > 0, else 1.0507 · 1.6733 · (exp(x) − 1) (Klambauer et al. 2017). Runs in float only."""


@dataclass(frozen=True)
class Exp:
    """exp(x). Runs in float only."""


@dataclass(frozen=True)
class Softplus:
    """log(1 + exp(x)). Runs in float only."""


@dataclass(frozen=True)
class Softsign:
    """x / (1 + |x|). Runs in float only."""


@dataclass(frozen=True)
class Mish:
    """x · tanh(log(1 + exp(x))). Runs in float only."""


@dataclass(frozen=True)
class Gelu:
    """x · Φ(x), with the tanh approximation of Φ if `approximate`. Runs in float only."""

    approximate: bool


@dataclass(frozen=True)
class LayerNorm:
    """(x − mean) · gamma / sqrt(variance + epsilon) + beta, mean and variance over the last axis. Runs in float only.

    Ba et al. 2016, arXiv:1607.06450.
    """

    epsilon: Fraction


@dataclass(frozen=True)
class GroupNorm:
    """`LayerNorm` with mean and variance over all places and one of `groups` runs of channels. Runs in float only.

    Wu and He 2018, arXiv:1803.08494; one group: a layer-norm of the whole tensor, one channel a group: instance-norm.
    """

    groups: Positive
    epsilon: Fraction


@dataclass(frozen=True)
class UnitNorm:
    """x / max(|x|, 10⁻⁶), the length over the last axis. Runs in float only."""


@dataclass(frozen=True)
class Attention:
    """Scaled dot-product attention, softmax(scale · q kᵀ) v, of each head by itself. Runs in float only.

    Vaswani et al. 2017, arXiv:1706.03762, §3.2. The inputs are q [places, heads × d], k [others, heads × d] and
    v [others, heads × e], with the heads behind one another; the output is [places, heads × e].
    """

    heads: Positive
    scale: Real


@dataclass(frozen=True)
class UpSample:
    """`factors` times as many rows and columns: repeated, or with `bilinear` interpolated between pixel centres."""

    factors: Pair
    bilinear: bool


@dataclass(frozen=True)
class Resize:
    """Another height and width: the nearest pixel, or with `bilinear` interpolated, both between pixel centres.

    As `tf.image.resize` without antialiasing.
    """

    height: Pixels
    width: Pixels
    bilinear: bool


@dataclass(frozen=True)
class Crop:
    """Leaves out rows above and below, columns left and right, and the first and the last channels."""

    rows: tuple[Zeros, Zeros]
    columns: tuple[Zeros, Zeros]
    channels: tuple[Zeros, Zeros] = (0, 0)


@dataclass(frozen=True)
class Permute:
    """The axes in another order: axis i of the output is axis `axes[i]` of the input, from 0 without the batch."""

    axes: tuple[Zeros, ...]


@dataclass(frozen=True)
class Pad:
    """Zeros around each picture: rows above and below, columns left and right.

    With `lowest` they are not zeros but below all values, so that a MaxPool behind it never picks them: the lowest
    float32, or the lowest integer of the tensor's grid.
    """

    rows: tuple[Zeros, Zeros]
    columns: tuple[Zeros, Zeros]
    lowest: bool = False


@dataclass(frozen=True)
class AveragePool:
    """Mean over windows; the zeros of `same` padding do not count."""

    window: Pair
    strides: Pair
    padding: Padding


@dataclass(frozen=True)
class MaxPool:
    """Maximum over windows."""

    window: Pair
    strides: Pair
    padding: Padding


@dataclass(frozen=True)
class GlobalAveragePool:
    """Mean over height and width; with `keepdims` both stay as axes of length 1."""

    keepdims: bool


@dataclass(frozen=True)
class GlobalMaxPool:
    """Maximum over height and width; with `keepdims` both stay as axes of length 1."""

    keepdims: bool


@dataclass(frozen=True)
class Reshape:
    """The same values in another shape (without the batch)."""

    shape: tuple[Positive, ...]


@dataclass(frozen=True)
class Dropout:
    """In training, sets the fraction `rate` of the values to zero; otherwise does nothing."""

    rate: Fraction


@dataclass(frozen=True)
class PictureDropout(Dropout):
    """Dropout of all values of a picture at once: stochastic depth (Huang et al. 2016, arXiv:1603.09382)."""


@dataclass(frozen=True)
class SpatialDropout(Dropout):
    """Dropout of all values of a channel of a picture at once (Tompson et al. 2015, arXiv:1411.4280)."""


@dataclass(frozen=True)
class Identity:
    """Does nothing."""


@dataclass(frozen=True)
class Softmax:
    """exp(x) / Σ exp(x) over the last axis."""


Operation = (
    Input
    | Conv2D
    | DepthwiseConv2D
    | Conv2DTranspose
    | Rescale
    | Dense
    | BatchNorm
    | Relu
    | Relu6
    | LeakyRelu
    | Sigmoid
    | Tanh
    | PRelu
    | HardSwish
    | HardSigmoid
    | ThresholdedRelu
    | Elu
    | Selu
    | Exp
    | Softplus
    | Softsign
    | Mish
    | Gelu
    | LayerNorm
    | GroupNorm
    | UnitNorm
    | Attention
    | Add
    | Multiply
    | Subtract
    | Maximum
    | Minimum
    | Concat
    | Pad
    | UpSample
    | Resize
    | Crop
    | Permute
    | AveragePool
    | MaxPool
    | GlobalAveragePool
    | GlobalMaxPool
    | Reshape
    | Dropout
    | PictureDropout
    | SpatialDropout
    | Identity
    | Softmax
)

OPERATIONS: dict[str, type] = {cls.__name__: cls for cls in get_args(Operation)}
