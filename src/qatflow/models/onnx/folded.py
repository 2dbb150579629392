"""An ONNX model for one picture, whose shapes are known and whose constants are computed.

Exporters write sizes as chains of nodes (Shape, Gather, Concat, …), which depend on nothing but the input's shape. With
a batch of 1 they are constants, and disappear.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from qatflow.base.errors import UserError

if TYPE_CHECKING:
    import onnx

FOLDED = frozenset(
    (
        "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Concat", "ConstantOfShape", "Div", "Equal", "Exp",
        "Expand", "Flatten", "Floor", "Gather", "Greater", "Identity", "Less", "Log", "Max", "Min", "Mod", "Mul", "Neg",
        "Not", "Or", "Pow", "Range", "Reciprocal", "ReduceProd", "Reshape", "Slice", "Split", "Sqrt", "Squeeze", "Sub",
        "Tile", "Transpose", "Unsqueeze", "Where",
    )
)  # fmt: skip
"""Operators that are computed here if all their inputs are constants."""
MOST_VALUES = 2**28
"""Of a constant that is computed: more can only be a damaged or a malicious file."""
PASSES = 32
"""Rounds of shape inference and folding: each chain of sizes takes one, and no network has that many in a row."""


@dataclass(frozen=True)
class OnnxNode:
    """One operator.

    Attributes:
        name: of the node, or of its first output if it has none.
        kind: the operator; of a domain other than ONNX' own with the domain in front.
        inputs: names of tensors; empty for an optional one that is left out.
        outputs: the same.
        attributes: by name; texts are decoded.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def has(self, place: int) -> bool:
        """Return whether the node has an input at that place."""
        return place < len(self.inputs) and self.inputs[place] != ""


@dataclass(frozen=True)
class Folded:
    """A model whose shapes are known.

    Attributes:
        opset: version of its operators.
        input: name of the pictures' tensor.
        output: name of the result.
        nodes: those that the result needs, in order.
        constants: arrays by tensor name.
        shapes: of the other tensors, with a batch of 1.
        proto: the model itself, for a batch of 1.
    """

    opset: int
    input: str
    output: str
    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, np.ndarray]
    shapes: Mapping[str, tuple[int, ...]]
    proto: "onnx.ModelProto"


def folded(model: "onnx.ModelProto") -> Folded:
    """Return the model for one picture, folded.

    Args:
        model: as `file.read` returns it; it is changed.

    Raises:
        UserError: it has several inputs or outputs, or takes no pictures of one size; shapes cannot be inferred.
    """
    import onnx
    from onnx import numpy_helper

    graph = model.graph
    constants = {array.name: numpy_helper.to_array(array) for array in graph.initializer}
    if graph.sparse_initializer:
        raise UserError("the model has sparse arrays, which are not read: export it with dense ones")
    input_name = _fix_batch(graph, constants)
    if len(graph.output) != 1:
        names = ", ".join(output.name for output in graph.output)
        raise UserError(f"the model has {len(graph.output)} outputs ({names}); a classifier has one")
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    del graph.value_info[:]  # shapes that the exporter wrote for another batch
    graph.output[0].type.tensor_type.ClearField("shape")
    for _ in range(PASSES):
        try:
            inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        except Exception as error:  # InferenceError, and others for damaged models
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"the shapes of its tensors cannot be inferred: {first[:300]}") from error
        known = _shapes(inferred)
        if not _fold(model, constants, known, opset):
            break
    nodes = needed([_node(node) for node in graph.node], graph.output[0].name)
    return Folded(opset, input_name, graph.output[0].name, nodes, constants, known, model)


