"""Calls of functions outside of layers, as a saved Keras model's description has them: without TensorFlow."""

from collections.abc import Iterator, Mapping
from typing import Any

from qatflow.models.keras.calls import Source, Undescribed
from qatflow.models.keras.operators import call_problem

CONSTANT = "_CONSTANT_VALUE"
"""Stands for the name of a layer where the first argument of a function is a constant."""
ELLIPSIS = {"class_name": "__ellipsis__"}
"""Stands for `...` in the description of a part of a tensor."""


def called_problem(entry: dict[str, Any], ranks: Mapping[str, int]) -> str:
    """Return why a call of a known function cannot be translated, as far as the description shows it; else empty.

    The shapes of its tensors are not described, so that what depends on more than the number of their axes is left to
    the model's graph.

    Args:
        entry: the layer that tf-keras makes of a function.
        ranks: number of axes of what layers put out, with the batch, by the layer's name.
    """
    for call in entry.get("inbound_nodes") or []:
        try:
            first, keywords = _arguments(call, ranks)
        except (IndexError, TypeError, ValueError):
            return ""  # a damaged description, which is said elsewhere
        if problem := call_problem(entry["config"]["function"], first, keywords):
            return problem
    return ""


def _arguments(call: list[Any], ranks: Mapping[str, int]) -> tuple[Any, dict[str, Any]]:
    """Return the first argument, or a list that is the first argument, and the others by name."""
    single = isinstance(call[0], str)
    entries = [call] if single else call
    firsts = [_first(entry, ranks) for entry in entries]
    more = entries[0][3] if len(entries[0]) > 3 else {}
    keywords = {key: _argument(value, ranks) for key, value in more.items()}
    return firsts[0] if single else firsts, keywords


def _first(read: list[Any], ranks: Mapping[str, int]) -> Any:
    """Return a Source, or the constant that stands in its place."""
    return read[2] if read[0] == CONSTANT else _source(read[0], ranks)


def _argument(value: Any, ranks: Mapping[str, int]) -> Any:
    """Return a Source in the place of each tensor of an argument."""
    if _is_tensor(value):
        return _source(value[0], ranks)
    if value == ELLIPSIS:
        return Ellipsis
    if isinstance(value, list):
        return [_argument(inner, ranks) for inner in value]
    return value


def _source(name: str, ranks: Mapping[str, int]) -> Source:
    return Source("", Undescribed(ranks[name] - 1 if name in ranks else None))


def _is_tensor(value: Any) -> bool:
    """Return whether a value is a layer's name and two numbers, as descriptions have tensors."""
    return isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)


def reads(call: list[Any]) -> Iterator[list[tuple[str, int]]]:
    """Yield the tensors of each entry of a call; the call of a function with one tensor is not a list of entries."""
    for name, which, _, *more in [call] if call and isinstance(call[0], str) else call:
        first = [] if name == CONSTANT else [(str(name), int(which))]
        yield [*first, *_tensors(more)]


def _tensors(keywords: list[Any]) -> list[tuple[str, int]]:
    values = [value for given in keywords for value in given.values()]
    return [(value[0], int(value[1])) for value in values if _is_tensor(value)]
