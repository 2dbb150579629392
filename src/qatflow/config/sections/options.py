"""A section of the configuration as one command-line option: `--device '{"threads": [1, 2]}'`, and back.

Every program that takes a section imports this module, so it is an input of their jobs. It therefore imports neither
the YAML reader, nor the checks, nor the texts of messages. `qatflow.config.explain`, a program of its own, writes the
message for a wrong value.
"""

import argparse
import contextlib
import json
import shutil
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from qatflow.base.modules import run_module
from qatflow.config.sections.base import Section, resolved


def add_section(
    parser: argparse.ArgumentParser,
    name: str,
    section: type[Section],
    only: Collection[str] | None = None,
    leave_out: Collection[str] = (),
) -> None:
    """Add the option `--name` for a section; the parsed argument is the typed section.

    Args:
        parser: gets the option; its help lists all keys with their meaning and default.
        name: of the option; `-` becomes `_` in the parsed argument's name.
        section: type of the section. Keys that are not given have their defaults.
        only: keys that the option takes; None: all.
        leave_out: keys that the option does not take.
    """
    keys = [key for key in section.model_fields if key not in leave_out and (only is None or key in only)]
    listed = "\n".join(_listed(section, keys, ""))
    group = parser.add_argument_group(
        name, f"{(section.__doc__ or '').partition(chr(10))[0]} Keys of --{name}:\n{listed}"
    )
    group.add_argument(
        f"--{name}",
        action=SectionOption,
        section=section,
        keys=keys,
        default=section(),
        help="a mapping; of several, later ones override earlier ones",
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


class SectionOption(argparse.Action):
    """The action of an option that takes a section as JSON, in one part or several."""

    def __init__(
        self,
        option_strings: Sequence[str],
        dest: str,
        section: type[Section],
        keys: Collection[str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(option_strings, dest, nargs="+", metavar="JSON", **more)
        self._section, self._keys = section, section.model_fields if keys is None else keys

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, parts: Any, option: str | None = None
    ) -> None:
        """Set the typed section that the parts come to together."""
        values: dict[str, Any] = {}
        try:
            for part in parts:
                values = merged(values, json_object(part))
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        if unknown := [key for key in values if key not in self._keys]:
            allowed = ", ".join(self._keys)
            raise argparse.ArgumentError(self, f"{unknown[0]!r}: unknown key; allowed here: {allowed}")
        text = json.dumps(values)
        try:
            typed = self._section.model_validate_json(text)
        except ValidationError as error:
            raise argparse.ArgumentError(self, explained(self._section, text) or str(error)) from None
        if not _same_booleans(values, resolved(typed)):
            raise argparse.ArgumentError(self, explained(self._section, text))
        setattr(namespace, self.dest, typed)


def as_json(section: BaseModel, only: Collection[str] | None = None, leave_out: Collection[str] = ()) -> str:
    """Return the JSON that the option of a section takes, with all its keys or some of them."""
    values = resolved(section).items()
    return text_of({key: one for key, one in values if key not in leave_out and (only is None or key in only)})


def text_of(values: Mapping[str, Any]) -> str:
    """Return plain values as one line of JSON in ASCII, which any locale and any shell passes on."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False)


def json_object(text: str) -> dict[str, Any]:
    """Return the mapping that a text holds as JSON; a `type` for argparse."""
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(text, parse_constant=_no_number)
        if isinstance(value, dict):
            return value
    raise argparse.ArgumentTypeError(f"must be a mapping as JSON; got {text!r}")


def _same_booleans(given: Any, typed: Any) -> bool:
    """Return whether both have booleans in the same places: pydantic's Literal[1] accepts true."""
    if isinstance(given, dict):
        return all(_same_booleans(inner, typed[key]) for key, inner in given.items())
    if isinstance(given, list):
        return all(map(_same_booleans, given, typed))
    return isinstance(given, bool) == isinstance(typed, bool)


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` overridden by `over`: mappings within them are merged too, all else is replaced."""
    values = dict(base)
    for key, value in over.items():
        old = values.get(key)
        values[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return values


def explained(section: type[Section], text: str) -> str:
    """Return what is wrong with values of a section, in the words that a configuration is refused with.

    Args:
        section: type of the section.
        text: the values as JSON.
    """
    answer = run_module("qatflow.config.explain", f"{section.__module__}:{section.__qualname__}", given=text)
    return answer.stdout.strip()


def _listed(section: type[BaseModel], keys: Collection[str], above: str) -> Iterator[str]:
    """Yield the lines of the help for some keys of a section; a section within it has all its keys listed."""
    width = max(40, shutil.get_terminal_size().columns - 2)
    for name, field in section.model_fields.items():
        if name not in keys:
            continue
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _listed(inner, inner.model_fields, f"{above}{name}.")
            continue
        default = field.get_default(call_default_factory=True)
        yield f"  {above}{name} (default: {json.dumps(default, ensure_ascii=False)}{_choices(field)})"
        yield from textwrap.wrap(field.description or "", width, initial_indent="    ", subsequent_indent="    ")


def _choices(field: FieldInfo) -> str:
    """Return the values that a field can have, if it is a choice."""
    kinds = [field.annotation, *get_args(field.annotation)]
    words = [str(word) for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    return f"; one of {', '.join(words)}" if words else ""
