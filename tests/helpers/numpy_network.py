"""Executes a graph in NumPy float64, straight from the definitions of its operations, as an independent reference."""

import numpy as np
from scipy.stats import norm

from qatflow.graph.graph import Graph, Node
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
    Pad,
    Padding,
    Pair,
    Permute,
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
    Subtract,
    Tanh,
    ThresholdedRelu,
    UnitNorm,
    UpSample,
)


def execute(graph: Graph, pictures: np.ndarray, fake_quant: bool = False) -> dict[str, np.ndarray]:
    """Return every tensor, float64, by node.

    Args:
        graph: float or quantised; integer kernels are used as real values.
        pictures: [n, height, width, channels].
        fake_quant: whether tensors with a scale are rounded to its grid.
    """
    tensors: dict[str, np.ndarray] = {}
    for node in graph.nodes:
        x = tensors[node.inputs[0]] if node.inputs else pictures.astype(np.float64)
        value = _compute(graph, node, x, tensors)
        scale = graph.activation_scales.get(node.name)
        if fake_quant and scale is None and isinstance(node.operation, AveragePool | UpSample | Resize):
            value = _on_grid_of_its_input(graph, node, value)
        if fake_quant and scale is not None:
            assert scale.scale is not None, f"{node.name} has a scale for each picture"
            end = 2 ** (scale.bits - 1)
            steps = np.rint(value / scale.scale) + scale.zero_point
            value = (np.clip(steps, -end, end - 1) - scale.zero_point) * scale.scale
        tensors[node.name] = value
    return tensors


