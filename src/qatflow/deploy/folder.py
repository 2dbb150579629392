"""Puts the packaged workflow into a folder, and never writes over what the user has changed there."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from qatflow.base.deployed import RECORD, Deployed, read_record
from qatflow.base.errors import UserError
from qatflow.base.files import sha256, whole_file, write_json

SHOWN = 8
"""Names of files in a message."""


@dataclass(frozen=True)
class Change:
    """What another version means for a folder; all are paths of files in it, sorted.

    Attributes:
        write: files to add, or to replace, which are as they were put there.
        remove: files that the other version does not have, and that are as they were put there.
        keep: files that the user has changed, and the other version has not.
        clash: files that both have changed, or that the user has in the place of a new one.
    """

    write: tuple[str, ...]
    remove: tuple[str, ...]
    keep: tuple[str, ...]
    clash: tuple[str, ...]


def packaged_files(source: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder, by its path there."""
    paths = sorted(path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(source).as_posix(): sha256(path) for path in paths}


def deploy(
    source: Path, folder: Path, version: str, update: bool = False, log: Callable[[str], object] = print
) -> None:
    """Put the workflow into a folder, or see that it is there.

    Files that the user has changed are left as they are, with a line that says so. Where the folder has the workflow of
    another version, nothing is changed without `update`.

    Args:
        source: folder of the packaged files.
        folder: of the user.
        version: of the packaged files.
        update: whether the workflow of another version is replaced.
        log: takes each line.

    Raises:
        UserError: files of the user's own have the names of the workflow's; or the folder has the workflow of another
            version, and `update` is not set, or both have changed a file. Nothing is changed then.
    """
    record, packaged = read_record(folder), packaged_files(source)
    old = Deployed(version, {}) if record is None else record
    change = difference(old.files, packaged, folder)
    other = record is not None and (record.version, dict(record.files)) != (version, packaged)
    if change.clash:
        raise UserError(_clash(folder, change.clash, record, version))
    if other and not update:
        assert record is not None
        raise UserError(_other_version(folder, record.version, version, change))
    for name in change.write:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / name) as temporary:
            shutil.copyfile(source / name, temporary)
    for name in change.remove:
        (folder / name).unlink()
    if record is None or other:
        write_json(folder / RECORD, asdict(Deployed(version, packaged)))
    if change.write:
        log(f"{folder}: {_count(change.write)} of qatflow {version} put here")
    if change.remove:
        log(f"{folder}: removed, since qatflow {version} does not have them: {_some(change.remove)}")
    if change.keep:
        log(f"{folder}: changed by you, and used as they are: {_some(change.keep)}")


def difference(old: Mapping[str, str], new: Mapping[str, str], folder: Path) -> Change:
    """Return what it takes to have the new files in a folder.

    Args:
        old: SHA-256 of the files as they were put there, by path.
        new: of those that are to be there.
        folder: with the files as they are now.
    """
    found = {name: sha256(folder / name) for name in {*old, *new} if (folder / name).is_file()}
    own = {name for name, digest in found.items() if digest not in (old.get(name), new.get(name))}
    own |= {name for name in new if name not in found and (folder / name).exists()}  # a folder in the place of a file
    return Change(
        write=_sorted(name for name in new if name not in own and found.get(name) != new[name]),
        remove=_sorted(name for name in found if name not in new and name not in own),
        keep=_sorted(name for name in own if name in old and old[name] == new.get(name, old[name])),
        clash=_sorted(name for name in own if name in new and old.get(name) != new[name]),
    )


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _clash(folder: Path, names: tuple[str, ...], record: Deployed | None, version: str) -> str:
    if record is None:
        return (
            f"{folder} has {_count(names)} of other contents where the workflow's would be, and none is overwritten: "
            f"{_some(names)}. Start in another folder, or move them away"
        )
    return (
        f"{folder}: {_count(names)} changed by you and by qatflow {version}, and none is overwritten: {_some(names)}. "
        f"Move them away, start `qatflow run --update`, and make your changes again"
    )


def _other_version(folder: Path, old: str, new: str, change: Change) -> str:
    before = f"qatflow {old}" if old != new else f"another build of qatflow {old}"
    return "\n".join(
        [
            f"{folder} has the workflow of {before}, and {new} is installed. Nothing was changed.",
            *_would(change),
            f"Start `qatflow run --update` to do so, or go on with the old one: pip install qatflow=={old}",
        ]
    )


def _would(change: Change) -> Iterator[str]:
    if change.write:
        yield f"  would be written: {_some(change.write)}"
    if change.remove:
        yield f"  would be removed: {_some(change.remove)}"
    if change.keep:
        yield f"  changed by you, would be kept: {_some(change.keep)}"


def _count(names: tuple[str, ...]) -> str:
    return f"{len(names)} file{'' if len(names) == 1 else 's'}"


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
