"""Several experiments in one configuration: each is the whole configuration with some values of its own.

A matrix of values becomes one experiment for each combination.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qatflow.config.overrides import SECTIONS, short_keys
from qatflow.config.sections.bounds import SEEDS
from qatflow.config.sections.config import Config
from qatflow.config.yaml.keys import Keys, Setters, dotted, leaf_keys
from qatflow.config.yaml.merge import Location, Merged, overlaid
from qatflow.config.yaml.problems import Problem, nearest
from qatflow.config.yaml.reader import Unknown
from qatflow.config.yaml.scalars import kind

MATRIX = "matrix"
MAX_EXPERIMENTS = 2000
"""Experiments in one configuration."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_SHARED = ("data", "pretrained")
"""Sections that keep the configuration's seed, so that experiments with other seeds share data and float weights."""
_OWN = ("experiment", "experiments", "only")
_SECTIONS = [key for key in Config.model_fields if key not in _OWN]
_SHORT = short_keys()
"""Keys of the compress YAML that can be written without the section they are in."""


@dataclass(frozen=True)
class Value:
    """A value that an experiment sets.

    Attributes:
        written_at: the keys it is written at: `experiments`, the experiment's name, and so on.
        keys: the keys it replaces in a configuration of one experiment.
        value: the value.
    """

    written_at: Keys
    keys: Keys
    value: Any


@dataclass(frozen=True)
class Expanded:
    """A configuration of one experiment.

    Attributes:
        name: the experiment's name.
        written_at: the keys it is written at; empty if the configuration has no `experiments`.
        merged: its values.
    """

    name: str
    written_at: Keys
    merged: Merged


def expand(merged: Merged) -> tuple[list[Expanded], list[Problem]]:
    """Return the configuration of each experiment, in the order in which they are written, and what is wrong there.

    Without `experiments` it is the configuration itself. An experiment's values replace those of the configuration;
    mappings are merged. `matrix` lists values by key. Each combination of them is an experiment, named after the
    values, and so is each seed in a list of seeds. The sections `data` and `pretrained`, whose results experiments may
    share, keep the configuration's seed.
    """
    listed = merged.data.get("experiments")
    if not isinstance(listed, dict) or not listed:
        return [Expanded(str(merged.data.get("experiment")), (), merged)], []
    base = overlaid(merged, [(keys, value, keys) for keys, value in _shared_seeds(merged)])
    base.data |= {"experiments": {}, "only": None}
    base.locations = {keys: where for keys, where in base.locations.items() if keys[0] != "experiments"}
    expanded: list[Expanded] = []
    problems: list[Problem] = []
    count = 0
    for name, own in listed.items():
        where: Keys = ("experiments", name)
        if not _NAME.fullmatch(name):
            problems.append(Problem((where,), f"must be a name of letters, digits, - and _; got {kind(name)}"))
        elif isinstance(own, Unknown):
            continue  # the reader has refused it
        elif own is not None and not isinstance(own, dict):
            problems.append(Problem((where,), f"must be a mapping of keys to values; got {kind(own)}"))
        else:
            values, axes, wrong = _read(where, own or {})
            problems += wrong
            count += math.prod(map(len, axes))
            if count > MAX_EXPERIMENTS:
                return [], [
                    *problems,
                    Problem((where,), f"with this one there are more than {MAX_EXPERIMENTS:,} experiments"),
                ]
            expanded += _combinations(base, merged.locations, name, where, values, axes)
    return expanded, [*problems, *_same_names(expanded)]


def _shared_seeds(merged: Merged) -> Iterator[tuple[Keys, Any]]:
    seed = merged.data.get("seed", Config.model_fields["seed"].default)
    if type(seed) is not int or not 0 <= seed < SEEDS:
        return  # it is reported as it is written
    for section in _SHARED:
        values = merged.data.get(section, {})
        if isinstance(values, dict) and values.get("seed") is None:
            yield (section, "seed"), seed


