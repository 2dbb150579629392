"""What is wrong with a value of a configuration, and how a message says it."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from qatflow.base.errors import UserError
from qatflow.config.yaml.keys import Keys, dotted
from qatflow.config.yaml.merge import Merged, Report

MAX_SHOWN = 50
MAX_LINE = 1000


@dataclass(frozen=True)
class Problem:
    """Something wrong with the value at `keys[0]`, together with the values at the other keys.

    Attributes:
        keys: the keys whose values are involved; the message names the first (see `Merged.location`).
        message: what is wrong and what is allowed.
    """

    keys: tuple[Keys, ...]
    message: str

    def __str__(self) -> str:
        key, *others = map(dotted, self.keys)
        unnamed = [other for other in others if other not in self.message]
        return f"{key}: {self.message}" + (f" (with {', '.join(unnamed)})" if unnamed else "")


def problem(message: str, *dotted_keys: str) -> Problem:
    """Return a `Problem` of keys that are written with dots."""
    return Problem(tuple(tuple(keys.split(".")) for keys in dotted_keys), message)


def report(merged: Merged, problem: Problem) -> Report:
    """Return the line that reports a problem, with the location where its value is written."""
    return Report(merged.location(*problem.keys), str(problem))


def closest(word: str, words: Iterable[str]) -> str | None:
    """Return the word of `words` that is most like `word`; None if none is similar."""
    lowered = {candidate.lower(): candidate for candidate in words}
    matches = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return lowered[matches[0]] if matches else None


def nearest(word: str, words: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` with the closest of `words`, or an empty text if none is similar."""
    match = closest(word, words)
    return "" if match is None else f"; did you mean '{match}'?"


def refusal(subject: str, reports: list[Report] | list[str]) -> UserError:
    """Return the error that lists all problems of `subject`, one per line."""
    count = "1 problem" if len(reports) == 1 else f"{len(reports)} problems"
    lines = [f"{subject} has {count}:", *(_line(str(line)) for line in reports[:MAX_SHOWN])]
    if len(reports) > MAX_SHOWN:
        lines.append(f"… and {len(reports) - MAX_SHOWN} more")
    return UserError("\n".join(lines))


def _line(text: str) -> str:
    """Return `text` as one line of limited length, whatever characters a key or a value has."""
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[: MAX_LINE + 1])
    return text if len(text) <= MAX_LINE else text[:MAX_LINE] + "…"