def _fix_batch(graph: "onnx.GraphProto", constants: Mapping[str, np.ndarray]) -> str:
    """Set the batch of the pictures to 1; return the name of their tensor."""
    from onnx import TensorProto

    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise UserError(f"the model has {len(inputs)} inputs ({names}); a classifier takes one, the pictures")
    (pictures,) = inputs
    about = pictures.type.tensor_type
    if about.elem_type != TensorProto.FLOAT:
        kind = TensorProto.DataType.Name(about.elem_type)
        raise UserError(f"the input {pictures.name} is {kind}; pictures must be FLOAT: export the model in float32")
    sizes = about.shape.dim
    described = [size.dim_value if size.HasField("dim_value") else size.dim_param or "?" for size in sizes]
    if len(sizes) != 4 or any(not isinstance(size, int) or size < 1 for size in described[1:]):
        raise UserError(
            f"the input {pictures.name} has the shape {described}; it must be [batch, channels, height, width] with "
            "a fixed height and width: export the model with pictures of the size of data.preprocessing.size"
        )
    if isinstance(described[0], int) and described[0] != 1:
        raise UserError(
            f"the input {pictures.name} has a fixed batch of {described[0]}: export the model with a batch of 1, or "
            "with a dynamic one"
        )
    sizes[0].Clear()
    sizes[0].dim_value = 1
    kept = {value.name: value for value in inputs}
    del graph.input[:]
    graph.input.extend(kept.values())  # old exporters list the arrays among the inputs
    return str(pictures.name)


def _shapes(model: "onnx.ModelProto") -> dict[str, tuple[int, ...]]:
    """Return the shapes that are known to the last number."""
    graph, known = model.graph, {}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        about = value.type.tensor_type
        if about.HasField("shape") and all(size.HasField("dim_value") for size in about.shape.dim):
            known[value.name] = tuple(int(size.dim_value) for size in about.shape.dim)
    return known


def _fold(
    model: "onnx.ModelProto", constants: dict[str, np.ndarray], known: Mapping[str, tuple[int, ...]], opset: int
) -> bool:
    """Compute what can be computed; return whether there was anything. The model's nodes become arrays."""
    from onnx import numpy_helper

    graph, kept, made = model.graph, [], []
    for node in graph.node:
        values = _computed(node, constants, known, opset)
        if values is None:
            kept.append(node)
            continue
        for name, value in zip(node.output, values, strict=True):
            constants[name] = value
            made.append(numpy_helper.from_array(value, name))
    if made:
        del graph.node[:]
        graph.node.extend(kept)
        graph.initializer.extend(made)
    return bool(made)


def _computed(
    node: "onnx.NodeProto", constants: Mapping[str, np.ndarray], known: Mapping[str, tuple[int, ...]], opset: int
) -> list[np.ndarray] | None:
    """Return the outputs of a node if they are constants, else None."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type in ("Shape", "Size") and node.input[0] in known:
        shape = np.asarray(known[node.input[0]], np.int64)
        if node.op_type == "Size":
            return [np.asarray(shape.prod(), np.int64)]
        about = _attributes(node)
        return [shape[about.get("start", 0) : about.get("end")]]
    if node.op_type != "Constant" and (
        node.op_type not in FOLDED or not node.input or any(name and name not in constants for name in node.input)
    ):
        return None
    sizes = [prod(known.get(name, (0,))) for name in node.output]
    if max(sizes) > MOST_VALUES:
        raise UserError(f"{node.op_type} {node.output[0]} makes a constant of {max(sizes)} values: the file is damaged")
    return _evaluated(node, constants, opset)


def _evaluated(node: "onnx.NodeProto", constants: Mapping[str, np.ndarray], opset: int) -> list[np.ndarray]:
    """Return the outputs of a node for constants, as the onnx package's reference computes them."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    names = [name for name in dict.fromkeys(node.input) if name]
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(constants[name].dtype), None)
        for name in names
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in node.output]
    alone = helper.make_model(
        helper.make_graph([node], "constant", inputs, outputs), opset_imports=[helper.make_opsetid("", opset)]
    )
    try:
        values = ReferenceEvaluator(alone).run(None, {name: constants[name] for name in names})
    except Exception as error:  # any kind, for a node that does not fit its inputs
        raise UserError(f"{node.op_type} {node.output[0]} cannot be computed: {error}") from error
    return [np.asarray(value) for value in values]


def _node(node: "onnx.NodeProto") -> OnnxNode:
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    return OnnxNode(
        node.name or node.output[0],
        domain + node.op_type,
        tuple(node.input),
        tuple(node.output),
        _attributes(node),
    )


def _attributes(node: "onnx.NodeProto") -> dict[str, Any]:
    from onnx import helper

    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {
        name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value for name, value in values.items()
    }


def needed(nodes: list[OnnxNode], output: str) -> tuple[OnnxNode, ...]:
    """Return the nodes that lead to the output; a file may hold others."""
    wanted, kept = {output}, []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    return tuple(reversed(kept))
