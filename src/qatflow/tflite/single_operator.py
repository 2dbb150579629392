"""Each operator of a .tflite model as a model of its own, from which a latency table is measured."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.base.errors import UserError
from qatflow.tflite.builder import packed, signature
from qatflow.tflite.read import OPERATOR_NAMES, TYPE_NAMES

NUMPY_TYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.INT16: np.int16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
}

MOST_NETWORKS = 20_000
"""That are looked at for their operators; a MobileNet with 14 groups in four widths needs some hundred."""


@dataclass(frozen=True)
class SingleOperator:
    """An operator of a model.

    Attributes:
        output: name of its output tensor.
        key: everything its time depends on, as text: kind, version, options, types and shapes of its tensors, and the
            values of constants that are not weights (axes, amounts of padding).
    """

    output: str
    key: str
    _model: Any
    _place: int

    def model(self) -> bytes:
        """Return a .tflite model of this operator alone, with one input and one output, the same types and scales.

        A second input tensor becomes a constant of zeros.
        """
        source = self._model.subgraphs[0]
        operator = copy(source.operators[self._place])
        tensors: list[Any] = []
        buffers: list[Any] = [schema.BufferT()]
        places: list[int] = []
        source_place = -1
        for index in map(int, operator.inputs):
            if index < 0:
                places.append(-1)
                continue
            tensor = copy(source.tensors[index])
            data = self._model.buffers[tensor.buffer].data
            if data is None and source_place >= 0:
                data = np.zeros(tuple(tensor.shape), NUMPY_TYPES[tensor.type]).view(np.uint8).reshape(-1)
            tensor.buffer = 0
            places.append(len(tensors))
            if data is None:
                source_place = places[-1]
            else:
                tensor.buffer = len(buffers)
                buffers.append(schema.BufferT())
                buffers[-1].data = data
            tensors.append(tensor)
        output = copy(source.tensors[int(operator.outputs[0])])
        output.buffer = 0
        tensors.append(output)
        code = self._model.operatorCodes[operator.opcodeIndex]
        operator.opcodeIndex = 0
        operator.inputs = np.asarray(places, np.int32)
        operator.outputs = np.asarray([len(tensors) - 1], np.int32)
        return _model(code, operator, tensors, buffers, source_place)


def single_operators(content: bytes) -> Iterator[SingleOperator]:
    """Yield the operators of a model in order of execution; each must have one output and at least one input tensor."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    subgraph = model.subgraphs[0]
    for place, operator in enumerate(subgraph.operators):
        output = subgraph.tensors[int(operator.outputs[0])]
        yield SingleOperator(output.name.decode(), _key(model, operator), model, place)


def every_operator(
    range_table: Sequence[int], model_of: Callable[[tuple[int, ...]], bytes], too_many: str
) -> dict[str, bytes]:
    """Return a model of each operator alone that the networks of some tokens have, by the operator's key.

    An operator depends on a few tokens: a convolution on the widths of its input and output. Changing each token by
    itself shows which they are; then all values of these few are tried together.

    Args:
        range_table: number of values of each token, whole numbers from 0, one for each choice.
        model_of: returns the .tflite model of a network.
        too_many: what to do if an operator depends on too many tokens, for the message.

    Raises:
        UserError: an operator depends on too many tokens to try them all.
    """
    start = (0,) * len(range_table)
    models: dict[str, bytes] = {}
    depends: dict[str, set[int]] = {}

    def add(changed: Mapping[int, int]) -> dict[str, str]:
        """Add the operators of a network; return their keys by the tensors that they compute."""
        keys = {}
        for operator in single_operators(model_of(tuple(changed.get(place, 0) for place in range(len(start))))):
            if operator.key not in models:
                models[operator.key] = operator.model()
            keys[operator.output] = operator.key
        return keys

    base = add({})
    for place, values in enumerate(range_table):
        for value in range(1, values):
            changed = add({place: value})
            for name in base.keys() | changed.keys():
                if base.get(name) != changed.get(name):
                    depends.setdefault(name, set()).add(place)
    tried = {frozenset({place}) for place in range(len(start))}
    together = {frozenset(places) for places in depends.values()} - tried
    count = sum(prod(range_table[place] for place in places) for places in together)
    if count > MOST_NETWORKS:
        raise UserError(
            f"the latency table would need the operators of {count} networks, since some depend on many layers: "
            f"{too_many}"
        )
    for places in sorted(tuple(sorted(group)) for group in together):
        for values_of in product(*(range(range_table[place]) for place in places)):
            add(dict(zip(places, values_of, strict=True)))
    return models


def _key(model: Any, operator: Any) -> str:
    code = model.operatorCodes[operator.opcodeIndex]
    tensors = model.subgraphs[0].tensors
    options = {} if operator.builtinOptions is None else vars(operator.builtinOptions)
    about = {
        "operator": OPERATOR_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)],
        "version": code.version,
        "options": {name: np.asarray(value).tolist() for name, value in sorted(options.items())},
        "inputs": [_form(model, tensors[index]) if index >= 0 else None for index in operator.inputs],
        "outputs": [_form(model, tensors[index]) for index in operator.outputs],
    }
    return json.dumps(about)


def _form(model: Any, tensor: Any) -> list[Any]:
    data = model.buffers[tensor.buffer].data
    form: list[Any] = [TYPE_NAMES[tensor.type], [int(size) for size in tensor.shape]]
    quantization = tensor.quantization
    if quantization is not None and quantization.scale is not None and len(quantization.scale) > 1:
        form.append("a scale a channel")
    elif data is not None and quantization is None and tensor.type == schema.TensorType.INT32:
        form.append(np.asarray(data).view(np.int32).tolist())
    return form


def _model(code: Any, operator: Any, tensors: list[Any], buffers: list[Any], source_place: int) -> bytes:
    subgraph = schema.SubGraphT()
    subgraph.name = "main"
    subgraph.tensors, subgraph.operators = tensors, [operator]
    subgraph.inputs = np.asarray([source_place], np.int32)
    subgraph.outputs = operator.outputs
    model = schema.ModelT()
    model.version = 3
    model.description = "qatflow: one operator"
    model.operatorCodes, model.subgraphs, model.buffers = [code], [subgraph], buffers
    # as in whole models: LiteRT does more work per run if there is a signature
    names = [(tensors[place].name.decode(), place) for place in (source_place, len(tensors) - 1)]
    model.signatureDefs = [signature(names[:1], names[1:])]
    return packed(model)
