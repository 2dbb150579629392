"""Translates an ONNX classifier, float or quantised by QuantizeLinear and DequantizeLinear, into a graph."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph, Node, WeightScale
from qatflow.graph.operations import Input
from qatflow.graph.shapes import shapes
from qatflow.graph.written_out import left_over
from qatflow.models.onnx import attention, elementwise, kernels, normalisation, pooling, quantised
from qatflow.models.onnx import shapes as moving
from qatflow.models.onnx.file import read
from qatflow.models.onnx.folded import Folded, OnnxNode, folded
from qatflow.models.onnx.translation import (
    CHANNELS_LAST,
    PICTURE,
    ConstantReadError,
    Integers,
    Translate,
    Translation,
    UnknownValueError,
    UntranslatableError,
    Value,
)
from qatflow.models.patterns import recognised
from qatflow.models.standalone_batch_norm import carried

TRANSLATIONS: dict[str, Translate] = {
    **kernels.TRANSLATIONS,
    **elementwise.TRANSLATIONS,
    **moving.TRANSLATIONS,
    **pooling.TRANSLATIONS,
    **normalisation.TRANSLATIONS,
    **quantised.TRANSLATIONS,
}
"""All known operators, from the tables of their families."""

HINTS = {
    "QLinearConv": "is quantised in the form QOperator: quantise the model with quant_format QuantFormat.QDQ",
    "QLinearMatMul": "is quantised in the form QOperator: quantise the model with quant_format QuantFormat.QDQ",
    "ConvInteger": "is quantised dynamically; the scales must be fixed: use quantize_static",
    "MatMulInteger": "is quantised dynamically; the scales must be fixed: use quantize_static",
    "DynamicQuantizeLinear": "is quantised dynamically; the scales must be fixed: use quantize_static",
    "If": "chooses while it runs; export the model so that it does not",
    "Loop": "repeats while it runs; export the model so that it does not",
}
"""What to do about an operator that cannot be translated."""


KEEP_LAYOUT = frozenset(("Add", "Cast", "Clip", "DequantizeLinear", "Div", "Identity", "Mul", "QuantizeLinear", "Sub"))
"""Operators that may stand between an input and the Transpose that moves its channels."""
TO_CHANNELS_FIRST = (0, 3, 1, 2)


@dataclass(frozen=True)
class TranslatedOnnx:
    """A graph and the ONNX model it was translated from.

    Attributes:
        graph: the graph: float, or with the model's integers and scales.
        model: the folded model.
        values: the tensors of the model that the graph computes, by their names there.
        biases: the integers of biases that the model stores quantised, by the weight's name.
        float_reasons: why nodes with integers in the file run in float, by name.
    """

    graph: Graph
    model: Folded
    values: Mapping[str, Value]
    biases: Mapping[str, Integers]
    float_reasons: Mapping[str, str]

    @property
    def is_quantised(self) -> bool:
        """Whether the model has scales."""
        return bool(self.graph.activation_scales or self.graph.weight_scales)


def translated(path: Path, momentum: float | None = None) -> TranslatedOnnx:
    """Return the graph of an ONNX classifier, with its weights.

    Nodes have the names of the ONNX nodes, with letters, digits and `._-/` alone. The input and the output get
    PaddleSlim's names, `image` and `fc_0.tmp_2`, as aliases.

    Args:
        path: the file.
        momentum: decay of batch-norm's moving statistics, in place of that of its nodes.

    Raises:
        UserError: see `file.read` and `folded.folded`; nodes cannot be translated (all are listed, with reasons).
    """
    try:
        return _translated(folded(read(path)), momentum)
    except UserError as error:
        text = str(error)
        raise (error if text.startswith(str(path)) else UserError(f"{path}: {text}")) from error


def float_onnx(path: Path, momentum: float | None = None) -> TranslatedOnnx:
    """Return the graph of a float ONNX classifier; see `translated`.

    Raises:
        UserError: the model is quantised, or see `translated`.
    """
    origin = translated(path, momentum)
    if origin.is_quantised:
        raise UserError(
            f"{path} is quantised already (QuantizeLinear): set quantized_model.file to it, or model.file to the float "
            "model that it was made of"
        )
    return origin


def _translated(model: Folded, momentum: float | None) -> TranslatedOnnx:
    model = attention.recognised(model)
    readers: dict[str, list[OnnxNode | None]] = defaultdict(list)
    for node in model.nodes:
        for name in node.inputs:
            readers[name].append(node)
    readers[model.output].append(None)
    to = Translation(model, momentum, readers)
    shape = model.shapes[model.input]
    layout = _layout(model, readers)
    name = to.add(model.input, Input(tuple(shape[axis] for axis in layout)), ())
    to.values[model.input] = Value(name, shape, layout)
    for node in model.nodes:
        _translate(to, node)
    output = to.values.get(model.output)
    scales = {name: WeightScale(scale.bits, scale.scale.astype(np.float32)) for name, scale in to.weight_scales.items()}
    ends = () if output is None else (output.node,)
    graph = Graph(tuple(to.nodes), ends, to.weights, scales, to.activation_scales, {}, frozenset(to.in_float))
    _check_shapes(to)
    graph = recognised(graph.with_nodes(_leading_to(graph)) if ends else graph)
    made_by = {
        value.node: node for node in reversed(model.nodes) if (value := to.values.get(node.outputs[0])) is not None
    }
    to.problems += [(made_by[node.name], why) for node, why in left_over(graph)]
    if to.problems:
        raise UserError(
            f"these operators cannot be translated: {'; '.join(_by_reason(to.problems))}. Known: "
            f"{', '.join(sorted(TRANSLATIONS))}{_to_export_otherwise(model)}"
        )
    if output is None:
        raise UserError("its result is a constant, or another output of an operator than the first")
    norms = carried(graph)
    graph = replace(
        graph,
        nodes=norms.nodes,
        outputs=norms.outputs,
        weights=norms.weights,
        aliases={"image": graph.nodes[0].name, "fc_0.tmp_2": norms.outputs[0]},
    )
    names = {node.name for node in graph.nodes}
    values = {name: value for name, value in to.values.items() if value.node in names}
    return TranslatedOnnx(graph, model, values, to.biases, to.float_reasons)


def _layout(model: Folded, readers: Mapping[str, Sequence[OnnxNode | None]]) -> tuple[int, ...]:
    """Return the ONNX axes of the pictures' height, width and channels.

    The channels are last where all that reads the pictures makes channels first of them, and they are first otherwise.
    With one channel that can be a Reshape.
    """
    shape = model.shapes[model.input]
    first = tuple(shape[axis] for axis in TO_CHANNELS_FIRST)
    waiting = [model.input]
    while waiting:
        name = waiting.pop()
        for node in readers[name]:
            if node is None:
                return PICTURE
            made = model.shapes.get(node.outputs[0])
            others = [other for other in node.inputs if other not in (name, "")]
            moves = tuple(node.attributes.get("perm", ())) == TO_CHANNELS_FIRST
            moves |= node.kind == "Reshape" and shape[-1] == 1 and made == first
            if node.kind in KEEP_LAYOUT and made == shape and all(other in model.constants for other in others):
                waiting.append(node.outputs[0])
            elif not moves:
                return PICTURE
    return CHANNELS_LAST


def _to_export_otherwise(model: Folded) -> str:
    """Return what to do where the input looks as if it had its channels last; or an empty text."""
    _, first, _, last = model.shapes[model.input]
    if last not in (1, 3) or first in (1, 3):
        return ""
    return (
        f". The input {model.input} seems to have its channels last: export the model with channels first (tf2onnx: "
        f"--inputs-as-nchw {model.input})"
    )


def _translate(to: Translation, node: OnnxNode) -> None:
    translate = TRANSLATIONS.get(node.kind) or attention.TRANSLATIONS.get(node.kind)
    if translate is None:
        hint = HINTS.get(node.kind, "")
        to.problems.append((node, hint))
        return
    try:
        to.values[node.outputs[0]] = translate(to, node)
    except (ConstantReadError, UnknownValueError):
        pass
    except UntranslatableError as error:
        to.problems.append((node, str(error)))


def _by_reason(problems: Sequence[tuple[OnnxNode, str]], most: int = 3) -> Iterator[str]:
    """Yield a text for each kind and reason, with the names of the first nodes: networks repeat their blocks."""
    names = defaultdict(list)
    for node, reason in problems:
        names[node.kind, reason].append(node.name)
    for (kind, reason), nodes in names.items():
        more = f" and {len(nodes) - most} more" if len(nodes) > most else ""
        yield f"{', '.join(nodes[:most])}{more} ({kind}{f': {reason}' if reason else ''})"


def _check_shapes(to: Translation) -> None:
    """Raise if a tensor has another shape here than in ONNX: a fault of the translation."""
    ours = shapes(Graph(tuple(to.nodes), (), to.weights))
    for name, value in to.values.items():
        known = to.model.shapes.get(name, value.shape)
        if value.shape != known or ours[value.node] != value.sizes:
            raise UserError(
                f"tensor {name} has the shape {list(known)}, and its translation {ours[value.node]}: this is a bug"
            )


def _leading_to(graph: Graph) -> list[Node]:
    needed, kept = set(graph.outputs), list[Node]()
    for node in reversed(graph.nodes):
        if node.name in needed:
            kept.append(node)
            needed.update(node.inputs)
    return kept[::-1]
