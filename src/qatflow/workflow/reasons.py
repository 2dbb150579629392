"""Why a job is due, in a line: `settings changed: compress.epochs`."""

import ast
import json
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

SHOWN = 4
"""Files, keys or rules in a line."""
_WHOLE = ("config", "rest", "settings")
"""Parameters whose keys need no name in front: all sections."""
_SECTIONS = {"keep_in_float": "model"}
"""Sections of parameters that hold some keys of theirs, and have another name."""


def reason(job: Any, dag: Any) -> str:
    """Return why Snakemake's `job` is due."""
    why = dag.reason(job)
    if why.forced:
        return "forced"
    said = [*_own_reasons(job, why)]
    producers = [one for one, files in dag.dependencies[job].items() if set(files) & set(why.updated_input_run)]
    if not said and producers:
        said.append(f"after {listed(dict.fromkeys(one.rule.name for one in producers))}")
    return "; ".join(said) or "asked for"


def _own_reasons(job: Any, why: Any) -> Iterator[str]:
    """Yield the reasons that are no other job's."""
    if why.incomplete_output:
        yield "it was interrupted"
    elif why.missing_output:
        made_before = any(Path(str(file)).exists() for file in job.output)
        yield f"missing: {listed(sorted(map(str, why.missing_output)))}" if made_before else "not made yet"
    if why.params_changed:
        changes = why.params_changed
        keys = changed_settings(dict(job.params.items()), changes.only_old, changes.only_new)
        yield f"settings changed: {listed(keys)}" if keys else "its command changed"
    if updated := sorted(map(str, set(why.updated_input) - set(why.updated_input_run))):
        yield f"changed: {listed(updated)}"
    if why.input_changed:
        yield "it has other inputs than before"
    if why.code_changed:
        yield "its rule changed"
    if why.software_stack_changed:
        yield "its conda environment changed"


def changed_settings(params: Mapping[str, Any], before: Iterable[str], now: Iterable[str]) -> list[str]:
    """Return the settings that differ, as keys with dots.

    Args:
        params: the job's parameters by name; those that hold a section are JSON.
        before: what Snakemake has noted of the parameters that are no longer so, as Python literals, without names.
        now: the same of the parameters that are new.
    """
    names = {value: name for name, value in params.items() if isinstance(value, str)}
    old = [_literal(text) for text in before]
    keys: list[str] = []
    for value in (_literal(text) for text in now):
        name = names.get(value) if isinstance(value, str) else None
        name = name or next((one for one, held in params.items() if held == value), "")
        section = _section(value)
        if section is None:
            keys.append(name)
            continue
        nearest = max(filter(None, map(_section, old)), key=lambda one: _likeness(one, section), default=None)
        if nearest is None:
            keys.append(name)
            continue
        above = "" if name in _WHOLE else f"{_SECTIONS.get(name, name)}."
        keys += [f"{above}{key}" for key in differences(nearest, section)]
    return sorted(filter(None, dict.fromkeys(keys)))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the keys, with dots for levels, whose values differ."""
    keys = []
    for key in dict.fromkeys([*before, *now]):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            keys += [f"{key}.{inner}" for inner in differences(old, new)]
        elif old != new:
            keys.append(key)
    return keys


def listed(names: Collection[str]) -> str:
    """Return names in a line, the first few of them and how many more there are."""
    first = [*names][:SHOWN]
    more = f" and {len(names) - len(first)} more" if len(names) > len(first) else ""
    return ", ".join(first) + more


def made(files: Iterable[str]) -> str:
    """Return the files of a job in a line: the file, or the folder that holds them all."""
    paths = [Path(str(file)) for file in files]
    if len(paths) <= 1:
        return "".join(map(str, paths))
    shared = [*paths[0].parents]
    for path in paths[1:]:
        shared = [folder for folder in shared if folder in path.parents]
    folder = f"{shared[0]}/ " if shared and shared[0] != Path() else ""
    return f"{folder}({len(paths)} files)"


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _section(value: Any) -> dict[str, Any] | None:
    """Return the keys of a section as JSON, or of several as options (`--ptq '{…}'`); None for any other value."""
    if not (isinstance(value, str) and value.startswith(("{", "--"))):
        return None
    try:
        if value.startswith("{"):
            return dict(json.loads(value))
        words = shlex.split(value)
        return {
            option.removeprefix("--"): dict(json.loads(section))
            for option, section in zip(words[::2], words[1::2], strict=True)
        }
    except (ValueError, TypeError):
        return None


def _likeness(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Return the share of keys that two sections have in common."""
    return len(one.keys() & other.keys()) / max(1, len(one.keys() | other.keys()))
