"""ONNX' convolutions, matrix products and batch-norm."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qatflow.graph.graph import WeightScale, along_channels
from qatflow.graph.kinds import Shape, reach, same_padding
from qatflow.graph.operations import (
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    Operation,
    Pad,
    Padding,
)  # fmt: skip
from qatflow.models.onnx.folded import OnnxNode
from qatflow.models.onnx.translation import StoredKernel, Translate, Translation, UntranslatableError, Value

LEAST_INTEGER = -128
"""Some of the device's kernels add two products of 8 bits in 16, which −128 · −128 twice would overflow.

So an output channel may have it once. PyTorch's observers make one where a channel's largest weight is below 0.
"""


def padded(
    to: Translation, name: str, value: Value, pads: Sequence[int], windows: Sequence[int], strides: Sequence[int]
) -> tuple[str, Padding]:
    """Return the node that a sliding window reads, and its padding; zeros that are no `same` padding get a node.

    Args:
        to: the translation.
        name: of the window's node.
        value: a picture in our order.
        pads: zeros above, left, below and right, as ONNX lists them.
        windows: rows and columns that a window covers.
        strides: of the window.
    """
    rows, columns = (pads[0], pads[2]), (pads[1], pads[3])
    if min(pads) < 0:
        raise UntranslatableError(f"pads {list(pads)}; only zeros can be added")
    if not any(pads):
        return value.node, "valid"
    same = [same_padding(*axis) for axis in zip(value.sizes[:2], windows, strides, strict=True)]
    if same == [rows, columns]:
        return value.node, "same"
    return to.add(f"{name}/pad", Pad(rows, columns), (value.node,)), "valid"


def pads_of(node: OnnxNode, sizes: Shape, windows: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Return the zeros above, left, below and right of pictures with `sizes` rows and columns.

    ONNX' SAME_UPPER is TensorFlow's `same`; SAME_LOWER has an odd zero above and left instead.
    """
    kind = node.attributes.get("auto_pad", "NOTSET")
    if kind == "NOTSET":
        return [int(n) for n in node.attributes.get("pads", (0, 0, 0, 0))]
    if kind == "VALID":
        return [0, 0, 0, 0]
    pairs = [same_padding(*axis) for axis in zip(sizes[:2], windows, strides, strict=True)]
    if kind == "SAME_LOWER":
        pairs = [(after, before) for before, after in pairs]
    elif kind != "SAME_UPPER":
        raise UntranslatableError(f"auto_pad {kind} is not known")
    return [pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]]


def pair(node: OnnxNode, key: str) -> tuple[int, int]:
    """Return rows and columns of an attribute; ones if it is left out."""
    values = node.attributes.get(key, (1, 1))
    if len(values) != 2:
        raise UntranslatableError(f"works along {len(values)} axes; only pictures are known")
    return int(values[0]), int(values[1])


