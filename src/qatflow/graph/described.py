"""Plain JSON values read as a frozen dataclass, whose types and bounds they must match."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from qatflow.graph.operations import Between

T = TypeVar("T")


class DamagedError(ValueError):
    """What is wrong with a stored value, and where."""


def read_as(kind: type[T], value: Any, where: str, every: bool = False) -> T:
    """Return the dataclass that a JSON object describes: exactly its fields, each of its annotated type.

    Integers, booleans and floats are different types, except that an integer is accepted for a float.

    Args:
        kind: the dataclass.
        value: from JSON.
        where: what the value is, for messages.
        every: whether fields with a default are required too.

    Raises:
        DamagedError: the first field that is missing, unknown, of the wrong type or out of bounds.
    """
    if not isinstance(value, dict):
        raise DamagedError(f"{where} is not an object")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name in value:
        if name not in known:
            raise DamagedError(f"{where} has an unknown entry {_shown(name)}")
    hints = get_type_hints(kind, include_extras=True)
    values = {}
    for name, field in known.items():
        if name in value:
            values[name] = _value(hints[name], value[name], f"{where}, {name}" if where else name)
        elif every or (field.default is MISSING and field.default_factory is MISSING):
            raise DamagedError(f"{where} has no entry '{name}'")
    return kind(**values)


def _value(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _bounded(_value(arguments[0], value, where), arguments[1:], where)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise _unlike(where, value, f"one of {', '.join(arguments)}")
        return value
    if origin in (Union, UnionType):
        return None if value is None else _value(next(k for k in arguments if k is not NoneType), value, where)
    if origin is tuple:
        return _sequence(arguments, value, where)
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _unlike(where, value, "an object")
        return {_text(key, where): _value(arguments[1], v, f"{where}, {_shown(key)}") for key, v in value.items()}
    if is_dataclass(kind):
        return read_as(kind, value, where)  # type: ignore[arg-type]
    return _scalar(kind, value, where)


def _sequence(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _unlike(where, value, "a list")
    if kinds[1:] == (...,):
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        raise _unlike(where, value, f"a list of {len(kinds)}")
    return tuple(
        _value(kind, item, f"{where}[{place}]") for place, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _scalar(kind: type, value: Any, where: str) -> Any:
    if kind is str:
        return _text(value, where)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            raise _unlike(where, value, "a number that float64 can hold") from None
        if not math.isfinite(number) or number != value:
            raise _unlike(where, value, "a finite number that float64 can hold")
        return number
    names = {bool: "true or false", int: "a whole number", float: "a number"}
    raise _unlike(where, value, names.get(kind, str(kind)))


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.isprintable() or not value:
        raise _unlike(where, value, "text of printable characters")
    return value


def _bounded(number: Any, bounds: tuple[Any, ...], where: str) -> Any:
    for bound in bounds:
        if isinstance(bound, Between) and not bound.low <= number <= bound.high:
            raise _unlike(where, number, f"a number from {bound.low:g} to {bound.high:g}")
    return number


def _unlike(where: str, value: Any, wanted: str) -> DamagedError:
    return DamagedError(f"{where} is {_shown(value)}, but must be {wanted}")


def _shown(value: Any) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}…"
