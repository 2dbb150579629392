"""The record that `qatflow run` leaves in a folder: which files of which version of qatflow it has put there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.places import PROJECT

RECORD = ".qatflow.json"


@dataclass(frozen=True)
class Deployed:
    """What was put into a folder.

    Attributes:
        version: of qatflow.
        files: the SHA-256 of each file as it was put there, by its path in the folder.
    """

    version: str
    files: Mapping[str, str]


def read_record(folder: Path) -> Deployed | None:
    """Return the record of a folder; None where it has none.

    Raises:
        UserError: it is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return Deployed(str(value["version"]), {str(name): str(digest) for name, digest in value["files"].items()})
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged ({error}): start `qatflow run` in a new folder, and move your own files there"
        ) from error


def check_deployed(folder: Path) -> None:
    """End the program unless the installed library is that of the workflow in a folder.

    Raises:
        SystemExit: it has another version, or belongs to another folder; or the folder's record is damaged.
    """
    try:
        _check(folder)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None


def _check(folder: Path) -> None:
    record, installed = read_record(folder), metadata.version("qatflow")
    if record is None or folder != PROJECT:
        raise UserError(
            f"{folder} has a workflow without a library, and the installed one uses {PROJECT}: start `qatflow run`"
            " there, in the environment of the wheel"
        )
    if record.version != installed:
        raise UserError(
            f"{folder} has the workflow of qatflow {record.version}, and {installed} is installed: see what"
            " `qatflow run --update` would change, or install the other version again"
        )
