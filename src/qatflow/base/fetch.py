"""Downloads a file with a known checksum: resumed, retried, checked, and complete or not at all."""

import contextlib
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qatflow.base.errors import UserError
from qatflow.base.files import FULL

BLOCK = 1 << 20
Algorithm = Literal["sha256", "md5"]
WORTH_RETRYING = (408, 425, 429)  # and all of 500…599
LOCAL_PATH = "fetch the file by other means and give its local path in the configuration"


@dataclass(frozen=True)
class Checksum:
    """The expected checksum of a file."""

    algorithm: Algorithm
    value: str

    @property
    def name(self) -> str:
        """The algorithm's name, for messages."""
        return {"sha256": "SHA-256", "md5": "MD5"}[self.algorithm]

    def of(self, path: Path) -> str:
        """Return the checksum of a file."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, self.algorithm).hexdigest()


class _AttemptError(Exception):
    """One attempt at one address failed; `final` if trying that address again is pointless."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def fetch(
    urls: Sequence[str],
    checksum: str,
    destination: Path,
    *,
    algorithm: Algorithm = "sha256",
    instead: str = LOCAL_PATH,
    attempts: int = 4,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> None:
    """Download the file with this checksum to `destination`, unless it is already there.

    The download grows next to it as `.<name>.part`, is continued after an interruption, and gets its final name only
    when its checksum is right. All addresses are tried in turn; rounds are repeated with growing pauses.

    Args:
        urls: http or https addresses of the same file, the preferred one first.
        checksum: its expected checksum in hexadecimal digits, a SHA-256 unless `algorithm` says otherwise.
        destination: path of the file.
        algorithm: of the checksum; md5 if the file's owner publishes no better one.
        instead: what the user can do without a network; ends the error message.
        attempts: number of rounds over the addresses.
        pause: seconds before the second round; doubled for each later one.
        timeout: seconds without any data after which an attempt is abandoned.

    Raises:
        UserError: no address gave the file, an address is not http(s), `destination` cannot be written, or its disk is
            full; the message names the address, and ends with `instead`.
    """
    for url in urls:
        if not url.lower().startswith(("http://", "https://")):
            raise UserError(f"{url} is not an http or https address; {instead}")
    try:
        _fetch(urls, Checksum(algorithm, checksum.lower()), destination, instead, attempts, pause, timeout)
    except OSError as error:  # of the disk: those of the network have become _AttemptErrors
        file = error.filename2 or error.filename or destination
        way_out = "make room on its disk" if error.errno in FULL else "fix that"
        raise UserError(
            f"could not download {destination.name} from {', '.join(urls)}: cannot write {file}: "
            f"{error.strerror or error}: {way_out}, or {instead}"
        ) from error


def _fetch(
    urls: Sequence[str],
    expected: Checksum,
    destination: Path,
    instead: str,
    attempts: int,
    pause: float,
    timeout: float,
) -> None:
    if destination.is_file() and expected.of(destination) == expected.value:
        return
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f".{destination.name}.part")
    failures: dict[str, _AttemptError] = {}
    for attempt in range(attempts):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        for url in urls:
            if url in failures and failures[url].final:
                continue
            try:
                resumed = _download(url, part, timeout)
                _check(part, expected, final=not resumed)
            except _AttemptError as failure:
                failures[url] = failure
                continue
            part.replace(destination)
            return
        if all(failure.final for failure in failures.values()):
            break
    reasons = "; ".join(f"{url}: {failure}" for url, failure in failures.items())
    raise UserError(f"could not download {destination.name} ({reasons}): try again later, or {instead}")


def _download(url: str, part: Path, timeout: float) -> bool:
    """Download what `part` lacks, or raise _AttemptError; return whether it was continued rather than restarted."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "qatflow", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with _failed_attempts(timeout):
        try:
            answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
        except urllib.error.HTTPError as error:
            if have and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                return True  # nothing is missing, or the rest belongs to another file: the checksum will show
            raise
    with answer:
        resumed = answer.status == http.client.PARTIAL_CONTENT
        expected = answer.headers.get("Content-Length")
        received = 0
        with part.open("ab" if resumed else "wb") as file:
            for block in _blocks(answer, timeout):
                file.write(block)
                received += len(block)
            file.flush()
            os.fsync(file.fileno())
    if expected is not None and received != int(expected):
        raise _AttemptError(f"broken off after {received} of {expected} bytes")
    return resumed


def _blocks(answer: http.client.HTTPResponse, timeout: float) -> Iterator[bytes]:
    while True:
        with _failed_attempts(timeout):
            block = answer.read1(BLOCK)  # read() would lose what arrived before a stall
        if not block:
            return
        yield block


@contextlib.contextmanager
def _failed_attempts(timeout: float) -> Iterator[None]:
    """Turn any error of the network, the server or the address into an _AttemptError."""
    try:
        yield
    except urllib.error.HTTPError as error:
        final = error.code < 500 and error.code not in WORTH_RETRYING
        raise _AttemptError(f"HTTP status {error.code} {error.reason}", final=final) from error
    except (http.client.InvalidURL, ValueError) as error:
        raise _AttemptError(f"not a usable address ({error})", final=True) from error
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, TimeoutError):
            raise _AttemptError(f"no data for {timeout:g} s") from error
        kind = "no connection" if isinstance(error, urllib.error.URLError) else "broken off"
        raise _AttemptError(f"{kind} ({reason})") from error
    except http.client.HTTPException as error:
        raise _AttemptError(f"broken off ({error or type(error).__name__})") from error


def _check(part: Path, expected: Checksum, *, final: bool) -> None:
    """Check the checksum; if it is wrong, remove the file, which cannot be continued, and raise _AttemptError."""
    actual = expected.of(part)
    if actual == expected.value:
        return
    with part.open("rb") as file:
        start = file.read(512).lower()
    size = part.stat().st_size
    part.unlink()
    if any(tag in start for tag in (b"<!doctype html", b"<html", b"<head")):
        raise _AttemptError(f"received a web page of {size} bytes instead of the file", final=final)
    raise _AttemptError(f"wrong {expected.name}: {actual} of {size} bytes, expected {expected.value}", final=final)
