"""The way to a value in a configuration, and how messages write it."""

from collections.abc import Iterable, Iterator
from typing import Any

Keys = tuple[str | int, ...]
"""The way to a value: keys of mappings and indices of lists."""


def dotted(keys: Keys) -> str:
    """Return `keys` as messages write them: `data.preprocessing.mean[0]`."""
    return ".".join(f"[{key}]" if isinstance(key, int) else key or "''" for key in keys).replace(".[", "[")


class Setters:
    """By whom values are set, to find what is set twice."""

    def __init__(self) -> None:
        self._ends: dict[Keys, str] = {}
        self._through: dict[Keys, str] = {}

    def other(self, way: Keys) -> str | None:
        """Return who sets the value at `way`, one that it is a part of, or a part of it; None where nobody does."""
        above = (self._ends.get(way[:length]) for length in range(1, len(way) + 1))
        return next(filter(None, above), None) or self._through.get(way)

    def add(self, ways: Iterable[Keys], name: str) -> None:
        """Note that `name` sets the values at `ways`."""
        for way in ways:
            self._ends[way] = name
            self._through |= {way[:length]: name for length in range(1, len(way))}


def leaf_ways(value: Any) -> Iterator[Keys]:
    """Yield the way to each single value within nested mappings; a list is one value."""
    if not isinstance(value, dict):
        yield ()
        return
    for key, inner in value.items():
        yield from ((key, *way) for way in leaf_ways(inner))


def all_ways(value: Any) -> Iterator[Keys]:
    """Yield the way to each value within nested mappings and lists, and to these."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (key,)
        yield from ((key, *way) for way in all_ways(inner))
