"""Operators of a .tflite model that may round differently on ARM and x86; see `graph/device_rounding.py`."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from math import prod

import numpy as np

from qatflow.graph.device_rounding import (
    Check,
    Grid,
    hard_swishes_agree,
    means_agree,
    products_agree,
    tangents_agree,
)
from qatflow.tflite.read import Operator, Tensor

NAMED = 8
Agree = Callable[[Operator, list[Grid], Grid], bool]


def rounding_checks(
    operators: Iterable[Operator], keys: Mapping[str, Hashable], fixed: frozenset[Hashable]
) -> list[Check]:
    """Return what the rounding of each operator depends on, of those that may round differently.

    Args:
        operators: of the model.
        keys: key of each int8 tensor's scale, by the tensor's name; tensors that share a scale share a key.
        fixed: keys of the scales that must stay as they are.
    """
    return [_check(operator, keys, fixed) for operator in operators if _in_int8(operator) and operator.name in AGREE]


def rounding_differently(operators: Iterable[Operator]) -> list[str]:
    """Return the names of the int8 tensors that may differ by a step between ARM and x86, in order of execution."""
    every = list(operators)
    tensors = {t.name: t for o in every for t in (*o.inputs, *o.outputs) if t is not None and t.scale.size == 1}
    scales: dict[Hashable, float] = {name: float(tensor.scale[0]) for name, tensor in tensors.items()}
    checks = rounding_checks(every, {name: name for name in tensors}, frozenset())
    return [check.name for check in checks if not check.agrees(scales)]


def warning(names: Sequence[str]) -> str:
    """Return what to print about these tensors, of which there is at least one."""
    listed = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
    return (
        f"warning: ARM and x86 may round values of these int8 tensors differently, by a step: {listed}. LiteRT's "
        "kernels do so at these scales. If host and device disagree, set device.tolerance"
    )


def _in_int8(operator: Operator) -> bool:
    tensors = (*_sources(operator), operator.outputs[0])
    return all(tensor.dtype == "INT8" and tensor.scale.size == 1 for tensor in tensors)


def _sources(operator: Operator) -> list[Tensor]:
    return [tensor for tensor in operator.inputs if tensor is not None and tensor.dtype != "INT32"]


def _check(operator: Operator, keys: Mapping[str, Hashable], fixed: frozenset[Hashable]) -> Check:
    output = operator.outputs[0]
    tensors = [output, *_sources(operator)]
    known = [keys[tensor.name] for tensor in tensors]
    # the scale of a constant belongs to its integers
    constant = {keys[tensor.name] for tensor in tensors if tensor.data is not None}

    def agrees(scales: Mapping[Hashable, float]) -> bool:
        target, *sources = (
            (scales[key], int(tensor.zero_point[0])) for key, tensor in zip(known, tensors, strict=True)
        )
        return AGREE[operator.name](operator, sources, target)

    adjustable = tuple(key for key in dict.fromkeys(known) if key not in fixed | constant)
    return Check(output.name, frozenset(known), adjustable, agrees)


def _product(operator: Operator, sources: list[Grid], output: Grid) -> bool:
    # a constant goes last: its integers alone count
    pairs = sorted(zip(_sources(operator), sources, strict=True), key=lambda pair: pair[0].data is not None)
    data = pairs[-1][0].data
    integers = None if data is None else [int(value) for value in np.unique(data)]
    return products_agree(pairs[0][1], pairs[-1][1], output, integers)


def _mean(operator: Operator, sources: list[Grid], output: Grid) -> bool:
    source = operator.inputs[0]
    assert source is not None
    return means_agree(sources[0], output, prod(source.shape) // max(prod(operator.outputs[0].shape), 1))


AGREE: dict[str, Agree] = {
    "MUL": _product,
    "MEAN": _mean,
    "HARD_SWISH": lambda operator, sources, output: hard_swishes_agree(sources[0], output),
    "TANH": lambda operator, sources, output: tangents_agree(sources[0]),
    # tables of exponentials; we write neither in int8, but a ready model may have them
    "ELU": lambda operator, sources, output: False,
    "SOFTMAX": lambda operator, sources, output: False,
}
