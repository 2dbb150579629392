"""Turns merged values into a typed model, or into a list of everything that is wrong with them."""

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from qatflow.config.schema import CLASS, allowed, json_schema, schema_at
from qatflow.config.yaml.keys import Keys, dotted
from qatflow.config.yaml.merge import Merged, Report
from qatflow.config.yaml.problems import Problem, nearest, report
from qatflow.config.yaml.reader import Unknown
from qatflow.config.yaml.scalars import kind

OTHERWISE = "x-otherwise"
"""In a key's schema: what to write if none of its values is meant."""
YAML_1_1_BOOLEANS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}

M = TypeVar("M", bound=BaseModel)


class ValidSections:
    """Typed sections that are valid, by the mapping they were made from. Experiments share most of their sections."""

    def __init__(self) -> None:
        self._sections: dict[int, tuple[dict[str, Any], BaseModel]] = {}

    def put_in(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return `data` with the typed sections in place of their mappings."""
        return {key: self._sections.get(id(value), (None, value))[1] for key, value in data.items()}

    def remember(self, data: Mapping[str, Any], model: BaseModel) -> None:
        """Keep the sections of `model`, which was made from `data`, and the mappings, so that their ids stay in use."""
        for key, value in data.items():
            section = getattr(model, key, None)
            if isinstance(value, dict) and isinstance(section, BaseModel):
                self._sections[id(value)] = value, section


def validate(
    model: type[M], merged: Merged, checks: Callable[[M], Iterable[Problem]], known: ValidSections | None = None
) -> tuple[M | None, list[Report]]:
    """Check `merged` against the types of `model`, then with `checks`.

    Wrong values are reported and left out, so that `checks` see the others. Problems of a value that was left out are
    not reported. If a source was not read to its end, missing keys and wrong combinations are not reported.

    Args:
        model: the type.
        merged: the values.
        checks: yields the problems that the types cannot express.
        known: sections that are known to be valid; valid ones are added.

    Returns:
        The typed model, and all problems. The model is None if required keys are missing. Use it only if there are no
        problems.
    """
    known = known or ValidSections()
    data = known.put_in(merged.data)
    refused = [keys for keys, value in _leaves(data, ()) if isinstance(value, Unknown)]
    value, wrong = _typed(model, _without(data, refused), refused, merged.whole)
    problems = list(wrong)
    bad = refused + [problem.keys[0] for problem in problems]
    if bad:
        with contextlib.suppress(ValidationError):  # only that required keys are missing, which is reported already
            value = model.model_validate(_without(data, bad))
    elif value is not None:
        known.remember(merged.data, value)
    if value is not None and merged.whole:
        problems += [problem for problem in checks(value) if not _concerns(problem, bad)]
    return value, sorted({*merged.reports, *(report(merged, problem) for problem in problems)})


def _typed(
    model: type[M], data: dict[str, Any], refused: Iterable[Keys], whole: bool
) -> tuple[M | None, Iterable[Problem]]:
    """Return the typed model, or None and what is wrong with its types."""
    # pydantic accepts True for Literal[1]
    booleans = [(keys, value) for keys, value in _leaves(data, ()) if isinstance(value, bool)]
    wrong = [problem for keys, value in booleans if (problem := _no_boolean(model, keys, value))]
    try:
        value = model.model_validate(data)
    except ValidationError as error:
        seen = {*refused, *(problem.keys[0] for problem in wrong)}
        return None, [*wrong, *_type_problems(model, error, seen, whole)]
    return (None if wrong else value), wrong


def _no_boolean(model: type[BaseModel], keys: Keys, value: bool) -> Problem | None:
    where, schema = schema_at(model, keys)
    if where != keys or "boolean" in str(schema.get("type", "boolean")):
        return None
    return Problem((keys,), f"must be {allowed(schema)}; got {kind(value)}")


def _type_problems(model: type[BaseModel], error: ValidationError, seen: set[Keys], whole: bool) -> Iterator[Problem]:
    for detail in error.errors(include_url=False, include_context=False):
        location: Keys = tuple(detail["loc"])
        if location[-1:] == ("[key]",):
            keys = (*schema_at(model, location[:-2])[0], location[-2])
            message = "this cannot be a key; a key is some text without { and }"
        elif detail["type"] == "extra_forbidden":
            keys, message = (*schema_at(model, location[:-1])[0], location[-1]), _unknown(model, location)
        elif detail["type"] == "union_tag_not_found":
            keys, schema = schema_at(model, (*location, CLASS))
            message = f"is missing; {allowed(schema)} is required"
            if not whole:
                continue
        elif detail["type"] == "union_tag_invalid":
            keys, schema = schema_at(model, (*location, CLASS))
            name = detail["input"].get(CLASS)
            message = f"must be {allowed(schema)}; got {kind(name)}{_hint(schema, name)}"
        elif detail["type"] == "missing":
            keys, schema = schema_at(model, location)
            message = f"is missing; {allowed(schema)} is required. {schema.get('description', '')}".rstrip()
            if not whole:
                continue
        elif detail["type"] == "value_error":  # raised by a validator of our own
            keys, message = schema_at(model, location)[0], detail["msg"].removeprefix("Value error, ")
        else:
            keys, schema = schema_at(model, location)  # a location may end in the name of a type of a union
            message = f"must be {allowed(schema)}; got {_shown(detail['input'])}{_hint(schema, detail['input'])}"
        if keys not in seen:
            seen.add(keys)
            yield Problem((keys,), message)


def _unknown(model: type[BaseModel], keys: Keys) -> str:
    key = str(keys[-1])
    schema = schema_at(model, keys[:-1])[1]
    properties = {
        key: inner for choice in schema.get("anyOf", [schema]) for key, inner in choice.get("properties", {}).items()
    }
    hint = nearest(key, properties)
    elsewhere = [dotted(keys) for keys in _all_keys(json_schema(model), ()) if keys[-1] == key]
    if not hint and elsewhere:
        hint = f"; did you mean '{elsewhere[0]}'?"
    return f"unknown key; allowed here: {', '.join(properties)}{hint}"


def _shown(value: Any) -> str:
    if not isinstance(value, list):
        return kind(value)
    what = "number" if value and all(type(item) in (int, float) for item in value) else "value"
    return f"a list of {len(value)} {what}{'' if len(value) == 1 else 's'}" if value else "an empty list"


def _hint(schema: dict[str, Any], value: Any) -> str:
    if isinstance(value, bool | int | float) and any("pattern" in choice for choice in schema.get("anyOf", [schema])):
        return "; in a file, write it in quotes"
    otherwise = f"; {schema[OTHERWISE]}" if OTHERWISE in schema else ""
    if not isinstance(value, str):
        return otherwise if isinstance(value, list) else ""
    if schema.get("type") == "boolean" and value.lower() in YAML_1_1_BOOLEANS:
        return f"; did you mean '{YAML_1_1_BOOLEANS[value.lower()]}'?"
    schemas = schema.get("anyOf", [schema])
    choices = [choice for inner in schemas for choice in (*inner.get("enum", []), inner.get("const"))]
    return otherwise + nearest(value, [choice for choice in choices if isinstance(choice, str)])


def _all_keys(schema: dict[str, Any], above: Keys) -> Iterator[Keys]:
    for key, inner in schema.get("properties", {}).items():
        yield (*above, key)
        yield from _all_keys(inner, (*above, key))


def _leaves(value: Any, above: Keys) -> Iterator[tuple[Keys, Any]]:
    if not isinstance(value, dict | list):
        yield above, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(inner, (*above, key))


def _without(data: dict[str, Any], bad: list[Keys]) -> dict[str, Any]:
    """Return a copy of `data` without the values at `bad`."""
    if not bad:
        return data
    kept = copy.deepcopy(data)
    for keys in map(_left_out, bad):
        inner: Any = kept
        for key in keys[:-1]:
            above, inner = inner, _at(inner, key)
            if not isinstance(inner, dict | list):
                inner = above
                break
        else:
            key = keys[-1]
        if isinstance(inner, dict):
            inner.pop(key, None)
    return kept


def _at(value: dict[str | int, Any] | list[Any], key: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    return value[key] if isinstance(key, int) and key < len(value) else None


def _left_out(bad: Keys) -> Keys:
    """Return the keys of what is left out because of a bad value: for an item of a list, the whole list."""
    length = max((number for number, key in enumerate(bad, 1) if isinstance(key, str)), default=0)
    return bad[:length]


def _concerns(problem: Problem, bad: list[Keys]) -> bool:
    """Return whether a problem involves a value that was left out."""
    return any(keys[: len(left_out)] == left_out for keys in problem.keys for left_out in map(_left_out, bad))
