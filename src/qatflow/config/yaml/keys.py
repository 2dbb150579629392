"""The keys that lead to a value in a configuration, and how messages write them."""

from collections.abc import Iterable, Iterator
from typing import Any

Keys = tuple[str | int, ...]
"""The keys that lead to a value: keys of mappings and indices of lists, from the outermost to the innermost."""


def dotted(keys: Keys) -> str:
    """Return `keys` as messages write them: `data.preprocessing.mean[0]`."""
    return ".".join(f"[{key}]" if isinstance(key, int) else key or "''" for key in keys).replace(".[", "[")


class Setters:
    """Which settings set which values, to find what is set twice."""

    def __init__(self) -> None:
        self._values: dict[Keys, str] = {}
        self._mappings: dict[Keys, str] = {}

    def setter_of(self, keys: Keys) -> str | None:
        """Return what sets the value at `keys`, a mapping around it, or a value within it; None if nothing does."""
        above = (self._values.get(keys[:length]) for length in range(1, len(keys) + 1))
        return next(filter(None, above), None) or self._mappings.get(keys)

    def add(self, values: Iterable[Keys], name: str) -> None:
        """Note that `name` sets the values at the keys `values`."""
        for keys in values:
            self._values[keys] = name
            self._mappings |= {keys[:length]: name for length in range(1, len(keys))}


def leaf_keys(value: Any) -> Iterator[Keys]:
    """Yield the keys that lead to each single value within nested mappings; a list counts as one value."""
    if not isinstance(value, dict):
        yield ()
        return
    for key, inner in value.items():
        yield from ((key, *keys) for keys in leaf_keys(inner))


def all_keys(value: Any) -> Iterator[Keys]:
    """Yield the keys that lead to each value, mapping and list within nested mappings and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (key,)
        yield from ((key, *keys) for keys in all_keys(inner))