def compute(graph: Graph, node: Node, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """Return the tensor of a node, float64, of the tensors that it reads."""
    return _compute(graph, node, tensors[node.inputs[0]], tensors)


def _on_grid_of_its_input(graph: Graph, node: Node, value: np.ndarray) -> np.ndarray:
    """What the kernels of average pools (ties away from the integer 0) and bilinear resizing (ties up) write."""
    grid = graph.activation_scale(node.name)
    if grid is None or grid.scale is None:
        return value
    steps = np.round(value / grid.scale + grid.zero_point, 6)  # float64 misses a tie by less
    if isinstance(node.operation, AveragePool):
        steps = np.sign(steps) * np.floor(np.abs(steps) + 0.5)
    else:
        steps = np.floor(steps + 0.5)
    return (steps - grid.zero_point) * grid.scale


def _compute(graph: Graph, node: Node, x: np.ndarray, tensors: dict[str, np.ndarray]) -> np.ndarray:
    operation = node.operation

    def weight(role: str) -> np.ndarray:
        name = node.weight(role)
        values = graph.weights[name].astype(np.float64)
        known = graph.weight_scales.get(name)
        if known is None:
            return values
        scale = known.scale.astype(np.float64)
        # the output channels of a depthwise kernel are its last two axes
        by_channel = role == "depthwise_kernel" and scale.size > 1
        return values * (scale.reshape(values.shape[-2:]) if by_channel else scale)

    def second() -> np.ndarray:
        """The second tensor, or the weight in its place."""
        return tensors[node.inputs[1]] if len(node.inputs) > 1 else weight("constant")

    bias = weight("bias") if node.weight("bias") in graph.weights else 0.0
    match operation:
        case Input() | Dropout() | Identity():
            return x
        case Conv2D():
            kernel = weight("kernel")
            patches = _patches(x, kernel.shape[:2], operation.strides, operation.padding, operation.dilations)
            parts = zip(*(np.split(part, operation.groups, axis=-1) for part in (patches, kernel)), strict=True)
            products = [np.einsum("nrchwi,hwio->nrco", *part) for part in parts]
            return _activated(np.concatenate(products, axis=-1) + bias, operation.activation)
        case DepthwiseConv2D():
            kernel = weight("depthwise_kernel")
            patches = _patches(x, kernel.shape[:2], operation.strides, operation.padding, operation.dilations)
            products = np.einsum("nrchwi,hwim->nrcim", patches, kernel)
            return _activated(products.reshape(*products.shape[:3], -1) + bias, operation.activation)
        case Conv2DTranspose():
            return _activated(
                _spread(x, weight("kernel"), operation.strides, operation.padding) + bias, operation.activation
            )
        case Rescale():
            return x * weight("factor") + weight("offset")
        case Dense():
            return _activated(x @ weight("kernel") + bias, operation.activation)
        case BatchNorm():
            spread = np.sqrt(weight("moving_variance") + operation.epsilon)
            return (x - weight("moving_mean")) / spread * weight("gamma") + weight("beta")
        case Relu():
            return _activated(x, "relu")
        case Relu6():
            return _activated(x, "relu6")
        case Add():
            return _activated(x + second(), operation.activation)
        case Subtract():
            first, other = (second(), x) if operation.constant_first else (x, second())
            return _activated(first - other, operation.activation)
        case Multiply():
            return x * second()
        case Maximum():
            return np.maximum(x, second())
        case Minimum():
            return np.minimum(x, second())
        case Concat():
            return np.concatenate([tensors[name] for name in node.inputs], axis=operation.axis)
        case Reshape():
            return x.reshape(len(x), *operation.shape)
        case Pad():
            around = -np.inf if operation.lowest else 0
            return np.pad(x, [(0, 0), operation.rows, operation.columns, (0, 0)], constant_values=around)
        case Crop(rows=(above, below), columns=(left, right), channels=(first, last)):
            return x[:, above : x.shape[1] - below, left : x.shape[2] - right, first : x.shape[3] - last]
        case Permute():
            return np.moveaxis(x, [axis + 1 for axis in operation.axes], list(range(1, x.ndim)))
        case GlobalAveragePool():
            return x.mean(axis=(1, 2), keepdims=operation.keepdims)
        case GlobalMaxPool():
            return x.max(axis=(1, 2), keepdims=operation.keepdims)
        case MaxPool() | AveragePool():
            # padding is NaN here, which neither pool counts
            patches = _patches(x, operation.window, operation.strides, operation.padding, outside=np.nan)
            return (np.nanmax if isinstance(operation, MaxPool) else np.nanmean)(patches, axis=(3, 4))
        case UpSample(factors=(rows, columns), bilinear=False):
            return x.repeat(rows, axis=1).repeat(columns, axis=2)
        case UpSample(factors=(rows, columns), bilinear=True):
            height, width = x.shape[1] * rows, x.shape[2] * columns
            return np.einsum("ah,nhwc,bw->nabc", _between(x.shape[1], height), x, _between(x.shape[2], width))
        case Resize(height=height, width=width, bilinear=True):
            return np.einsum("ah,nhwc,bw->nabc", _between(x.shape[1], height), x, _between(x.shape[2], width))
        case Resize(height=height, width=width, bilinear=False):
            return x[:, _nearest(x.shape[1], height)][:, :, _nearest(x.shape[2], width)]
        case Elu():
            return np.where(x > 0, x, operation.alpha * np.expm1(np.minimum(x, 0)))
        case Gelu():
            inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
            return x * (0.5 * (1 + np.tanh(inner)) if operation.approximate else norm.cdf(x))
        case LayerNorm():
            return _standard(x, -1, operation.epsilon) * weight("gamma") + weight("beta")
        case GroupNorm():
            apart = x.reshape(len(x), -1, operation.groups, x.shape[-1] // operation.groups)
            return _standard(apart, (1, 3), operation.epsilon).reshape(x.shape) * weight("gamma") + weight("beta")
        case UnitNorm():
            return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-6)
        case Attention():
            query, key, value = (
                np.stack(np.split(tensors[name], operation.heads, axis=-1), axis=1) for name in node.inputs
            )
            powers = np.exp(operation.scale * query @ key.swapaxes(-1, -2))
            heads = powers / powers.sum(axis=-1, keepdims=True) @ value
            return np.concatenate(list(heads.swapaxes(0, 1)), axis=-1)
        case PRelu():
            return np.where(x > 0, x, weight("alpha") * x)
        case HardSwish():
            return x * np.clip(x + 3, 0, 6) / 6
        case HardSigmoid():
            return np.clip(operation.slope * x + operation.offset, 0, 1)
        case ThresholdedRelu():
            return np.where(x > operation.threshold, x, 0)
        case Selu():
            return 1.05070098 * np.where(x > 0, x, 1.67326324 * np.expm1(np.minimum(x, 0)))
        case Exp():
            return np.exp(x)
        case Softplus():
            return np.logaddexp(0, x)
        case Softsign():
            return x / (1 + np.abs(x))
        case Mish():
            return x * np.tanh(np.logaddexp(0, x))
        case LeakyRelu():
            return np.where(x > 0, x, operation.alpha * x)
        case Sigmoid():
            return 1 / (1 + np.exp(-x))
        case Tanh():
            return np.tanh(x)
        case Softmax():
            powers = np.exp(x - x.max(axis=-1, keepdims=True))
            return powers / powers.sum(axis=-1, keepdims=True)
    raise NotImplementedError(operation)


def _standard(x: np.ndarray, axes: int | tuple[int, ...], epsilon: float) -> np.ndarray:
    """Return x with mean 0 and variance 1 over some axes."""
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def _activated(x: np.ndarray, activation: str | None) -> np.ndarray:
    return x if activation is None else np.clip(x, 0, 6 if activation == "relu6" else None)


def _spread(x: np.ndarray, kernel: np.ndarray, strides: Pair, padding: Padding) -> np.ndarray:
    """A transposed convolution by its definition: every pixel adds the kernel, times itself, where it belongs."""
    (rows, columns), window = strides, kernel.shape[:2]
    whole = [
        (size - 1) * stride + max(part, stride)
        for size, stride, part in zip(x.shape[1:3], strides, window, strict=True)
    ]
    result = np.zeros((len(x), *whole, kernel.shape[3]))
    for r, c in np.ndindex(*x.shape[1:3]):
        part = np.einsum("ni,hwio->nhwo", x[:, r, c], kernel)
        result[:, r * rows : r * rows + window[0], c * columns : c * columns + window[1]] += part
    if padding == "valid":
        return result
    # what a convolution with `same` padding and these strides has around its input is cut off
    cut = [max(part - stride, 0) // 2 for part, stride in zip(window, strides, strict=True)]
    return result[:, cut[0] : cut[0] + x.shape[1] * rows, cut[1] : cut[1] + x.shape[2] * columns]


def _nearest(size: int, wanted: int) -> np.ndarray:
    """The pixel in which the centre of each wanted one lies; in float32, as TensorFlow computes it."""
    centres = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * np.float32(size / wanted)
    return np.minimum(np.floor(centres).astype(int), size - 1)


def _between(size: int, wanted: int) -> np.ndarray:
    """The weights of bilinear resizing between pixel centres along one side, [wanted, size]."""
    centres = np.clip((np.arange(wanted) + 0.5) * size / wanted - 0.5, 0, size - 1)
    return np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(size)))


def _patches(
    x: np.ndarray,
    window: tuple[int, ...],
    strides: Pair,
    padding: Padding,
    dilations: Pair = (1, 1),
    outside: float = 0.0,
) -> np.ndarray:
    """Return what each position of a window sees: [n, rows, columns, window height, window width, channels]."""
    height, width = ((size - 1) * dilation + 1 for size, dilation in zip(window, dilations, strict=True))
    if padding == "same":
        pads = []
        for size, covered, stride in zip(x.shape[1:3], (height, width), strides, strict=True):
            total = max((-(-size // stride) - 1) * stride + covered - size, 0)
            pads.append((total // 2, total - total // 2))
        x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=outside)
    rows = range(0, x.shape[1] - height + 1, strides[0])
    columns = range(0, x.shape[2] - width + 1, strides[1])
    seen = [[x[:, r : r + height : dilations[0], c : c + width : dilations[1]] for c in columns] for r in rows]
    return np.stack([np.stack(line, axis=1) for line in seen], axis=1)
