"""Layers that combine several tensors."""

from typing import Any

import numpy as np

from qatflow.graph.operations import Add, Concat, Maximum, Minimum, Multiply, Operation, Subtract
from qatflow.models.keras.library import UntranslatableError
from qatflow.models.keras.translation import Translate, Translation


def _of_two(operation: Operation) -> Translate:
    def chain(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
        """Sums and products of more than two tensors are computed two at a time."""
        result = sources[0]
        for place, source in enumerate(sources[1:], 2):
            result = to.add(name if place == len(sources) else f"{name}/{place}", operation, (result, source))
        return result

    return chain


def _average(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    total = _of_two(Add())(to, f"{name}/sum", layer, sources)
    return to.add(name, Multiply(), (total,), {"constant": np.asarray([1 / len(sources)])})


def _concat(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    axis = layer.axis - to.rank - 1 if layer.axis > 0 else layer.axis
    if not -to.rank <= axis < 0:
        raise UntranslatableError(f"axis={layer.axis} is that of the batch")
    return to.add(name, Concat(axis), sources)


TRANSLATIONS: dict[str, Translate] = {
    "Add": _of_two(Add()),
    "Multiply": _of_two(Multiply()),
    "Subtract": _of_two(Subtract()),
    "Maximum": _of_two(Maximum()),
    "Minimum": _of_two(Minimum()),
    "Average": _average,
    "Concatenate": _concat,
}
