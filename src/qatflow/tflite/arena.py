"""The memory of a .tflite model's tensors on a microcontroller, planned before it runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from ai_edge_litert import schema_py_generated as schema

from qatflow.tflite.read import TYPE_NAMES

ALIGNMENT = 16
BYTES = {"FLOAT32": 4, "INT32": 4, "INT64": 8, "INT16": 2, "FLOAT16": 2, "INT8": 1, "UINT8": 1, "BOOL": 1}


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor that is computed, in the arena.

    Attributes:
        name: of the tensor.
        bytes: of its values.
        first: step that writes it: 0 for the model's input, n + 1 for operator n.
        last: last step that reads it; for the model's output that of the last operator.
        offset: its place in the arena, in bytes.
    """

    name: str
    bytes: int
    first: int
    last: int
    offset: int = 0

    @property
    def end(self) -> int:
        """The first byte behind it, aligned."""
        return self.offset + -(-self.bytes // ALIGNMENT) * ALIGNMENT

    def lives_with(self, other: "PlannedTensor") -> bool:
        """Return whether both are needed in the same step."""
        return self.first <= other.last and other.first <= self.last


def plan(content: bytes) -> tuple[PlannedTensor, ...]:
    """Return the tensors that are computed, with their places: the largest first, each in the first gap that it fits.

    That is how the greedy planners of LiteRT and of LiteRT for Microcontrollers work (greedy_memory_planner.cc).

    Args:
        content: the .tflite file, of one subgraph.
    """
    placed: list[PlannedTensor] = []
    for tensor in sorted(_computed(content), key=lambda one: -one.bytes):
        offset = 0
        for other in sorted((one for one in placed if one.lives_with(tensor)), key=lambda one: one.offset):
            if replace(tensor, offset=offset).end <= other.offset:
                break
            offset = max(offset, other.end)
        placed.append(replace(tensor, offset=offset))
    return tuple(placed)


def arena_bytes(planned: Sequence[PlannedTensor]) -> int:
    """Return the bytes of an arena that holds the planned tensors."""
    return max((tensor.end for tensor in planned), default=0)


def _computed(content: bytes) -> list[PlannedTensor]:
    subgraph = schema.ModelT.InitFromPackedBuf(content, 0).subgraphs[0]
    first = {int(index): 0 for index in subgraph.inputs}
    last = dict(first)
    for step, operator in enumerate(subgraph.operators, 1):
        for index in operator.outputs:
            first[int(index)] = last[int(index)] = step
        for index in operator.inputs:
            if int(index) in first:
                last[int(index)] = step
    for index in subgraph.outputs:
        last[int(index)] = len(subgraph.operators)
    found = []
    for index, step in first.items():
        entry = subgraph.tensors[index]
        size = prod(int(n) for n in entry.shape) * BYTES[TYPE_NAMES[entry.type]]
        found.append(PlannedTensor(entry.name.decode(), size, step, last[index]))
    return found
