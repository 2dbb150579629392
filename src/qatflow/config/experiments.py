"""Many experiments in one configuration: each the whole of it with some keys of its own, a matrix multiplied out."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qatflow.config.overrides import SECTIONS, short_keys
from qatflow.config.problems import Problem, nearest
from qatflow.config.sections.bounds import SEEDS
from qatflow.config.sections.config import Config
from qatflow.config.yaml.keys import Keys, Setters, dotted, leaf_ways
from qatflow.config.yaml.merge import Merged, Place, overlaid
from qatflow.config.yaml.reader import Unknown
from qatflow.config.yaml.scalars import kind

MATRIX = "matrix"
MOST = 2000
"""Experiments of one configuration."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_SHARED = ("data", "pretrained")
"""Sections that keep the configuration's seed, so that experiments which differ in theirs share what these make."""
_OWN = ("experiment", "experiments", "only")
_SECTIONS = [key for key in Config.model_fields if key not in _OWN]
_SHORT = short_keys()
"""Keys of the compress YAML that need no way to them."""


@dataclass(frozen=True)
class Value:
    """What an experiment says of one key.

    Attributes:
        said: where it says so: `experiments`, its name, and so on.
        keys: the key, as that of a configuration of one experiment.
        value: its value.
    """

    said: Keys
    keys: Keys
    value: Any


@dataclass(frozen=True)
class Expanded:
    """A configuration of one experiment.

    Attributes:
        name: of the experiment.
        said: where the configuration names it, or nothing where it has no `experiments`.
        merged: its values.
    """

    name: str
    said: Keys
    merged: Merged


def expand(merged: Merged) -> tuple[list[Expanded], list[Problem]]:
    """Return each experiment's configuration, in the order in which they are written, and what is wrong there.

    Without `experiments` it is the configuration itself. An experiment's values take the place of the configuration's;
    mappings are merged. `matrix` lists values by key, and each combination is an experiment, named after the values;
    so is each seed of a list. Sections that several experiments share keep the configuration's seed.
    """
    listed = merged.data.get("experiments")
    if not isinstance(listed, dict) or not listed:
        return [Expanded(str(merged.data.get("experiment")), (), merged)], []
    base = overlaid(merged, [(keys, value, keys) for keys, value in _shared_seeds(merged)])
    base.data |= {"experiments": {}, "only": None}
    base.places = {keys: place for keys, place in base.places.items() if keys[0] != "experiments"}
    found: list[Expanded] = []
    problems: list[Problem] = []
    count = 0
    for name, said in listed.items():
        where: Keys = ("experiments", name)
        if not _NAME.fullmatch(name):
            problems.append(Problem((where,), f"must be a name of letters, digits, - and _; got {kind(name)}"))
        elif isinstance(said, Unknown):
            continue  # its reader has refused it
        elif said is not None and not isinstance(said, dict):
            problems.append(Problem((where,), f"must be a mapping of keys to values; got {kind(said)}"))
        else:
            values, axes, wrong = _read(where, said or {})
            problems += wrong
            count += math.prod(map(len, axes))
            if count > MOST:
                return [], [*problems, Problem((where,), f"with this one there are more than {MOST:,} experiments")]
            found += _multiplied(base, merged.places, name, where, values, axes)
    return found, [*problems, *_same_names(found)]


def _shared_seeds(merged: Merged) -> Iterator[tuple[Keys, Any]]:
    seed = merged.data.get("seed", Config.model_fields["seed"].default)
    if type(seed) is not int or not 0 <= seed < SEEDS:
        return  # it is told as it stands
    for section in _SHARED:
        values = merged.data.get(section, {})
        if isinstance(values, dict) and values.get("seed") is None:
            yield (section, "seed"), seed


