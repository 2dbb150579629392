"""A strict YAML reader that remembers the line of each key.

Only what a configuration needs is accepted: one document of mappings, lists and scalars. Duplicate keys, anchors,
aliases, tags, tabs, bytes that are not UTF-8, deep nesting and large files are refused. Scalars are those of YAML 1.2
(core schema): `1e-3` is a number, `yes` and `60_000` are text.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from qatflow.errors import UserError

Keys = tuple[str | int, ...]
"""The way to a value: keys of mappings and indices of lists."""

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
MAX_KEYS = 2000
MAX_DIGITS = 18  # whole numbers of more digits do not fit 64 bits

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")  # no leading zeros: YAML 1.1 reads 010 as 8
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")


@dataclass(frozen=True)
class YamlFile:
    """What a YAML file holds, and where.

    Attributes:
        path: the file.
        data: its mapping.
        lines: line of each key and list item, counted from 1.
    """

    path: Path
    data: dict[str, Any]
    lines: Mapping[Keys, int]


def shown(path: Path) -> str:
    """Return `path` as messages name it: relative where it lies within the working directory."""
    absolute = Path.cwd() / path
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(path)


def plain_scalar(text: str) -> Any:
    """Return the value of an unquoted scalar: None, bool, int, float or the text itself.

    Raises:
        ValueError: a number beyond 64 bits.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        if len(text.lstrip("+-")) > MAX_DIGITS:
            raise ValueError(f"the number {text[:MAX_DIGITS]}… is too large")
        return int(text)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"the number {text[:MAX_DIGITS]} is too large")
        return value
    return text


def read_yaml(path: Path) -> YamlFile:
    """Read the YAML file at `path`.

    Raises:
        UserError: it cannot be read or is not the YAML described above; one line a problem, `file:line: what`.
    """
    text = _text(path)
    reader = _Reader(text)
    try:
        data = reader.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = error.problem or "not valid YAML"
        if r"'\t'" in problem:
            problem = "a tab character; indent and separate with spaces"
        raise UserError(f"{shown(path)}:{line}: not valid YAML: {problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{shown(path)}:{line}: the control character {error.character:#04x} is not allowed") from None
    except _RefusedError as error:
        reader.problems.append((error.line, str(error)))
    if reader.problems:
        raise UserError("\n".join(f"{shown(path)}:{line}: {problem}" for line, problem in reader.problems))
    return YamlFile(path, data, reader.lines)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{shown(path)}: larger than {MAX_BYTES:,} bytes; this is no configuration file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{shown(path)}:{line}: the byte {content[error.start]:#04x} is not UTF-8; save the file as UTF-8"
        ) from None


class _RefusedError(Exception):
    """Something after which reading cannot go on."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


class _Reader:
    """Builds plain values from PyYAML's events."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines: dict[Keys, int] = {}
        self.problems: list[tuple[int, str]] = []

    def document(self) -> dict[str, Any]:
        """Return the mapping of the only document."""
        events = yaml.parse(self.text, Loader=yaml.SafeLoader)
        next(events)  # the start of the stream
        if isinstance(next(events), yaml.StreamEndEvent):
            raise _RefusedError(1, "no keys: the file is empty or all comments")
        first = next(events)
        line = _line(first)
        data = self._value(first, events, ())
        if not isinstance(data, dict):
            raise _RefusedError(line, f"must hold keys with values (`key: value`), not {kind(data)}")
        next(events)  # the end of the document
        following = next(events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise _RefusedError(_line(following), "a second document (`---`); a file holds one")
        return data

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], keys: Keys) -> Any:
        line = _line(event)
        if len(keys) > MAX_DEPTH:
            raise _RefusedError(line, f"nested more than {MAX_DEPTH} levels deep")
        if len(self.lines) > MAX_KEYS:
            raise _RefusedError(line, f"more than {MAX_KEYS} keys; this is no configuration file")
        if isinstance(event, yaml.AliasEvent):
            self.problems.append((line, f"the alias *{event.anchor}; write the value out"))
            return None
        assert isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent)
        if event.anchor is not None:
            self.problems.append((line, f"the anchor &{event.anchor}; write values out where they are used"))
        if event.tag is not None and event.tag != "!":
            self.problems.append((line, f"the tag {event.tag}; tags are not supported"))
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, keys)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, keys)
        assert isinstance(event, yaml.ScalarEvent)
        if not event.implicit[0] or event.style is not None:  # quoted, or a block
            return event.value
        try:
            return plain_scalar(event.value)
        except ValueError as error:
            self.problems.append((line, str(error)))
            return None

    def _mapping(self, events: Iterator[yaml.Event], keys: Keys) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise _RefusedError(line, "a key that is a list, a mapping or an alias; keys are plain words")
            if event.anchor is not None:
                self.problems.append((line, f"the anchor &{event.anchor}; write values out where they are used"))
            inner = (*keys, event.value)
            if inner in self.lines:
                dotted = ".".join(map(str, inner))
                self.problems.append((line, f"{dotted}: duplicate key; line {self.lines[inner]} has it already"))
            self.lines.setdefault(inner, line)
            values[event.value] = self._value(next(events), events, inner)
        return values

    def _sequence(self, events: Iterator[yaml.Event], keys: Keys) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            inner = (*keys, len(values))
            self.lines[inner] = _line(event)
            values.append(self._value(event, events, inner))
        return values


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def kind(value: Any) -> str:
    """Return `value` as a message shows it."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"the text {value if len(value) <= 60 else value[:60] + '…'!r}"
    return f"{value!r}"
