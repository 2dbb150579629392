"""Overlays: several YAML files as one configuration, each value with the place it comes from."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from qatflow.config.yaml.keys import Keys, all_ways, dotted
from qatflow.config.yaml.reader import MAX_DEPTH, Unknown, YamlFile, no_key
from qatflow.config.yaml.scalars import plain_scalar
from qatflow.config.yaml.text_file import shown


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


COMMAND_LINE = "--config"


def merge(files: Iterable[YamlFile], overrides: Mapping[str, Any] | None = None, said_in: str = COMMAND_LINE) -> Merged:
    """Merge `files` in their order, then `overrides` as Snakemake's `--config` gives them, or as its YAML reader does.

    Args:
        files: the sources, later ones over earlier ones.
        overrides: values by top-level key.
        said_in: how messages name these; COMMAND_LINE also says how texts in them were read.
    """
    merged = Merged()
    for source, file in enumerate(files):
        name = shown(file.path)
        places = {keys: Place(source, line, name) for keys, line in file.lines.items()}
        _update(merged, merged.data, file.data, places, ())
        merged.last = Place(source, 1, name)
        merged.reports += [Report(Place(source, found.line, name), found.text) for found in file.mistakes]
        merged.whole &= file.whole
    if overrides:
        place = Place(merged.last.source + 1, 0, said_in)
        of_command_line = said_in == COMMAND_LINE
        # Snakemake leaves numbers within nested values as text
        data: dict[str, Any] = {}
        for key, value in {str(key): value for key, value in overrides.items()}.items():
            try:
                as_is = of_command_line and isinstance(value, str) and not no_key(key)
                read = plain_scalar if of_command_line else _of_yaml_1_1
                data[key] = value if as_is else _typed({key: value}, (), read)[key]
            except ValueError as error:
                data[key] = Unknown.VALUE
                merged.reports.append(Report(place, str(error)))
        _update(merged, merged.data, data, dict.fromkeys(all_ways(data), place), ())
    return merged


def overlaid(
    merged: Merged, values: Iterable[tuple[Keys, Any, Keys]], places: dict[Keys, Place] | None = None
) -> Merged:
    """Return `merged` with `values` over it; what they leave as it is, is shared.

    Args:
        merged: stays as it is.
        values: of each, the key it goes to, the value, and the key that it is written at.
        places: where those keys are written; None: as in `merged`.
    """
    new = Merged(dict(merged.data), dict(merged.places), merged.last, list(merged.reports), merged.whole)
    written_in = merged if places is None else replace(merged, places=places)
    for keys, value, written in values:
        place = written_in.place(written)
        above = {keys[:length]: place for length in range(1, len(keys))}
        below = {(*keys, *way): written_in.places.get((*written, *way), place) for way in [(), *all_ways(value)]}
        nested = value
        for key in reversed(keys):
            nested = {key: nested}
        _update(new, new.data, nested, above | below, ())
    return new


def _update(
    merged: Merged, base: dict[str, Any], overlay: Mapping[str, Any], places: Mapping[Keys, Place], above: Keys
) -> None:
    """Put `overlay` over `base`, a mapping of nobody else's; those below are copied before they are changed."""
    for key, value in overlay.items():
        keys = (*above, key)
        old = base.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged.places[keys] = places[keys]
            base[key] = dict(old)
            _update(merged, base[key], value, places, keys)
            continue
        for way in all_ways(old):
            merged.places.pop((*keys, *way), None)
        base[key] = value
        merged.places |= {new: places[new] for new in (keys, *((*keys, *way) for way in all_ways(value)))}


def _of_yaml_1_1(text: str) -> Any:
    """Return what a text is that a reader of YAML 1.1 left as such: `1e-3` is a number, "12" was written as text."""
    plain = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))
    found = plain_scalar(text) if plain == "tag:yaml.org,2002:str" else text
    return found if isinstance(found, int | float) else text


def _typed(value: Any, keys: Keys, read: Callable[[str], Any]) -> Any:
    if len(keys) > MAX_DEPTH:
        raise ValueError(f"{dotted(keys[:1])}: nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        for key in map(str, value):
            if reason := no_key(key):
                raise ValueError(f"{dotted((*keys, key))}: {reason}")
        return {str(key): _typed(inner, (*keys, str(key)), read) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_typed(inner, (*keys, index), read) for index, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{dotted(keys)}: {error}") from None
