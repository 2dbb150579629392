"""A section of the configuration as command-line flags: `--learning-rate 0.1`, and back."""

import argparse
import contextlib
import json
import math
import shlex
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.fields import FieldInfo

from qatflow.config.schema import allowed, json_schema
from qatflow.config.sections.base import Section

AnySection = TypeVar("AnySection", bound=Section)


def add_flags(
    parser: argparse.ArgumentParser,
    section: type[Section],
    leave_out: tuple[str, ...] = (),
    only: tuple[str, ...] | None = None,
) -> None:
    """Add a flag for each plain value of the section, or some of them, with its description and default.

    A list of numbers has commas: 1,2,4. The flag of a list of texts is repeated for each.
    """
    group = parser.add_argument_group(section.__name__, (section.__doc__ or "").partition("\n")[0])
    for name, field in _plain_fields(section):
        if name in leave_out or (only is not None and name not in only):
            continue
        kinds = _kinds(field)
        if _is_texts(field):
            about = f"{_escaped(field)} (repeat it for each)"
            item = _within(section, name, lambda text: [text])
            group.add_argument(_flag(name), dest=name, type=_first(item), action="append", default=[], help=about)
            continue
        plain: Callable[[str], Any] = _boolean if bool in kinds else str
        plain = json_object if _is_a(dict, field) else _whole_numbers if _is_a(list, field) else plain
        plain = next((kind for kind in (int, float) if kind in kinds), plain)
        choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
        group.add_argument(
            _flag(name),
            dest=name,
            type=_within(section, name, _or_none(plain) if _says_none(field) else plain),
            choices=choices or None,
            default=field.get_default(call_default_factory=True),
            help=f"{_escaped(field)} (default: %(default)s)",
        )


def within(kind: type[int] | type[float], low: float, high: float | None = None) -> Callable[[str], Any]:
    """Return a `type` for argparse's flags that are of no section: a number from `low` to `high`, both included."""
    schema = {"type": "integer" if kind is int else "number", "minimum": low}
    words = allowed(schema if high is None else {**schema, "maximum": high})

    def read(text: str) -> int | float:
        with contextlib.suppress(ValueError):
            value = kind(text)
            if low <= value and (high is None or value <= high) and math.isfinite(value):
                return value
        raise argparse.ArgumentTypeError(f"must be {words}; got {text!r}")

    return read


def json_object(text: str) -> dict[str, Any]:
    """Return the mapping that a flag's text is as JSON, as a `type` for argparse."""
    with contextlib.suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, dict):
            return value
    raise argparse.ArgumentTypeError(f"must be a mapping as JSON; got {text!r}")


def read_flags(arguments: argparse.Namespace, section: type[AnySection]) -> AnySection:
    """Return the section that the parsed flags describe; what has no flag has its default."""
    given = vars(arguments)
    return section.model_validate({name: given[name] for name, _ in _plain_fields(section) if name in given})


def flags(section: Section, leave_out: tuple[str, ...] = (), only: tuple[str, ...] | None = None) -> str:
    """Return the flags, quoted for a shell, that `read_flags` makes the section of, or some of them."""
    fields = {name: field for name, field in _plain_fields(type(section)) if name not in leave_out}
    fields = {name: field for name, field in fields.items() if only is None or name in only}
    return " ".join(
        _with_value(name, value) for name, field in fields.items() for value in _values(field, getattr(section, name))
    )


def _values(field: FieldInfo, value: Any) -> list[str]:
    """Return the values of a field's flag, which is given once for each."""
    if _is_texts(field):
        return list(value)
    if value is None:
        return ["none"] if _says_none(field) else []
    return [_text(value)]


def _with_value(name: str, value: str) -> str:
    separator = "=" if value.startswith("-") else " "  # a value like -x would be read as another flag
    return f"{_flag(name)}{separator}{shlex.quote(value)}"


def _plain_fields(section: type[Section]) -> list[tuple[str, FieldInfo]]:
    return [(name, field) for name, field in section.model_fields.items() if not _is_section(field)]


def _text(value: object) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _escaped(field: FieldInfo) -> str:
    """Return the description as argparse wants it, which formats it."""
    return (field.description or "").replace("%", "%%")


def _is_texts(field: FieldInfo) -> bool:
    if not _is_a(list, field):
        return False
    (item,) = get_args(field.annotation)
    return (get_args(item)[0] if get_origin(item) is Annotated else item) is str


def _is_a(kind: type, field: FieldInfo) -> bool:
    return get_origin(field.annotation) is kind


def _kinds(field: FieldInfo) -> list[object]:
    annotation = field.annotation
    return list(get_args(annotation)) if get_origin(annotation) in (Union, type(int | None)) else [annotation]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _says_none(field: FieldInfo) -> bool:
    """Return whether None must be said, by the text `none`: it is allowed, and the default is something else."""
    return type(None) in _kinds(field) and field.get_default(call_default_factory=True) is not None


def _within(section: type[Section], name: str, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return what reads a flag's text and checks the value by its field; argparse names the flag in the error."""
    field = section.model_fields[name]
    bounded: Any = Annotated[field.annotation, field]
    adapter: TypeAdapter[Any] = TypeAdapter(bounded, config=ConfigDict(strict=True, allow_inf_nan=False))

    def read(text: str) -> Any:
        try:
            return adapter.validate_python(kind(text))
        except ValueError:  # of the text, or a ValidationError
            words = allowed(json_schema(section)["properties"][name])
            raise argparse.ArgumentTypeError(f"must be {words}; got {text!r}") from None

    return read


def _first(of: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: of(text)[0]


def _or_none(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text == "none" else kind(text)


def _boolean(text: str) -> bool:
    if text not in ("True", "False"):
        raise argparse.ArgumentTypeError(f"{text!r}: True or False")
    return text == "True"


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: whole numbers with commas between them") from None
