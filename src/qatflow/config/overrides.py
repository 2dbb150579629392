"""Keys of a compress YAML with other values: what `compress.overrides` and experiments say of it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qatflow.config.problems import nearest
from qatflow.config.recipe.recipe import CompressorSection, strategy_keys
from qatflow.config.yaml.include import none_is_null
from qatflow.config.yaml.keys import Keys, Setters, dotted, leaf_ways
from qatflow.config.yaml.merge import Merged, Place, Report, overlaid

NAMED = ("pruners", "controllers", "distillers", "strategies")
"""Sections that hold others by name."""
SECTIONS = (*NAMED, "compressor")
"""What has keys in a compress YAML."""
_OF_THE_FILE = ("version", "include")
_CLASS = "class"


def short_keys() -> list[str]:
    """Return the keys that need no way to them: those of a strategy of any class, and of the compressor."""
    every = (key for keys in strategy_keys().values() for key in keys if key != _CLASS)
    return list(dict.fromkeys([*every, *CompressorSection.model_fields]))


@dataclass(frozen=True)
class _Override:
    """A key of `compress.overrides`.

    Attributes:
        key: as it is written.
        ways: the keys of the compress YAML that it stands for.
        value: their value.
    """

    key: str
    ways: tuple[Keys, ...]
    value: Any

    def leaves(self) -> Iterator[Keys]:
        """Yield the way to each single value."""
        for way in self.ways:
            yield from ((*way, *below) for below in leaf_ways(self.value))


def overridden(merged: Merged, overrides: Mapping[str, tuple[Any, Place]], file: str) -> Merged:
    """Return a compress YAML with `overrides` over it; what is wrong with their keys is among its reports.

    Args:
        merged: the compress YAML; it stays as it is.
        overrides: values by key, and where each is written.
        file: the compress YAML as messages name it.
    """
    if not overrides:
        return merged
    # their places come before the file that they override
    places = {key: replace(place, source=merged.last.source + 1) for key, (_, place) in overrides.items()}
    found: list[_Override] = []
    wrong: list[tuple[str, str]] = []
    for key, (value, _) in overrides.items():
        value = none_is_null(value)
        try:
            found.append(_Override(key, tuple(_ways(key, value, merged, file)), value))
        except _RefusedError as error:
            wrong.append((key, str(error)))
    wrong += _without_effect(found)
    new = overlaid(
        merged,
        [(way, one.value, (one.key,)) for one in found for way in one.ways],
        {(key,): place for key, place in places.items()},
    )
    wrong += _of_nothing(found, merged, new, file)
    new.reports += [Report(places[key], f"{dotted(('compress', 'overrides', key))}: {what}") for key, what in wrong]
    return new


class _RefusedError(Exception):
    """Why a key stands for nothing."""


def _ways(key: str, value: Any, merged: Merged, file: str) -> Iterable[Keys]:
    """Return the keys that `key` stands for: that with dots, or that of the compressor, or of each strategy with it."""
    first, *rest = key.split(".")
    if first in _OF_THE_FILE:
        raise _RefusedError(f"'{first}' is of the file {file} itself and cannot be overridden; remove it")
    if first in SECTIONS and (rest or isinstance(value, dict) or key not in CompressorSection.model_fields):
        return [tuple(key.split("."))]
    if key in CompressorSection.model_fields:
        return [("compressor", key)]
    strategies = _strategies(merged)
    classes = strategy_keys()
    anywhere = {key for keys in classes.values() for key in keys}
    ways: list[Keys] = [
        ("strategies", name, key)
        for name, of_class in strategies.items()
        if key != _CLASS and key in classes.get(of_class, anywhere)
    ]
    if ways or (not merged.whole and key in anywhere):
        return ways
    raise _RefusedError(_nowhere(key, strategies, merged, file))


def _strategies(merged: Merged) -> dict[str, str]:
    """Return the class of each strategy of a compress YAML, by name."""
    strategies = merged.data.get("strategies")
    named = strategies.items() if isinstance(strategies, dict) else ()
    return {name: str(one.get(_CLASS)) if isinstance(one, dict) else "" for name, one in named}


def _nowhere(key: str, strategies: Mapping[str, str], merged: Merged, file: str) -> str:
    """Return why `key` stands for nothing in a compress YAML."""
    classes = strategy_keys()
    if key == _CLASS:
        return "says of each strategy what it is; write which one you mean, like strategies.<name>.class"
    if having := [name for name, keys in classes.items() if key in keys]:
        there = ", ".join(dict.fromkeys(strategies.values())) or "none"
        return f"only {' and '.join(having)} {_has(having)} this key, and {file} has no such strategy; it has {there}"
    for section in NAMED:
        names = merged.data.get(section)
        if isinstance(names, dict) and key in names:
            return f"is a name under {section}; write its keys with dots, like {section}.{key}.<key>"
    short = [*CompressorSection.model_fields]
    short += [inner for of_class in strategies.values() for inner in classes.get(of_class, ()) if inner != _CLASS]
    with_dots = [dotted(way) for way in _every_way(strategies, merged)]
    return (
        f"unknown key; allowed here: {', '.join(dict.fromkeys(short))}, and with dots all keys of {file}"
        f"{nearest(key, with_dots if '.' in key else [*short, *with_dots])}"
    )


def _has(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _every_way(strategies: Mapping[str, str], merged: Merged) -> Iterator[Keys]:
    """Yield each key that can be written with dots: those of the file, and those that its strategies can have."""
    for section in SECTIONS:
        yield from ((section, *way) for way in leaf_ways(merged.data.get(section)))
    for name, of_class in strategies.items():
        yield from (("strategies", name, key) for key in strategy_keys().get(of_class, ()))
    yield from (("compressor", key) for key in CompressorSection.model_fields)


def _without_effect(found: list[_Override]) -> Iterator[tuple[str, str]]:
    """Yield the keys whose value another one replaces: a short key may be replaced in some strategies, not in all."""
    setters = Setters()
    for one in reversed(found):
        leaves = list(one.leaves())
        others = [setters.other(leaf) for leaf in leaves]
        if leaves and (all(others) if len(one.ways) > 1 else any(others)):
            yield one.key, f"'{next(filter(None, others))}' sets the same: leave one of the two out"
        setters.add(leaves, one.key)


def _of_nothing(found: list[_Override], before: Merged, after: Merged, file: str) -> Iterator[tuple[str, str]]:
    """Yield the keys of something that the file does not have, and take that out of `after`."""
    for one in found:
        ways = [*one.ways, *one.leaves()]
        named = dict.fromkeys(way[:2] for way in ways if way[0] in NAMED and len(way) > 2)
        for section, name in ((str(section), str(name)) for section, name in named):
            there = before.data.get(section)
            known = list(there) if isinstance(there, dict) else []
            made = after.data.get(section)
            if not before.whole or name in known or not isinstance(made, dict) or _CLASS in (made.get(name) or ()):
                continue
            after.data[section] = {key: value for key, value in made.items() if key != name}
            listed = f"it has {', '.join(known) or 'none'}{nearest(name, known)}"
            yield one.key, f"{file} has no '{name}' under {section}; {listed}"
