"""Values that replace those of a compress YAML: the keys of `compress.overrides`, and those of experiments."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qatflow.config.recipe.recipe import CompressorSection, strategy_keys
from qatflow.config.yaml.include import none_is_null
from qatflow.config.yaml.keys import Keys, Setters, dotted, leaf_keys
from qatflow.config.yaml.merge import Location, Merged, Report, overlaid
from qatflow.config.yaml.problems import nearest

NAMED = ("pruners", "controllers", "distillers", "strategies")
"""Sections that hold other sections by name."""
SECTIONS = (*NAMED, "compressor")
"""The sections of a compress YAML."""
_OF_THE_FILE = ("version", "include")
_CLASS = "class"


def short_keys() -> list[str]:
    """Return the keys that can be written alone: those of a strategy of any class, and those of the compressor."""
    every = (key for keys in strategy_keys().values() for key in keys if key != _CLASS)
    return list(dict.fromkeys([*every, *CompressorSection.model_fields]))


@dataclass(frozen=True)
class _Override:
    """A key of `compress.overrides`.

    Attributes:
        key: as it is written.
        targets: the keys in the compress YAML that it stands for.
        value: their new value.
    """

    key: str
    targets: tuple[Keys, ...]
    value: Any

    def leaves(self) -> Iterator[Keys]:
        """Yield the keys of each single value."""
        for target in self.targets:
            yield from ((*target, *inner) for inner in leaf_keys(self.value))


def overridden(merged: Merged, overrides: Mapping[str, tuple[Any, Location]], file: str) -> Merged:
    """Return a compress YAML with `overrides` over it; its reports list what is wrong with their keys.

    Args:
        merged: the compress YAML; it does not change.
        overrides: values by key, and where each is written.
        file: the compress YAML as messages name it.
    """
    if not overrides:
        return merged
    # a later source than the file's, so that a wrong combination is reported where the override is written
    locations = {key: replace(location, source=merged.last.source + 1) for key, (_, location) in overrides.items()}
    valid: list[_Override] = []
    wrong: list[tuple[str, str]] = []
    for key, (value, _) in overrides.items():
        value = none_is_null(value)
        try:
            valid.append(_Override(key, tuple(_targets(key, value, merged, file)), value))
        except _RefusedError as error:
            wrong.append((key, str(error)))
    wrong += _without_effect(valid)
    new = overlaid(
        merged,
        [(target, override.value, (override.key,)) for override in valid for target in override.targets],
        {(key,): location for key, location in locations.items()},
    )
    wrong += _undefined(valid, merged, new, file)
    for key, reason in wrong:
        new.reports.append(Report(locations[key], f"{dotted(('compress', 'overrides', key))}: {reason}"))
    return new


class _RefusedError(Exception):
    """Why a key stands for nothing."""


def _targets(key: str, value: Any, merged: Merged, file: str) -> Iterable[Keys]:
    """Return the keys that `key` stands for.

    A key with dots is one key. A key alone is that of the compressor, or that of each strategy that has it.

    Raises:
        _RefusedError: it stands for none.
    """
    first, *rest = key.split(".")
    if first in _OF_THE_FILE:
        raise _RefusedError(f"'{first}' belongs to the file {file} and cannot be overridden; remove it")
    if first in SECTIONS and (rest or isinstance(value, dict) or key not in CompressorSection.model_fields):
        return [tuple(key.split("."))]
    if key in CompressorSection.model_fields:
        return [("compressor", key)]
    strategies = _strategies(merged)
    classes = strategy_keys()
    anywhere = {key for keys in classes.values() for key in keys}
    targets: list[Keys] = [
        ("strategies", name, key)
        for name, class_name in strategies.items()
        if key != _CLASS and key in classes.get(class_name, anywhere)
    ]
    if targets or (not merged.whole and key in anywhere):
        return targets
    raise _RefusedError(_nowhere(key, strategies, merged, file))


def _strategies(merged: Merged) -> dict[str, str]:
    """Return the class of each strategy of a compress YAML, by name."""
    strategies = merged.data.get("strategies")
    named = strategies.items() if isinstance(strategies, dict) else ()
    return {name: str(section.get(_CLASS)) if isinstance(section, dict) else "" for name, section in named}


def _nowhere(key: str, strategies: Mapping[str, str], merged: Merged, file: str) -> str:
    """Return why `key` stands for nothing in a compress YAML."""
    classes = strategy_keys()
    if key == _CLASS:
        return "every strategy has this key; say which one you mean, like strategies.<name>.class"
    if having := [name for name, keys in classes.items() if key in keys]:
        there = ", ".join(dict.fromkeys(strategies.values())) or "none"
        return f"only {' and '.join(having)} {_has(having)} this key, and {file} has no such strategy; it has {there}"
    for section in NAMED:
        names = merged.data.get(section)
        if isinstance(names, dict) and key in names:
            return f"is a name under {section}; write its keys with dots, like {section}.{key}.<key>"
    short = [*CompressorSection.model_fields]
    short += [inner for class_name in strategies.values() for inner in classes.get(class_name, ()) if inner != _CLASS]
    with_dots = [dotted(keys) for keys in _every_key(strategies, merged)]
    return (
        f"unknown key; allowed here: {', '.join(dict.fromkeys(short))}, and with dots all keys of {file}"
        f"{nearest(key, with_dots if '.' in key else [*short, *with_dots])}"
    )


def _has(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _every_key(strategies: Mapping[str, str], merged: Merged) -> Iterator[Keys]:
    """Yield each key that can be written with dots: those in the file, and those that its strategies may have."""
    for section in SECTIONS:
        yield from ((section, *inner) for inner in leaf_keys(merged.data.get(section)))
    for name, class_name in strategies.items():
        yield from (("strategies", name, key) for key in strategy_keys().get(class_name, ()))
    yield from (("compressor", key) for key in CompressorSection.model_fields)


def _without_effect(overrides: list[_Override]) -> Iterator[tuple[str, str]]:
    """Yield the keys whose value a later one replaces, with the reason.

    A key that stands for several strategies may be replaced in some of them, but not in all.
    """
    setters = Setters()
    for override in reversed(overrides):
        leaves = list(override.leaves())
        later = [setters.setter_of(leaf) for leaf in leaves]
        if leaves and (all(later) if len(override.targets) > 1 else any(later)):
            yield override.key, f"'{next(filter(None, later))}' sets the same: leave one of the two out"
        setters.add(leaves, override.key)


def _undefined(overrides: list[_Override], before: Merged, after: Merged, file: str) -> Iterator[tuple[str, str]]:
    """Yield the keys of sections that the file does not define, with the reason; remove these sections from `after`."""
    for override in overrides:
        every = [*override.targets, *override.leaves()]
        named = dict.fromkeys(keys[:2] for keys in every if keys[0] in NAMED and len(keys) > 2)
        for section, name in ((str(section), str(name)) for section, name in named):
            in_file = before.data.get(section)
            defined = list(in_file) if isinstance(in_file, dict) else []
            merged = after.data.get(section)
            if not before.whole or name in defined or not isinstance(merged, dict):
                continue
            if _CLASS in (merged.get(name) or ()):
                continue  # the override defines it
            after.data[section] = {key: value for key, value in merged.items() if key != name}
            hint = f"it has {', '.join(defined) or 'none'}{nearest(name, defined)}"
            yield override.key, f"{file} has no '{name}' under {section}; {hint}"
