"""A network executed in NumPy float64, written from the definitions of the operations, as a second opinion."""

import numpy as np

from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    Add,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Elu,
    GlobalAveragePool,
    GlobalMaxPool,
    Identity,
    Input,
    LeakyRelu,
    MaxPool,
    Multiply,
    Pad,
    Relu,
    Relu6,
    Reshape,
    Sigmoid,
    Softmax,
    UpSample,
)


def execute(graph: Graph, pictures: np.ndarray, fake_quant: bool = False) -> dict[str, np.ndarray]:
    """Return every tensor, float64, by node; with `fake_quant` tensors are rounded to their scales' grids."""
    tensors: dict[str, np.ndarray] = {}
    for node in graph.nodes:
        x = tensors[node.inputs[0]] if node.inputs else pictures.astype(np.float64)
        value = _compute(graph, node, x, tensors)
        scale = graph.activation_scales.get(node.name)
        if fake_quant and scale is not None:
            largest = 2 ** (scale.bits - 1) - 1
            steps = np.rint(value / scale.scale) + scale.zero_point
            value = (np.clip(steps, -largest - 1, largest) - scale.zero_point) * scale.scale
        tensors[node.name] = value
    return tensors


def _compute(graph: Graph, node: Node, x: np.ndarray, tensors: dict[str, np.ndarray]) -> np.ndarray:
    operation = node.operation

    def weight(role: str) -> np.ndarray:
        name = node.weight(role)
        values = graph.weights[name].astype(np.float64)
        known = graph.weight_scales.get(name)
        if known is None:
            return values
        scale = known.scale.astype(np.float64)
        return values * (scale.reshape(-1, 1) if role == "depthwise_kernel" and scale.size > 1 else scale)

    bias = weight("bias") if node.weight("bias") in graph.weights else 0.0
    match operation:
        case Input() | Dropout() | Identity():
            return x
        case Conv2D():
            return _activated(_slide(x, weight("kernel"), operation, depthwise=False) + bias, operation.activation)
        case DepthwiseConv2D():
            kernel = weight("depthwise_kernel")
            return _activated(_slide(x, kernel, operation, depthwise=True) + bias, operation.activation)
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
            return _activated(x + tensors[node.inputs[1]], operation.activation)
        case Multiply():
            return x * tensors[node.inputs[1]]
        case Concat():
            return np.concatenate([tensors[name] for name in node.inputs], axis=-1)
        case Reshape():
            return x.reshape(len(x), *operation.shape)
        case Pad():
            return np.pad(x, [(0, 0), operation.rows, operation.columns, (0, 0)])
        case GlobalAveragePool():
            return x.mean(axis=(1, 2), keepdims=operation.keepdims)
        case GlobalMaxPool():
            return x.max(axis=(1, 2), keepdims=operation.keepdims)
        case MaxPool(window=(2, 2), strides=(2, 2), padding="valid"):
            return np.max([x[:, r::2, c::2] for r in (0, 1) for c in (0, 1)], axis=0)
        case UpSample(factors=(rows, columns), bilinear=False):
            return x.repeat(rows, axis=1).repeat(columns, axis=2)
        case Elu():
            return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
        case LeakyRelu():
            return np.where(x > 0, x, operation.alpha * x)
        case Sigmoid():
            return 1 / (1 + np.exp(-x))
        case Softmax():
            powers = np.exp(x - x.max(axis=-1, keepdims=True))
            return powers / powers.sum(axis=-1, keepdims=True)
    raise NotImplementedError(type(operation))


def _activated(x: np.ndarray, activation: str | None) -> np.ndarray:
    return x if activation is None else np.clip(x, 0, 6 if activation == "relu6" else None)


def _slide(x: np.ndarray, kernel: np.ndarray, operation: Conv2D | DepthwiseConv2D, depthwise: bool) -> np.ndarray:
    height, width = kernel.shape[:2]
    if operation.padding == "same":
        pads = []
        for size, window, stride in zip(x.shape[1:3], kernel.shape[:2], operation.strides, strict=True):
            total = max((-(-size // stride) - 1) * stride + window - size, 0)
            pads.append((total // 2, total - total // 2))
        x = np.pad(x, [(0, 0), *pads, (0, 0)])
    rows = range(0, x.shape[1] - height + 1, operation.strides[0])
    columns = range(0, x.shape[2] - width + 1, operation.strides[1])
    out = [[x[:, r : r + height, c : c + width] for c in columns] for r in rows]
    patches = np.stack([np.stack(line, axis=1) for line in out], axis=1)  # [n, rows, columns, h, w, in]
    if depthwise:
        return np.einsum("nrchwi,hwim->nrcim", patches, kernel).reshape(*patches.shape[:3], -1)
    return np.einsum("nrchwi,hwio->nrco", patches, kernel)
