"""A strict YAML reader that remembers the line of each key, and goes on after what it refuses.

Only what a configuration needs is accepted: one document of mappings, lists and scalars. Duplicate keys, anchors,
aliases, tags, tabs, bytes that are not UTF-8, deep nesting and large files are refused. Scalars are those of YAML 1.2
(core schema): `1e-3` is a number, `yes` and `60_000` are text.
"""

import bisect
import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from qatflow.config.yaml.keys import Keys, all_ways, dotted
from qatflow.config.yaml.scalars import kind, plain_scalar
from qatflow.config.yaml.text_file import REPLACED, read_text

MAX_DEPTH = 20
MAX_KEYS = 20_000
MAX_TABS = 20
TAB = "a tab character; indent and separate with spaces"
_INDENTED = re.compile(r"\s*\t")
_HALF = re.compile("[\ud800-\udfff]")
_KEY = re.compile(r"""(\s*)(?:-\s+)?(["']?)([\w.-]+)\2\s*:(?:\s|$)""")


class Unknown(enum.Enum):
    """Stands for a value that was refused, so that nothing more is said of it."""

    VALUE = enum.auto()


@dataclass(frozen=True, order=True)
class Mistake:
    """What the reader refuses: the line, counted from 1, and what is wrong there, with the key."""

    line: int
    text: str


@dataclass(frozen=True)
class YamlFile:
    """What a YAML file holds, and where.

    Attributes:
        path: the file.
        data: its mapping; `Unknown.VALUE` for what was refused.
        lines: line of each key and list item, counted from 1.
        mistakes: what was refused.
        whole: whether it was read to its end.
    """

    path: Path
    data: dict[str, Any]
    lines: Mapping[Keys, int]
    mistakes: tuple[Mistake, ...] = ()
    whole: bool = True


def read_yaml(path: Path) -> YamlFile:
    """Read the YAML file at `path`; what is wrong within it is in `mistakes`.

    Raises:
        UserError: there is no such file, it cannot be read, or is too large.
    """
    text = read_text(path)
    content, tabs, whole = text.content, list[int](), False
    loose = list(text.problems)
    while True:
        reader = _Reader(content, damaged=bool(text.problems))
        try:
            reader.document()
            whole = True
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            if mark is None or r"'\t'" not in str(error.problem):
                loose.append(_syntax(error))
            else:
                tabs.append(mark.line + 1)
                before, after = content[: mark.index], content[mark.index :].lstrip("\t")
                if before.rpartition("\n")[2].strip() and len(tabs) < MAX_TABS:
                    content = f"{before} {after}"
                    continue
                # what it indents cannot be known
                tabs += [number for number, line in enumerate(content.split("\n"), 1) if _INDENTED.match(line)]
        except _RefusedError as error:
            if reader.lines or not text.problems:  # else the text is hardly YAML at all
                loose.append((error.line, str(error)))
        break
    loose += [(line, TAB) for line in sorted(set(tabs))[:MAX_TABS]]
    keys = KeyLines(content)
    named = [(line, f"{key}: {what}" if (key := keys.dotted(line)) else what) for line, what in loose]
    mistakes = sorted([*reader.mistakes, *(Mistake(line, what) for line, what in named)])
    return YamlFile(path, reader.data, reader.lines, tuple(mistakes), whole)


def no_key(text: str) -> str:
    """Return why `text` cannot be a key, or nothing."""
    half = _HALF.search(text)  # as "\\ud800" in quotes gives it
    return f"a key cannot have {half[0]!r}, which is half of a character; remove it" if half else ""


class _RefusedError(Exception):
    """Something after which reading cannot go on."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


class _Reader:
    """Builds plain values from PyYAML's events; what was read before an error stays in `data`."""

    def __init__(self, text: str, damaged: bool) -> None:
        self.text = text
        self.damaged = damaged
        self.data: dict[str, Any] = {}
        self.lines: dict[Keys, int] = {}
        self.mistakes: list[Mistake] = []
        self.read = -1  # the outermost mapping is no value

    def document(self) -> None:
        """Read the mapping of the only document into `data`."""
        events = yaml.parse(self.text, Loader=yaml.SafeLoader)
        next(events)  # the start of the stream
        if isinstance(next(events), yaml.StreamEndEvent):
            raise _RefusedError(1, "no keys: the file is empty or all comments")
        first = next(events)
        if not isinstance(first, yaml.MappingStartEvent):
            what = kind([] if isinstance(first, yaml.SequenceStartEvent) else getattr(first, "value", None))
            raise _RefusedError(_line(first), f"must hold keys with values (`key: value`), not {what}")
        self._check(first, ())
        self._mapping(events, (), self.data)
        next(events)  # the end of the document
        following = next(events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise _RefusedError(_line(following), "a second document (`---`); a file holds one")

    def _refuse(self, line: int, keys: Keys, what: str) -> None:
        self.mistakes.append(Mistake(line, f"{dotted(keys)}: {what}" if keys else what))

    def _check(self, event: yaml.Event, keys: Keys) -> bool:
        """Refuse anchors, aliases and tags; return whether the value is known."""
        line = _line(event)
        if len(keys) > MAX_DEPTH:
            raise _RefusedError(line, f"nested more than {MAX_DEPTH} levels deep")
        self.read += 1
        if self.read > MAX_KEYS:
            raise _RefusedError(line, f"more than {MAX_KEYS:,} keys; this is no configuration file")
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

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], keys: Keys, place: Any, key: str | int) -> None:
        """Read a value into `place[key]`; a mapping is there before its contents are, a list when it is whole."""
        known = self._check(event, keys)
        if isinstance(event, yaml.MappingStartEvent):
            place[key] = {}
            self._mapping(events, keys, place[key])
        elif isinstance(event, yaml.SequenceStartEvent):
            place[key] = Unknown.VALUE
            place[key] = self._sequence(events, keys)
        else:
            place[key] = self._scalar(event, keys) if known else Unknown.VALUE

    def _scalar(self, event: yaml.Event, keys: Keys) -> Any:
        assert isinstance(event, yaml.ScalarEvent)
        if self.damaged and REPLACED in event.value:
            return Unknown.VALUE
        if not event.implicit[0] or event.style is not None:  # quoted, or a block
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
                for way in all_ways(values.get(event.value)):
                    self.lines.pop((*inner, *way), None)
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
    """Return the line of a mistake and what it is; of what has no end, the line on which it begins."""
    marks = [mark for mark in (error.context_mark, error.problem_mark) if mark]
    if "block" in str(error.context):  # it begins far above
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
