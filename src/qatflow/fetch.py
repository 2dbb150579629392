"""Download a file whose SHA-256 is known: resumed, retried, checked, and whole or not at all."""

import errno
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from qatflow.errors import UserError
from qatflow.files import sha256 as sha256_of

BLOCK = 1 << 20
WORTH_RETRYING = (408, 425, 429)  # and all of 500…599
LOCAL_PATH = "fetch the file by other means and give its local path in the configuration"


class _AttemptError(Exception):
    """One attempt at one address failed; `final` where trying that address again is pointless."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def fetch(
    urls: Sequence[str],
    sha256: str,
    destination: Path,
    *,
    instead: str = LOCAL_PATH,
    attempts: int = 4,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> None:
    """Make `destination` the file with this SHA-256, downloading it unless it is already there.

    The download grows beside it as `.<name>.part`, is continued after an interruption, and takes the final name only
    when its sum is right. Every address is tried in turn; rounds are repeated with growing pauses.

    Args:
        urls: http or https addresses of the same file, the preferred one first.
        sha256: its expected SHA-256, 64 hexadecimal digits.
        destination: where it is to be.
        instead: what the user can do where there is no network; ends the error message.
        attempts: rounds over the addresses.
        pause: seconds before the second round; doubled for each one after it.
        timeout: seconds without any data after which an attempt is given up.

    Raises:
        UserError: no address yielded the file, an address is not http(s), or the disk is full.
    """
    sha256 = sha256.lower()
    if destination.is_file() and sha256_of(destination) == sha256:
        return
    for url in urls:
        if urlsplit(url).scheme not in ("http", "https"):
            raise UserError(f"{url} is not an http or https address; {instead}")
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
                _check(part, sha256, final=not resumed)
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
    """Fetch what `part` lacks, or raise _AttemptError; return whether it was continued rather than begun anew."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "qatflow", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
            resumed = answer.status == http.client.PARTIAL_CONTENT
            expected = answer.headers.get("Content-Length")
            received = 0
            with part.open("ab" if resumed else "wb") as file:
                while block := answer.read(BLOCK):
                    file.write(block)
                    received += len(block)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return True  # nothing is lacking, or the rest belongs to another file: the sum tells
        final = error.code < 500 and error.code not in WORTH_RETRYING
        raise _AttemptError(f"HTTP status {error.code} {error.reason}", final=final) from error
    except urllib.error.URLError as error:
        raise _AttemptError(f"no connection ({error.reason})") from error
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _AttemptError(f"broken off ({error or type(error).__name__})") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise UserError(f"cannot write {part}: {error.strerror}: make room or choose another folder") from error
        raise _AttemptError(f"broken off ({error})") from error
    if expected is not None and received != int(expected):
        raise _AttemptError(f"broken off after {received} of {expected} bytes")
    return resumed


def _check(part: Path, expected: str, *, final: bool) -> None:
    """Remove a file with another sum, since continuing it cannot help; raise _AttemptError saying what came."""
    found = sha256_of(part)
    if found == expected:
        return
    with part.open("rb") as file:
        start = file.read(512).lstrip().lower()
    size = part.stat().st_size
    part.unlink()
    if start.startswith((b"<!doctype html", b"<html")):
        raise _AttemptError(f"a web page of {size} bytes came in place of the file", final=final)
    raise _AttemptError(f"wrong SHA-256: {found} of {size} bytes, expected {expected}", final=final)
