"""Lists of files with labels: which number each label has, and what cannot be used of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qatflow.data.sources.files import FileSource
from qatflow.data.sources.listing import key_of
from qatflow.data.sources.source import Rejected, Split
from qatflow.errors import UserError


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a list.

    Attributes:
        where: file and line, as `train_list.txt:12`.
        path: of the picture, relative to the list's folder or absolute.
        label: as it is written.
        split: that the picture belongs to.
    """

    where: str
    path: bytes
    label: str
    split: Split


def add_entries(source: FileSource, entries: Callable[[], Iterator[Entry | Rejected]], names: Path) -> None:
    """Read the list twice: first for its labels, then fill the source with its pictures.

    Labels are names, or where all of training are whole numbers they are the numbers of the classes, from 0. The file
    `names` (a class name a line, in the order of their numbers) names the classes if it is there; without it names are
    numbered in their order, and of numbers none may be left out. Entries whose label no class has are rejected.

    Args:
        source: gets its pictures, labels and rejected ones.
        entries: reads the list anew each time.
        names: where the classes may be named.

    Raises:
        UserError: fewer than two classes, or numbers that leave some out.
    """
    first: dict[str, str] = {}
    for entry in entries():
        if isinstance(entry, Entry) and entry.split == "train":
            first.setdefault(entry.label, entry.where)
    named = _named(names)
    numbered = all(label.isdecimal() for label in first)
    if len(first) < 2:
        raise UserError(f"data.path: the list of training pictures has {len(first)} classes: at least two are needed")
    if named is None and numbered:
        named = _all_numbers(first, names)
    source.labels = named or tuple(sorted(first))
    numbers = {name: number for number, name in enumerate(source.labels)}
    known = f"{names.name} does not name it" if named is not None else "no training picture has it"
    for entry in entries():
        if isinstance(entry, Rejected):
            source.rejected.append(entry)
            continue
        number = int(entry.label) if numbered and entry.label.isdecimal() else numbers.get(entry.label, -1)
        if numbered and entry.label.isdecimal() and number >= len(source.labels):
            reason = f"its label {entry.label} is out of range: there are {len(source.labels)} classes, from 0"
            source.rejected.append(Rejected(_key(entry), reason))
        elif number < 0:
            source.rejected.append(Rejected(_key(entry), f"its label {entry.label!r} is none of the classes: {known}"))
        else:
            source.pictures.add(entry.path, number, entry.split)


def _key(entry: Entry) -> str:
    return f"{entry.where}: {key_of(entry.path)}"


def _named(names: Path) -> tuple[str, ...] | None:
    """Return the class names, a line each; None where there is no such file."""
    try:
        lines = names.read_text("utf-8-sig").split("\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"data.path: {names} cannot be read ({error}): it must be UTF-8, a class name a line") from error
    lines = [line.strip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    twice = next((name for i, name in enumerate(lines) if not name or name in lines[:i]), None)
    if twice is not None:
        raise UserError(f"data.path: {names}:{len(lines) - lines[::-1].index(twice)}: the class name {twice!r} is empty or used twice")
    return tuple(lines)


def _all_numbers(first: dict[str, str], names: Path) -> tuple[str, ...]:
    found = {int(label): where for label, where in first.items()}
    largest = max(found)
    if len(found) != largest + 1:
        missing = next(number for number in range(largest) if number not in found)
        raise UserError(
            f"data.path: {found[largest]}: the label {largest}, but no training picture has the label {missing}: mend it, "
            f"or name all classes in {names}, a name a line, from number 0 on"
        )
    return tuple(str(number) for number in range(largest + 1))