def _read(where: Keys, said: Mapping[str, Any]) -> tuple[list[Value], list[list[Value]], list[Problem]]:
    """Return an experiment's values, the axes of its matrix, and what is wrong with its keys."""
    values: list[Value] = []
    axes: list[list[Value]] = []
    problems: list[Problem] = []
    matrix = said.get(MATRIX, {})
    if not isinstance(matrix, dict | Unknown):
        problems.append(Problem(((*where, MATRIX),), f"must be a mapping of keys to lists; got {_kind(matrix)}"))
    matrix = matrix if isinstance(matrix, dict) else {}
    listed = {(*where, MATRIX, key): value for key, value in matrix.items()}
    if isinstance(said.get("seed"), list):
        listed[*where, "seed"] = said["seed"]
    for way, several in listed.items():
        keys = _keys(str(way[-1]))
        if isinstance(several, Unknown):
            continue  # its reader has refused it
        if keys is None:
            problems.append(_unknown(way))
        elif not isinstance(several, list) or not several:
            problems.append(Problem((way,), f"must be a list of values, one an experiment; got {_kind(several)}"))
        elif bad := [value for value in several if _part(str(way[-1]), value) is None]:
            problems.append(
                Problem((way,), f"{kind(bad[0])} cannot be part of a name: give it an experiment of its own")
            )
        elif twice := [part for part, times in Counter(_parts(way, several)).items() if times > 1]:
            problems.append(Problem((way,), f"has two values that make one name, '{twice[0]}': leave one of them out"))
        else:
            axes.append([Value((*way, index), keys, value) for index, value in enumerate(several)])
    for key, value in said.items():
        if (*where, key) in listed or key == MATRIX:
            continue
        keys = _keys(key)
        if keys is None:
            problems.append(_unknown((*where, key)))
        else:
            values.append(Value((*where, key), keys, value))
    return values, axes, [*problems, *_said_twice([*values, *(axis[0] for axis in axes)])]


def _said_twice(values: Iterable[Value]) -> Iterator[Problem]:
    """Yield what an experiment says of one key in two ways, of which one would be without effect."""
    setters = Setters()
    for value in values:
        leaves = [(*value.keys, *way) for way in leaf_ways(value.value)]
        if other := next(filter(None, map(setters.other, leaves)), None):
            yield Problem((_axis_keys(value),), f"sets what {other} sets: leave one of the two out")
        setters.add(leaves, dotted(_axis_keys(value)))


def _axis_keys(value: Value) -> Keys:
    """Return where a value is said; of a list of them, where the list is."""
    return value.said[:-1] if isinstance(value.said[-1], int) else value.said


def _kind(value: Any) -> str:
    return "an empty list" if value == [] else kind(value)


def _keys(key: str) -> Keys | None:
    """Return the key of a configuration of one experiment that `key`, with dots, stands for; None for no such."""
    first = key.split(".")[0]
    if first in _SECTIONS:
        return tuple(key.split("."))
    if first in SECTIONS or key in _SHORT:
        return "compress", "overrides", key
    return None


def _unknown(way: Keys) -> Problem:
    key = str(way[-1])
    hint = nearest(key, [*_SECTIONS, *_SHORT])
    return Problem(
        (way,),
        f"unknown key; allowed here: {MATRIX}, {', '.join(_SECTIONS)}, with dots what is below them, and keys of the "
        f"compress YAML{hint}",
    )


def _multiplied(
    base: Merged, places: dict[Keys, Place], name: str, where: Keys, values: list[Value], axes: list[list[Value]]
) -> Iterator[Expanded]:
    common = overlaid(base, [(value.keys, value.value, value.said) for value in values], places)
    for chosen in itertools.product(*axes):
        full = "_".join([name, *(str(_part(str(_axis(value)), value.value)) for value in chosen)])
        own = [Value(where, ("experiment",), full), *chosen]
        merged = overlaid(common, [(value.keys, value.value, value.said) for value in own], places)
        yield Expanded(full, where, merged)


def _axis(value: Value) -> str | int:
    return value.said[-2]


def _part(key: str, value: Any) -> str | None:
    """Return how a value shows in the name of an experiment: text alone, else behind its key; None where it cannot."""
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


def _parts(way: Keys, several: Iterable[Any]) -> list[str]:
    """Return how the values of an axis show in names, where capital letters are no difference."""
    return [str(_part(str(way[-1]), value)).lower() for value in several]


def _same_names(found: Iterable[Expanded]) -> Iterator[Problem]:
    """Yield what names two experiments alike; some file systems do not tell capital letters from small ones."""
    first: dict[str, Expanded] = {}
    for one in found:
        other = first.setdefault(one.name.lower(), one)
        if other is not one:
            yield Problem(
                (one.said,), f"makes an experiment named '{one.name}', as {'.'.join(map(str, other.said))} does"
            )
        elif not _NAME.fullmatch(one.name):
            yield Problem((one.said,), f"makes the name '{one.name[:40]}…', which is longer than 100 characters")
