"""A strict YAML reader that remembers the line of each key and continues after a mistake.

It accepts only what a configuration needs: one document of mappings, lists and scalars. It refuses duplicate keys,
anchors, aliases, tags, tabs, bytes that are not UTF-8, deep nesting and large files. Scalars follow YAML 1.2 (core
schema): `1e-3` is a number, `yes` and `60_000` are text.
"""

import bisect
import copy
import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from qatflow.config.yaml.keys import Keys, all_keys, dotted
from qatflow.config.yaml.scalars import kind, plain_scalar
from qatflow.config.yaml.text_file import REPLACED, read_text

MAX_DEPTH = 20
MAX_KEYS = 20_000
MAX_TABS = 20
TAB = "a tab character; indent and separate with spaces"
_INDENTED = re.compile(r"\s*\t")
_SURROGATE = re.compile("[\ud800-\udfff]")
_KEY = re.compile(r"""(\s*)(?:-\s+)?(["']?)([\w.-]+)\2\s*:(?:\s|$)""")


class Unknown(enum.Enum):
    """In place of a value that was refused, so that it is reported only once."""

    VALUE = enum.auto()


@dataclass(frozen=True, order=True)
class Mistake:
    """What the reader refuses: the line, counted from 1, and what is wrong there, with the key if it is known."""

    line: int
    text: str


@dataclass(frozen=True)
class YamlFile:
    """The values of a YAML file, and the lines they are written on.

    Attributes:
        path: the file.
        data: its mapping, with `Unknown.VALUE` in place of refused values.
        lines: the line of each key and list item, counted from 1.
        mistakes: what was refused.
        whole: whether it was read to its end.
    """

    path: Path
    data: dict[str, Any]
    lines: Mapping[Keys, int]
    mistakes: tuple[Mistake, ...] = ()
    whole: bool = True


def read_yaml(path: Path) -> YamlFile:
    """Read the YAML file at `path`; `mistakes` lists what is wrong in it.

    Raises:
        UserError: the file does not exist, cannot be read, or is too large.
    """
    text = read_text(path)
    found = _read(text.content, text.problems)
    return replace(found, path=path, data=copy.deepcopy(found.data), lines=dict(found.lines))


@lru_cache(maxsize=32)
def _read(content: str, problems: tuple[tuple[int, str], ...]) -> YamlFile:
    """Read a text, once: a run reads its files before Snakemake and in the Snakefile, and parsing them takes a while.

    Args:
        content: the text.
        problems: its lines that are not UTF-8, and what is wrong there.

    Returns:
        The file, without its path.
    """
    tabs, whole = list[int](), False
    without_key = list(problems)
    while True:
        reader = _Reader(content, damaged=bool(problems))
        try:
            reader.document()
            whole = True
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            if mark is None or r"'\t'" not in str(error.problem):
                without_key.append(_syntax(error))
            else:
                tabs.append(mark.line + 1)
                before, after = content[: mark.index], content[mark.index :].lstrip("\t")
                if before.rpartition("\n")[2].strip() and len(tabs) < MAX_TABS:
                    content = f"{before} {after}"
                    continue
                # the structure behind a tab that indents is unknown: stop here, and report all such tabs
                tabs += [number for number, line in enumerate(content.split("\n"), 1) if _INDENTED.match(line)]
        except _RefusedError as error:
            if reader.lines or not problems:  # otherwise it is hardly YAML: the bytes are reported
                without_key.append((error.line, str(error)))
        break
    without_key += [(line, TAB) for line in sorted(set(tabs))[:MAX_TABS]]
    keys = KeyLines(content)
    mistakes = [Mistake(line, f"{key}: {text}" if (key := keys.dotted(line)) else text) for line, text in without_key]
    mistakes = sorted([*reader.mistakes, *mistakes])
    return YamlFile(Path(), reader.data, reader.lines, tuple(mistakes), whole)


def no_key(text: str) -> str:
    """Return why `text` cannot be a key, or an empty text."""
    surrogate = _SURROGATE.search(text)  # from "\\ud800" in quotes
    return f"a key cannot have {surrogate[0]!r}, which is half of a character; remove it" if surrogate else ""


