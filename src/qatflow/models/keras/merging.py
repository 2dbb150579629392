"""Layers that combine several tensors."""

from typing import Any

from qatflow.graph.operations import Add, Concat, Multiply, Operation
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


def _concat(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    axis = layer.axis - to.rank - 1 if layer.axis > 0 else layer.axis
    if not -to.rank <= axis < 0:
        raise UntranslatableError(f"axis={layer.axis} is that of the batch")
    return to.add(name, Concat(axis), sources)


TRANSLATIONS: dict[str, Translate] = {
    "Add": _of_two(Add()),
    "Multiply": _of_two(Multiply()),
    "Concatenate": _concat,
}
