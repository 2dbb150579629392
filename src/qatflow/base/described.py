"""JSON Schemas of frozen dataclasses, each field described by `Attributes:` in the docstring of its class."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter

ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def described_schema(cls: type) -> dict[str, Any]:
    """Return the schema of what `asdict` makes of a class: every field is required, and no other is allowed."""
    schema: dict[str, Any] = TypeAdapter(cls).json_schema(mode="serialization")
    classes = {one.__name__: one for one in dataclasses_of(cls)}
    for name, node in {**schema.get("$defs", {}), cls.__name__: schema}.items():
        described = descriptions(classes[name])
        node["additionalProperties"] = False
        node["required"] = list(node["properties"])
        for field, inner in node["properties"].items():
            inner.pop("title", None)
            inner.pop("default", None)
            inner["description"] = described[field]
        node["description"] = (classes[name].__doc__ or "").partition("\n")[0]
    return schema


def descriptions(cls: type) -> Mapping[str, str]:
    """Return the description of each field; a class without `Attributes:` describes all in its first lines."""
    _, found, listed = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    if not found:
        return {field.name: " ".join(inspect.cleandoc(cls.__doc__ or "").split()) for field in fields(cls)}
    return {name: " ".join(text.split()) for name, text in ATTRIBUTE.findall(listed)}


def dataclasses_of(cls: type) -> Iterator[type]:
    """Yield a dataclass and those that its fields hold, at any depth."""
    waiting, known = [cls], set()
    while waiting:
        one = waiting.pop()
        if one in known or not is_dataclass(one):
            continue
        known.add(one)
        yield one
        waiting += [inner for hint in get_type_hints(one).values() for inner in _types(hint)]


def _types(hint: Any) -> Iterator[type]:
    if isinstance(hint, type):
        yield hint
    for inner in get_args(hint):
        yield from _types(inner)
