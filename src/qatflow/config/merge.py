"""Overlays: several YAML files as one configuration, each value with the place it comes from."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qatflow.config.keys import Keys, dotted
from qatflow.config.scalars import plain_scalar
from qatflow.config.text_file import shown
from qatflow.config.yaml_lines import MAX_DEPTH, Unknown, YamlFile


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


@dataclass(frozen=True, order=True)
class Report:
    """One line of the message to the user, in the order of files and lines."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass
class Merged:
    """Values of several sources, later ones over earlier ones: mappings are merged, all else is replaced.

    Attributes:
        data: the values; `Unknown.VALUE` for what its file's reader refused.
        places: where each is written.
        last: where the last source begins.
        reports: what the readers of the sources refused.
        whole: whether all sources were read to their ends.
    """

    data: dict[str, Any] = field(default_factory=dict)
    places: dict[Keys, Place] = field(default_factory=dict)
    last: Place = Place(0, 0, "configuration")
    reports: list[Report] = field(default_factory=list)
    whole: bool = True

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
    """Merge `files` in their order, then `overrides` as Snakemake's `--config` gives them."""
    merged = Merged()
    for source, file in enumerate(files):
        places = {keys: Place(source, line, shown(file.path)) for keys, line in file.lines.items()}
        _update(merged, merged.data, file.data, places, ())
        merged.last = Place(source, 1, shown(file.path))
        merged.reports += [Report(Place(source, found.line, shown(file.path)), found.text) for found in file.mistakes]
        merged.whole &= file.whole
    if overrides:
        place = Place(merged.last.source + 1, 0, "--config")
        # Snakemake leaves numbers within nested values as text
        data: dict[str, Any] = {}
        for key, value in overrides.items():
            try:
                data[key] = value if isinstance(value, str) else _typed(value, (key,))
            except ValueError as error:
                data[key] = Unknown.VALUE
                merged.reports.append(Report(place, str(error)))
        _update(merged, merged.data, data, dict.fromkeys(_ways(data, ()), place), ())
    return merged


def overlaid(merged: Merged, values: Iterable[tuple[Keys, Any, Keys]]) -> Merged:
    """Return a copy of `merged` with `values` over it.

    Args:
        merged: stays as it is.
        values: of each, the key it goes to, the value, and the key in `merged` that it is written at.
    """
    new = Merged(copy.deepcopy(merged.data), dict(merged.places), merged.last, list(merged.reports), merged.whole)
    for keys, value, written in values:
        place = merged.place(written)
        places = {keys[:length]: place for length in range(1, len(keys))}
        places |= {(*keys, *way): place for way in [(), *_ways(value, ())]}
        known = {old: at for old, at in merged.places.items() if old[: len(written)] == written}
        places |= {(*keys, *old[len(written) :]): at for old, at in known.items()}
        nested = value
        for key in reversed(keys):
            nested = {key: nested}
        _update(new, new.data, nested, places, ())
    return new


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


def _typed(value: Any, keys: Keys) -> Any:
    if len(keys) > MAX_DEPTH:
        raise ValueError(f"{dotted(keys[:1])}: nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        return {str(key): _typed(inner, (*keys, str(key))) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_typed(inner, (*keys, index)) for index, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        return plain_scalar(value)
    except ValueError as error:
        raise ValueError(f"{dotted(keys)}: {error}") from None


def _ways(value: Any, above: Keys) -> Iterable[Keys]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*above, key)
        yield from _ways(inner, (*above, key))