class _RefusedError(Exception):
    """A mistake after which reading cannot continue."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Reader:
    """Builds plain values from PyYAML's events. What it read before an error stays in `data`."""

    def __init__(self, text: str, damaged: bool) -> None:
        self.text = text
        self.damaged = damaged
        self.data: dict[str, Any] = {}
        self.lines: dict[Keys, int] = {}
        self.mistakes: list[Mistake] = []
        self.values_read = -1  # the outermost mapping does not count

    def document(self) -> None:
        """Read the mapping of the only document into `data`."""
        events = yaml.parse(self.text, Loader=yaml.SafeLoader)
        next(events)  # the start of the stream
        if isinstance(next(events), yaml.StreamEndEvent):
            raise _RefusedError(1, "no keys: the file is empty or all comments")
        first = next(events)
        if not isinstance(first, yaml.MappingStartEvent):
            content = kind([] if isinstance(first, yaml.SequenceStartEvent) else getattr(first, "value", None))
            raise _RefusedError(_line(first), f"must hold keys with values (`key: value`), not {content}")
        self._check(first, ())
        self._mapping(events, (), self.data)
        next(events)  # the end of the document
        following = next(events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise _RefusedError(_line(following), "a second document (`---`); a file holds only one")

    def _refuse(self, line: int, keys: Keys, reason: str) -> None:
        self.mistakes.append(Mistake(line, f"{dotted(keys)}: {reason}" if keys else reason))

    def _check(self, event: yaml.Event, keys: Keys) -> bool:
        """Refuse anchors, aliases and tags; return whether the value can be used."""
        line = _line(event)
        if len(keys) > MAX_DEPTH:
            raise _RefusedError(line, f"nested more than {MAX_DEPTH} levels deep")
        self.values_read += 1
        if self.values_read > MAX_KEYS:
            raise _RefusedError(line, f"more than {MAX_KEYS:,} keys; this is not a configuration file")
        if isinstance(event, yaml.AliasEvent):
            self._refuse(line, keys, f"the alias *{event.anchor}; write the value out")
            return False
        assert isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent)
        if event.anchor is not None:
            self._refuse(line, keys, f"the anchor &{event.anchor}; write values out where they are used")
        if event.tag is not None and event.tag != "!":
            self._refuse(line, keys, f"the tag {event.tag}; tags are not supported")
            return isinstance(event, yaml.CollectionStartEvent)
        return True

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], keys: Keys, parent: Any, key: str | int) -> None:
        """Read a value into `parent[key]`: a mapping while it is being read, a list only when it is complete."""
        usable = self._check(event, keys)
        if isinstance(event, yaml.MappingStartEvent):
            parent[key] = {}
            self._mapping(events, keys, parent[key])
        elif isinstance(event, yaml.SequenceStartEvent):
            parent[key] = Unknown.VALUE
            parent[key] = self._sequence(events, keys)
        else:
            parent[key] = self._scalar(event, keys) if usable else Unknown.VALUE

    def _scalar(self, event: yaml.Event, keys: Keys) -> Any:
        assert isinstance(event, yaml.ScalarEvent)
        if self.damaged and REPLACED in event.value:
            return Unknown.VALUE
        if not event.implicit[0] or event.style is not None:  # quoted, or a block scalar
            return event.value
        try:
            return plain_scalar(event.value)
        except ValueError as error:
            self._refuse(_line(event), keys, str(error))
            return Unknown.VALUE

    def _mapping(self, events: Iterator[yaml.Event], keys: Keys, values: dict[str, Any]) -> None:
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise _RefusedError(line, "a key that is a list, a mapping or an alias; keys are plain words")
            inner = (*keys, event.value)
            if event.anchor is not None:
                self._refuse(line, inner, f"the anchor &{event.anchor}; write values out where they are used")
            reason = no_key(event.value)
            if reason:
                self._refuse(line, inner, reason)
            if inner in self.lines:
                self._refuse(line, inner, f"duplicate key; line {self.lines[inner]} has it already")
                for below in all_keys(values.get(event.value)):
                    self.lines.pop((*inner, *below), None)
            self.lines[inner] = line
            self._value(next(events), events, inner, values, event.value)
            if reason or (self.damaged and REPLACED in event.value):
                del values[event.value]

    def _sequence(self, events: Iterator[yaml.Event], keys: Keys) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            inner = (*keys, len(values))
            self.lines[inner] = _line(event)
            values.append(Unknown.VALUE)
            self._value(event, events, inner, values, len(values) - 1)
        return values


def _syntax(error: yaml.MarkedYAMLError) -> tuple[int, str]:
    """Return the line of a syntax error, or where what does not end begins, and the message."""
    marks = [mark for mark in (error.context_mark, error.problem_mark) if mark]
    if "block" in str(error.context):  # a block may begin far above the error
        marks.reverse()
    lines = [mark.line + 1 for mark in marks] or [1]
    end = f" on line {lines[-1]}" if lines[-1] > lines[0] else ""
    return lines[0], f"not valid YAML: {error.problem or 'cannot be read'}{end}"


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


class KeyLines:
    """Which key a line belongs to, by its indentation alone: for a text that the parser could not read to its end."""

    def __init__(self, text: str) -> None:
        matches = ((number, _KEY.match(line)) for number, line in enumerate(text.split("\n"), 1))
        self._keys = [(number, len(match[1]), match[3]) for number, match in matches if match]

    def dotted(self, line: int) -> str:
        """Return the key on the line, or the last one above it, behind the keys that it is nested in."""
        names: list[str] = []
        least: int | None = None
        end = bisect.bisect_right(self._keys, line, key=lambda numbered: numbered[0])
        for _, indent, key in reversed(self._keys[:end]):
            if least is None or indent < least:
                names.insert(0, key)
                least = indent
            if least == 0:
                break
        return ".".join(names)
