"""Checksums that a stage writes of its outputs, and their check by every stage that reads them.

A sealed file is JSON whose key `sha256` has the SHA-256 of the files next to it and, under its own name, of itself:
computed over its bytes with 64 zeros in place of this checksum. So any changed byte is noticed, in every file.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.base.files import sha256, write_text

KEY = "sha256"
ZEROS = 64 * "0"
SEALED = ("manifest.json", "optimization.json", "outcome.json", "best.json", "report.json")
"""Names of sealed files with the checksums of the files next to them."""
AGAIN = "remove it to have it made again"


def write_sealed(path: Path, value: Mapping[str, Any], files: Iterable[str] = ()) -> None:
    """Write `value` as JSON with the checksums of itself and of `files` next to it, complete or not at all."""
    sums = {name: sha256(path.parent / name) for name in files} | {path.name: ZEROS}
    text = json.dumps({**value, KEY: sums}, indent=2, ensure_ascii=False) + "\n"
    before, _, after = text.rpartition(ZEROS)
    write_text(path, before + hashlib.sha256(text.encode()).hexdigest() + after)


def read_sealed(path: Path, again: str = AGAIN) -> dict[str, Any]:
    """Return what `write_sealed` wrote, without the checksums; a file without its own checksum is accepted as it is.

    Args:
        path: the file.
        again: how to make it again, for the message.

    Raises:
        UserError: it has changed since it was written.
    """
    value = _sealed(path, again)
    return {key: inner for key, inner in value.items() if key != KEY}


def read_checked(path: Path, again: str = AGAIN) -> bytes:
    """Return the bytes of a file, checked against the sealed file next to it if that one names it.

    Raises:
        UserError: it, or the sealed file, has changed since it was written.
    """
    content = path.read_bytes()
    expected, where = _expected(path)
    if where is not None and expected is not None:
        compare(path, hashlib.sha256(content).hexdigest(), expected, where, again)
    return content


def check(path: Path, again: str = AGAIN) -> None:
    """Check a file like `read_checked`, without returning its bytes."""
    expected, where = _expected(path)
    if where is not None and expected is not None:
        compare(path, sha256(path), expected, where, again)


def compare(path: Path, actual: str, expected: str, where: Path, again: str = AGAIN) -> None:
    """Raise UserError if a file's checksum differs from the recorded one.

    Args:
        path: the file.
        actual: its SHA-256.
        expected: its SHA-256 when it was written.
        where: the file that records it.
        again: how to make it again.
    """
    if actual != expected:
        raise UserError(
            f"{path} has changed since it was written (sha256 {actual[:12]}…, {where} says {expected[:12]}…): {again}"
        )


def _expected(path: Path) -> tuple[str | None, Path | None]:
    """Return the checksum of `path` in a sealed file next to it, and that file: one of `SEALED`, or `path` as .json."""
    for beside in (*map(path.with_name, SEALED), path.with_suffix(".json")):
        if beside != path and beside.is_file():
            sums = _sealed(beside, AGAIN).get(KEY)
            if isinstance(sums, dict) and isinstance(sums.get(path.name), str):
                return sums[path.name], beside
    return None, None


def _sealed(path: Path, again: str) -> dict[str, Any]:
    content = path.read_bytes()
    try:
        value = json.loads(content)
        sums = value.get(KEY)
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}): {again}") from error
    expected = sums.get(path.name) if isinstance(sums, dict) else None
    if isinstance(expected, str):
        before, _, after = content.rpartition(expected.encode())
        compare(path, hashlib.sha256(before + ZEROS.encode() + after).hexdigest(), expected, path, again)
    return dict(value)