def _conv(to: Translation, node: OnnxNode) -> Value:
    value = to.picture(node.inputs[0])
    kernel = stored_kernel(to, node, 1, 0)
    if kernel.values.ndim != 4:
        raise UntranslatableError(f"has a kernel of the shape {list(kernel.values.shape)}; only pictures are known")
    out, reads, height, width = kernel.values.shape
    groups, channels = int(node.attributes.get("group", 1)), value.sizes[2]
    if reads * groups != channels or out % groups:
        raise UntranslatableError(
            f"has {groups} groups and a kernel of the shape {list(kernel.values.shape)} for {channels} channels"
        )
    strides, dilations = pair(node, "strides"), pair(node, "dilations")
    windows = [reach(*axis) for axis in zip((height, width), dilations, strict=True)]
    pads = pads_of(node, value.sizes, windows, strides)
    source, padding = padded(to, node.name, value, pads, windows, strides)
    operation: Operation
    if groups == 1:
        operation = Conv2D(strides, padding, dilations)
        array = kernel.values.transpose(2, 3, 1, 0)
    elif reads == 1:
        operation = DepthwiseConv2D(strides, padding, dilations)
        array = kernel.values.reshape(groups, out // groups, height, width).transpose(2, 3, 0, 1)
    else:
        operation = Conv2D(strides, padding, dilations, groups=groups)
        array = kernel.values.transpose(2, 3, 1, 0)
    sizes = to.model.shapes[node.outputs[0]]
    name = with_kernel(to, node.name, operation, source, replace(kernel, values=array))
    give_bias(to, name, node, 2)
    return Value(name, sizes, value.axes)


def _conv_transpose(to: Translation, node: OnnxNode) -> Value:
    value = to.picture(node.inputs[0])
    kernel = stored_kernel(to, node, 1, 1)
    strides = pair(node, "strides")
    if kernel.values.ndim != 4 or node.attributes.get("group", 1) != 1 or pair(node, "dilations") != (1, 1):
        raise UntranslatableError("only transposed convolutions of pictures without groups and dilations are known")
    shape = to.model.shapes[node.outputs[0]]
    name = with_kernel(
        to, node.name, Conv2DTranspose(strides, "valid"), value.node,
        replace(kernel, values=kernel.values.transpose(2, 3, 0, 1)),
    )  # fmt: skip
    give_bias(to, name, node, 2)
    whole = [
        (size - 1) * stride + window
        for size, stride, window in zip(value.sizes[:2], strides, kernel.values.shape[2:], strict=True)
    ]
    # `valid` has all that any pixel reaches; ONNX' pads cut it off
    before = pads_of(node, value.sizes, kernel.values.shape[2:], strides)[:2]
    after = [full - first - size for full, first, size in zip(whole, before, shape[2:], strict=True)]
    if min(*before, *after) < 0 or node.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise UntranslatableError("its output is larger than what any pixel reaches, or auto_pad is set")
    if any((*before, *after)):
        name = to.add(f"{node.name}/crop", Crop((before[0], after[0]), (before[1], after[1])), (name,))
    return Value(name, shape, value.axes)


def _gemm(to: Translation, node: OnnxNode) -> Value:
    value = to.value(node.inputs[0])
    if node.attributes.get("transA", 0) or len(value.shape) != 2:
        raise UntranslatableError("its first matrix must be the features of the picture, not transposed")
    transposed = bool(node.attributes.get("transB", 0))
    kernel = stored_kernel(to, node, 1, 0 if transposed else 1)
    array = kernel.values.T if transposed else kernel.values
    name = _dense(to, node, value, replace(kernel, values=array), float(node.attributes.get("alpha", 1.0)))
    give_bias(to, name, node, 2, float(node.attributes.get("beta", 1.0)))
    return Value(name, to.model.shapes[node.outputs[0]], (1,))


def _mat_mul(to: Translation, node: OnnxNode) -> Value:
    value = to.value(node.inputs[0])
    kernel = stored_kernel(to, node, 1, 1)
    if kernel.values.ndim != 2 or value.axes[-1] != len(value.shape) - 1:
        raise UntranslatableError("its second matrix must be [in, out], and its first have the features last")
    return Value(_dense(to, node, value, kernel, 1.0), to.model.shapes[node.outputs[0]], value.axes)


def _dense(to: Translation, node: OnnxNode, value: Value, kernel: StoredKernel, alpha: float) -> str:
    if alpha != 1.0:
        if kernel.scale is not None:
            raise UntranslatableError(f"has alpha {alpha:g}, and an integer kernel")
        kernel = replace(kernel, values=kernel.values * np.float32(alpha))
    if value.order is not None:
        kernel = replace(kernel, values=kernel.values[value.order])
    return with_kernel(to, node.name, Dense(), value.node, kernel)


def with_kernel(to: Translation, name: str, operation: Operation, source: str, kernel: StoredKernel) -> str:
    """Add a node with its kernel, in our layout; return its name."""
    name = to.add(name, operation, (source,))
    role = to.node(name).kernel
    assert role is not None
    to.weights[role] = np.ascontiguousarray(kernel.values)
    if kernel.scale is not None:
        to.weight_scales[role] = WeightScale(8, kernel.scale)
    if kernel.reason:
        to.float_reasons[name] = kernel.reason
    return name


def stored_kernel(to: Translation, node: OnnxNode, place: int, axis: int) -> StoredKernel:
    """Return the kernel that a node reads.

    Args:
        to: the translation.
        node: the node.
        place: of the kernel among its inputs.
        axis: of its output channels.

    Raises:
        UntranslatableError: it is computed, or its integers have no int8 form.
    """
    name = node.inputs[place]
    known = to.quantised.get(name)
    if known is None:
        values = to.constant(node, place, "kernel")
        if values is None or values.dtype != np.float32:
            raise UntranslatableError(f"its kernel is {'missing' if values is None else values.dtype}, not float32")
        return StoredKernel(values, None)
    if known.values.dtype not in (np.int8, np.uint8):
        raise UntranslatableError(f"its kernel is {known.values.dtype}; the kernels take int8")
    shift = 128 if known.values.dtype == np.uint8 else 0
    if np.any(known.zero_point != shift):
        raise UntranslatableError(
            f"its kernel is quantised asymmetrically (zero point {int(known.zero_point.ravel()[0])}); the device's "
            "kernels take weights with zero point 0: quantise the weights symmetrically"
        )
    if known.axis not in (None, axis):
        raise UntranslatableError(
            f"its kernel has a scale for each of axis {known.axis}; the device's kernels have one per output channel"
        )
    integers = (known.values.astype(np.int16) - shift).astype(np.int8)
    others = tuple(other for other in range(integers.ndim) if other != axis)
    if np.sum(integers == LEAST_INTEGER, axis=others).max(initial=0) > 1:
        reason = (
            "its kernel has the integer −128 more than once in an output channel, which overflows in some of the "
            "device's kernels; quantise the weights in −127 to 127"
        )
        return StoredKernel(known.real().astype(np.float32), None, reason)
    return StoredKernel(integers, known.scale)


def give_bias(to: Translation, name: str, node: OnnxNode, place: int, factor: float = 1.0) -> None:
    """Give a node with a kernel the constant bias that an ONNX node reads, if it does."""
    values = to.constant(node, place, "bias")
    if values is None:
        return
    integers = to.quantised.get(node.inputs[place])
    if integers is not None and (factor != 1.0 or integers.values.dtype != np.int32):
        raise UntranslatableError("its bias must be float32, or int32 with beta 1")
    add_bias(to, name, np.asarray(values, np.float64) * factor)
    if integers is not None:
        to.biases[f"{name}/bias"] = integers


def add_bias(to: Translation, name: str, values: np.ndarray) -> None:
    """Give a node with a kernel a bias: real values, one per output channel or one for all."""
    node = to.node(name)
    assert node.layout is not None and node.kernel is not None
    channels = node.layout.channels(to.weights[node.kernel].shape)
    flat = values.reshape(-1)
    if flat.size not in (1, channels) or max(values.shape, default=1) != flat.size:
        raise UntranslatableError(f"adds a bias of the shape {list(values.shape)} to {channels} channels")
    whole = np.broadcast_to(flat, channels)
    # an int32 bias with a quantised kernel stays exact in float64, until it is written as int32 again
    to.weights[node.weight("bias")] = whole.astype(np.float64 if node.kernel in to.weight_scales else np.float32)


def folded_into_kernel(to: Translation, name: str, factor: np.ndarray, offset: np.ndarray) -> bool:
    """Fold x · factor + offset into the integer kernel that computes an ONNX tensor; return whether that was possible.

    The integers stay, but for their sign where a factor is negative; the scale is multiplied, and the bias follows.
    Training for int8 elsewhere divides by batch-norm's factor, and applies batch-norm behind the convolution.

    Args:
        to: the translation.
        name: of the ONNX tensor.
        factor: real values, one per output channel or one for all.
        offset: the same.
    """
    node = to.node(to.values[name].node)
    kernel = node.kernel
    if kernel is None or kernel not in to.weight_scales or node.name in to.activation_scales or not to.alone(node.name):
        return False
    assert node.layout is not None
    integers, known = to.weights[kernel], to.weight_scales[kernel]
    channels = node.layout.channels(integers.shape)
    factor = np.broadcast_to(factor.ravel().astype(np.float64), channels)
    if np.any(factor == 0) or (np.any(factor < 0) and np.any(integers == LEAST_INTEGER)):
        return False  # the other sign of −128 is no int8
    bias = to.weights.get(node.weight("bias"), np.zeros(channels)).astype(np.float64)
    to.weights[node.weight("bias")] = bias * factor + offset.ravel()
    to.weights[kernel] = integers * along_channels(np.sign(factor).astype(np.int8), integers)
    to.weight_scales[kernel] = WeightScale(known.bits, known.scale * np.abs(factor))
    to.biases.pop(node.weight("bias"), None)
    to.forget(node.name)
    return True


def _batch_norm(to: Translation, node: OnnxNode) -> Value:
    if node.attributes.get("training_mode", 0):
        raise UntranslatableError("is in training mode: export the model in evaluation mode (model.eval())")
    value = to.value(node.inputs[0])
    if len(value.shape) == 4:
        value = to.laid_out(value, (2, 3, 1))
    elif len(value.shape) != 2:
        raise UntranslatableError(f"reads a tensor of the shape {list(value.shape)}; pictures and vectors are known")
    roles = ("gamma", "beta", "moving_mean", "moving_variance")
    weights = {}
    for place, role in enumerate(roles, 1):
        values = to.constant(node, place, role)
        assert values is not None
        weights[role] = values if value.order is None else values[value.order]
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    gamma, beta, mean, variance = (np.asarray(weights[role], np.float64) for role in roles)
    factor = gamma / np.sqrt(variance + epsilon)
    if folded_into_kernel(to, node.inputs[0], factor, beta - mean * factor):
        return value
    operation = BatchNorm(epsilon, float(to.momentum or node.attributes.get("momentum", 0.9)))
    return replace(value, node=to.add(node.name, operation, (value.node,), weights))


TRANSLATIONS: dict[str, Translate] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _mat_mul,
    "BatchNormalization": _batch_norm,
}