def _read(where: Keys, own: Mapping[str, Any]) -> tuple[list[Value], list[list[Value]], list[Problem]]:
    """Return an experiment's values, the axes of its matrix, and what is wrong with its keys."""
    values: list[Value] = []
    axes: list[list[Value]] = []
    problems: list[Problem] = []
    matrix = own.get(MATRIX, {})
    if not isinstance(matrix, dict | Unknown):
        problems.append(Problem(((*where, MATRIX),), f"must be a mapping of keys to lists; got {_kind(matrix)}"))
    matrix = matrix if isinstance(matrix, dict) else {}
    listed = {(*where, MATRIX, key): value for key, value in matrix.items()}
    if isinstance(own.get("seed"), list):
        listed[*where, "seed"] = own["seed"]
    for written_at, several in listed.items():
        keys = _keys(str(written_at[-1]))
        if isinstance(several, Unknown):
            continue  # the reader has refused it
        if keys is None:
            problems.append(_unknown(written_at))
        elif not isinstance(several, list) or not several:
            message = f"must be a list of values, one for each experiment; got {_kind(several)}"
            problems.append(Problem((written_at,), message))
        elif nameless := [value for value in several if _name_part(str(written_at[-1]), value) is None]:
            message = f"{kind(nameless[0])} cannot be part of a name: write it as an experiment of its own"
            problems.append(Problem((written_at,), message))
        elif twice := [part for part, times in Counter(_name_parts(written_at, several)).items() if times > 1]:
            message = f"has two values that give the same name, '{twice[0]}': leave one of them out"
            problems.append(Problem((written_at,), message))
        else:
            axes.append([Value((*written_at, index), keys, value) for index, value in enumerate(several)])
    for key, value in own.items():
        if (*where, key) in listed or key == MATRIX:
            continue
        keys = _keys(key)
        if keys is None:
            problems.append(_unknown((*where, key)))
        else:
            values.append(Value((*where, key), keys, value))
    return values, axes, [*problems, *_set_twice([*values, *(axis[0] for axis in axes)])]


def _set_twice(values: Iterable[Value]) -> Iterator[Problem]:
    """Yield the keys that an experiment sets twice: one of the two values would have no effect."""
    setters = Setters()
    for value in values:
        leaves = [(*value.keys, *inner) for inner in leaf_keys(value.value)]
        if setter := next(filter(None, map(setters.setter_of, leaves)), None):
            yield Problem((_axis_keys(value),), f"sets the same as {setter}: leave one of the two out")
        setters.add(leaves, dotted(_axis_keys(value)))


def _axis_keys(value: Value) -> Keys:
    """Return the keys a value is written at, or for a value in a list those of the list."""
    return value.written_at[:-1] if isinstance(value.written_at[-1], int) else value.written_at


def _kind(value: Any) -> str:
    return "an empty list" if value == [] else kind(value)


def _keys(key: str) -> Keys | None:
    """Return the keys that the dotted `key` stands for in a configuration of one experiment; None if there are none."""
    first = key.split(".")[0]
    if first in _SECTIONS:
        return tuple(key.split("."))
    if first in SECTIONS or key in _SHORT:
        return "compress", "overrides", key
    return None


def _unknown(written_at: Keys) -> Problem:
    hint = nearest(str(written_at[-1]), [*_SECTIONS, *_SHORT])
    return Problem(
        (written_at,),
        f"unknown key; allowed here: {MATRIX}, {', '.join(_SECTIONS)}, the keys below them with dots, and keys of the "
        f"compress YAML{hint}",
    )


def _combinations(
    base: Merged,
    locations: dict[Keys, Location],
    name: str,
    where: Keys,
    values: list[Value],
    axes: list[list[Value]],
) -> Iterator[Expanded]:
    """Yield an experiment for each combination of the values on `axes`, all with `values`."""
    common = overlaid(base, [(value.keys, value.value, value.written_at) for value in values], locations)
    for combination in itertools.product(*axes):
        parts = (str(_name_part(str(value.written_at[-2]), value.value)) for value in combination)
        full_name = "_".join([name, *parts])
        own = [Value(where, ("experiment",), full_name), *combination]
        merged = overlaid(common, [(value.keys, value.value, value.written_at) for value in own], locations)
        yield Expanded(full_name, where, merged)


def _name_part(key: str, value: Any) -> str | None:
    """Return a value as part of an experiment's name: a text alone, others behind their key; None if impossible."""
    short = key.split(".")[-1]
    if isinstance(value, bool):
        return f"{short}-{str(value).lower()}"
    if isinstance(value, int | float):
        return f"{short}{value:g}".replace("+", "").replace(".", "p")
    if value is None:
        return f"{short}-none"
    if not isinstance(value, str):
        return None
    text = re.sub(r"[^A-Za-z0-9_-]+", "-", re.sub(r"\.ya?ml$", "", value.split("/")[-1])).strip("-")
    return text or None


def _name_parts(written_at: Keys, several: Iterable[Any]) -> list[str]:
    """Return the values of an axis as parts of names, in lower case."""
    return [str(_name_part(str(written_at[-1]), value)).lower() for value in several]


def _same_names(expanded: Iterable[Expanded]) -> Iterator[Problem]:
    """Yield the experiments whose names are equal but for upper and lower case, and those with too long names.

    Some file systems do not distinguish upper and lower case.
    """
    first: dict[str, Expanded] = {}
    for experiment in expanded:
        earlier = first.setdefault(experiment.name.lower(), experiment)
        if earlier is not experiment:
            message = f"makes an experiment named '{experiment.name}', as {dotted(earlier.written_at)} does"
            yield Problem((experiment.written_at,), message)
        elif not _NAME.fullmatch(experiment.name):
            message = f"makes the name '{experiment.name[:40]}…', which is longer than 100 characters"
            yield Problem((experiment.written_at,), message)
