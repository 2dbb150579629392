"""Overlays: several YAML files as one configuration, each value with the place it comes from."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qatflow.config.yaml_lines import Keys, YamlFile, plain_scalar, shown


@dataclass(frozen=True, order=True)
class Place:
    """Where a value is written; the order is that of messages.

    Attributes:
        source: number of the file among those read.
        line: its line, counted from 1; 0 for the command line.
        name: the file as messages name it.
    """

    source: int
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.name}:{self.line}" if self.line else self.name


@dataclass
class Merged:
    """Values of several sources, later ones over earlier ones: mappings are merged, all else is replaced."""

    data: dict[str, Any] = field(default_factory=dict)
    places: dict[Keys, Place] = field(default_factory=dict)
    last: Place = Place(0, 0, "configuration")

    def place(self, *candidates: Keys) -> Place:
        """Return where `candidates` are written: in the last file that has one of them, the first one there.

        The default has all keys, so that what an overlay adds is what makes a combination wrong. Where none is
        written, it is the place of the nearest key above.
        """
        if written := [self.places[keys] for keys in candidates if keys in self.places]:
            return max(written, key=lambda place: place.source)
        for keys in candidates:
            for length in range(len(keys) - 1, 0, -1):
                if keys[:length] in self.places:
                    return self.places[keys[:length]]
        return self.last


def merge(files: Iterable[YamlFile], overrides: Mapping[str, Any] | None = None) -> Merged:
    """Merge `files` in their order, then `overrides` as Snakemake's `--config` gives them.

    Raises:
        ValueError: a number in `overrides` is too large.
    """
    merged = Merged()
    for source, file in enumerate(files):
        places = {keys: Place(source, line, shown(file.path)) for keys, line in file.lines.items()}
        _update(merged, merged.data, file.data, places, ())
        merged.last = Place(source, 1, shown(file.path))
    if overrides:
        place = Place(merged.last.source + 1, 0, "--config")
        # Snakemake leaves numbers within nested values as text
        data = {key: value if isinstance(value, str) else _typed(value) for key, value in overrides.items()}
        _update(merged, merged.data, data, dict.fromkeys(_ways(data, ()), place), ())
    return merged


def _update(
    merged: Merged, base: dict[str, Any], overlay: Mapping[str, Any], places: Mapping[Keys, Place], above: Keys
) -> None:
    for key, value in overlay.items():
        keys = (*above, key)
        if isinstance(base.get(key), dict) and isinstance(value, dict):
            merged.places[keys] = places[keys]
            _update(merged, base[key], value, places, keys)
            continue
        for old in [old for old in merged.places if old[: len(keys)] == keys]:
            del merged.places[old]
        base[key] = copy.deepcopy(value)
        merged.places.update({new: place for new, place in places.items() if new[: len(keys)] == keys})


def _typed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _typed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_typed(inner) for inner in value]
    return plain_scalar(value) if isinstance(value, str) else value


def _ways(value: Any, above: Keys) -> Iterable[Keys]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*above, key)
        yield from _ways(inner, (*above, key))
