"""Overlays: several YAML files merged into one configuration, with the location that each value comes from."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from qatflow.config.yaml.keys import Keys, all_keys, dotted
from qatflow.config.yaml.reader import MAX_DEPTH, Unknown, YamlFile, no_key
from qatflow.config.yaml.scalars import plain_scalar
from qatflow.config.yaml.text_file import shown


@dataclass(frozen=True, order=True)
class Location:
    """Where a value is written. Messages are sorted by location.

    Attributes:
        source: number of the file, in the order in which the files are read.
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
    """One line of the message to the user."""

    location: Location
    text: str

    def __str__(self) -> str:
        return f"{self.location}: {self.text}"


@dataclass
class Merged:
    """The values of several sources. Later ones win: mappings are merged, everything else is replaced.

    Attributes:
        data: the values, with `Unknown.VALUE` in place of those that the reader refused.
        locations: where each value is written.
        last: where the last source begins.
        reports: what the reader refused.
        whole: whether all sources were read to their ends.
    """

    data: dict[str, Any] = field(default_factory=dict)
    locations: dict[Keys, Location] = field(default_factory=dict)
    last: Location = Location(0, 0, "configuration")
    reports: list[Report] = field(default_factory=list)
    whole: bool = True

    def location(self, *candidates: Keys) -> Location:
        """Return where the first of `candidates` is written in the last file that has one of them.

        The default file has all keys, so a combination becomes wrong by what an overlay adds. If no candidate is
        written anywhere, it is the location of the nearest mapping around one of them.
        """
        if written := [self.locations[keys] for keys in candidates if keys in self.locations]:
            return max(written, key=lambda location: location.source)
        for keys in candidates:
            for length in range(len(keys) - 1, 0, -1):
                if keys[:length] in self.locations:
                    return self.locations[keys[:length]]
        return self.last


COMMAND_LINE = "--config"


def merge(
    files: Iterable[YamlFile], overrides: Mapping[str, Any] | None = None, overrides_from: str = COMMAND_LINE
) -> Merged:
    """Merge `files` in their order, then the `overrides` that Snakemake passes.

    Args:
        files: the sources; later ones win.
        overrides: values by top-level key.
        overrides_from: where the overrides come from, as messages name it. Snakemake leaves numbers within
            COMMAND_LINE's nested values as text; other overrides come from its YAML 1.1 reader.
    """
    merged = Merged()
    for source, file in enumerate(files):
        name = shown(file.path)
        locations = {keys: Location(source, line, name) for keys, line in file.lines.items()}
        _update(merged, merged.data, file.data, locations, ())
        merged.last = Location(source, 1, name)
        merged.reports += [Report(Location(source, mistake.line, name), mistake.text) for mistake in file.mistakes]
        merged.whole &= file.whole
    if overrides:
        location = Location(merged.last.source + 1, 0, overrides_from)
        of_command_line = overrides_from == COMMAND_LINE
        data: dict[str, Any] = {}
        for key, value in {str(key): value for key, value in overrides.items()}.items():
            try:
                as_is = of_command_line and isinstance(value, str) and not no_key(key)
                read = plain_scalar if of_command_line else _number_or_text
                data[key] = value if as_is else _typed({key: value}, (), read)[key]
            except ValueError as error:
                data[key] = Unknown.VALUE
                merged.reports.append(Report(location, str(error)))
        _update(merged, merged.data, data, dict.fromkeys(all_keys(data), location), ())
    return merged


def overlaid(
    merged: Merged, values: Iterable[tuple[Keys, Any, Keys]], locations: dict[Keys, Location] | None = None
) -> Merged:
    """Return a copy of `merged` with `values` over it. Mappings that do not change are shared with `merged`.

    Args:
        merged: the values below; they do not change.
        values: for each, the keys it replaces, the value, and the keys that it is written at.
        locations: where the keys that values are written at are; None: as in `merged`.
    """
    new = Merged(dict(merged.data), dict(merged.locations), merged.last, list(merged.reports), merged.whole)
    source = merged if locations is None else replace(merged, locations=locations)
    for keys, value, written_at in values:
        location = source.location(written_at)
        above = {keys[:length]: location for length in range(1, len(keys))}
        below = {
            (*keys, *inner): source.locations.get((*written_at, *inner), location) for inner in [(), *all_keys(value)]
        }
        nested = value
        for key in reversed(keys):
            nested = {key: nested}
        _update(new, new.data, nested, above | below, ())
    return new


def _update(
    merged: Merged, base: dict[str, Any], overlay: Mapping[str, Any], locations: Mapping[Keys, Location], above: Keys
) -> None:
    """Put `overlay` over `base`, which nothing else uses; mappings within it are copied before they are changed."""
    for key, value in overlay.items():
        keys = (*above, key)
        old = base.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged.locations[keys] = locations[keys]
            base[key] = dict(old)
            _update(merged, base[key], value, locations, keys)
            continue
        for inner in all_keys(old):
            merged.locations.pop((*keys, *inner), None)
        base[key] = value
        merged.locations |= {new: locations[new] for new in (keys, *((*keys, *inner) for inner in all_keys(value)))}


def _number_or_text(text: str) -> Any:
    """Return the number or text that a YAML 1.1 reader read as text: `1e-3` is a number, "12" was in quotes."""
    tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))
    value = plain_scalar(text) if tag == "tag:yaml.org,2002:str" else text
    return value if isinstance(value, int | float) else text


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
