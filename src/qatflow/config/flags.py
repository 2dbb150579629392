"""A section of the configuration as command-line flags: `--learning-rate 0.1`, and back."""

import argparse
import json
import shlex
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from qatflow.config.model import Section

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
            group.add_argument(_flag(name), dest=name, action="append", default=[], help=about)
            continue
        plain: Callable[[str], Any] = _boolean if bool in kinds else str
        plain = json.loads if _is_a(dict, field) else _whole_numbers if _is_a(list, field) else plain
        plain = next((kind for kind in (int, float) if kind in kinds), plain)
        choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
        group.add_argument(
            _flag(name),
            dest=name,
            type=_or_none(plain) if _says_none(field) else plain,
            choices=choices or None,
            default=field.get_default(call_default_factory=True),
            help=f"{_escaped(field)} (default: %(default)s)",
        )


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
