"""The JSON Schema of a typed section, the part of it that a key leads to, and in words what it allows."""

import functools
import json
from typing import Any

from pydantic import BaseModel

from qatflow.base.generated import DIALECT
from qatflow.config.recipe.widths import MAPPING, NUMBER
from qatflow.config.yaml.keys import Keys

PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$": "a name of letters, digits, - and _",
    r"^[^{}\x00-\x1f\x7f]+$": "some text without { and }",
    r"^tfds:[A-Za-z0-9_./:*-]+$": "tfds: and the name of a data set",
    r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$": "a function as package.module:name",
    r"^[0-9a-f]{64}$": "64 hexadecimal digits, in lower case",
}
"""The patterns of texts, in words."""
CLASS = "class"
"""The key that says which of several sections is meant."""


@functools.cache
def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `model` without references: each section is where it is used."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})
    return {"$schema": DIALECT, **_inlined(schema, definitions)}


def schema_at(model: type[BaseModel], keys: Keys) -> tuple[Keys, dict[str, Any]]:
    """Follow `keys` into the schema of `model` as far as possible; return the keys followed, and the schema there.

    pydantic's locations name the class of a section if several classes are allowed, and the form of a value if it has
    several; these are not part of the keys returned.
    """
    schema, where = json_schema(model), []
    for key in keys:
        if key in (NUMBER, MAPPING):
            continue
        choices = schema.get("anyOf", schema.get("oneOf", [schema]))
        named = next((choice for choice in choices if key in _classes(choice)), None)
        if named is not None:
            schema = named
            continue
        inner_schemas = (choice.get("properties", {}).get(key) or _within(choice, key) for choice in choices)
        inner = next(filter(None, inner_schemas), None)
        if "oneOf" in schema and key == CLASS:
            inner = {"enum": [name for choice in choices for name in _classes(choice)]}
        if not isinstance(inner, dict):  # None, or true: anything
            break
        schema = inner
        where.append(key)
    return tuple(where), schema


def _within(schema: dict[str, Any], key: str | int) -> Any:
    """Return the schema of the values of a list, or of a mapping with arbitrary keys."""
    if isinstance(key, int):
        return schema.get("items")
    return schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), None)


def _classes(schema: dict[str, Any]) -> list[str]:
    """Return the class of a section, or nothing if it has none."""
    name = schema.get("properties", {}).get(CLASS, {}).get("const")
    return [] if name is None else [name]


def allowed(schema: dict[str, Any]) -> str:
    """Return what a schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(allowed(choice) for choice in schema["anyOf"]))
    if "oneOf" in schema:
        return f"a mapping with class {' or '.join(name for choice in schema['oneOf'] for name in _classes(choice))}"
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        *most, final = [json.dumps(value, ensure_ascii=False) for value in values]
        return f"{', '.join(most)} or {final}" if most else final
    match schema.get("type"):
        case "integer":
            return "a whole number" + _range(schema)
        case "number":
            return "a number" + _range(schema)
        case "boolean":
            return "true or false"
        case "null":
            return "null"
        case "array":
            return f"a list{_length(schema)}, each item {allowed(schema['items'])}"
        case "object":
            names = list(schema.get("properties", {}))
            return f"a mapping with keys from {', '.join(names)}" if names else "a mapping"
    pattern = schema.get("pattern")
    return PATTERNS.get(pattern, f"text that matches {pattern}") if pattern else "text"


def _length(schema: dict[str, Any]) -> str:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    return f" of {least}" if least == most else " of at least one" if least else ""


def _range(schema: dict[str, Any]) -> str:
    lower = "from" if "minimum" in schema else "above"
    upper = " to" if "minimum" in schema and "maximum" in schema else ", at most" if "maximum" in schema else ", below"
    bounds = (
        (f" {lower}", schema.get("minimum", schema.get("exclusiveMinimum"))),
        (upper, schema.get("maximum", schema.get("exclusiveMaximum"))),
    )
    return "".join(f"{word} {_number(bound)}" for word, bound in bounds if bound is not None)


def _number(value: int | float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(inner, definitions) for inner in node]
    if not isinstance(node, dict):
        return node
    node = dict(node)
    if reference := node.pop("$ref", None):
        node = {**definitions[reference.removeprefix("#/$defs/")], **node}
    return {key: _inlined(inner, definitions) for key, inner in node.items()}
