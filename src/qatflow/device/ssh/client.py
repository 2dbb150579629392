"""The system's ssh client, called for one board: all calls share one connection, and each has a time limit.

The first call starts OpenSSH's master connection (`ControlMaster`), which the others use. It ends with this process.
Nobody is asked for a password or about an unknown key (`BatchMode`); the user's own ssh configuration and known_hosts
apply. Files go through `cat`, so that the board needs neither scp nor sftp.
"""

import contextlib
import os
import secrets
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from qatflow.base.places import with_home
from qatflow.base.system_packages import how_to_install
from qatflow.device import lifetime
from qatflow.device.interface import Completed, DeviceError
from qatflow.device.lifetime import dies_with_parent
from qatflow.device.shell.connection import completed, failure, new_marker
from qatflow.device.shell.trouble import Trouble, shown, trouble
from qatflow.device.ssh.errors import BACK, KNOWN

SOCKETS = Path("/tmp")  # the path of a socket has at most 107 bytes, and TMPDIR may be long
FOLDER = "qatflow-ssh"
ALIVE_SECONDS = 5
POLL_SECONDS = 0.02
FAILED = 255
"""The status with which ssh says that it failed itself."""
# What the script starts ends when the call does: `cat` reads until this side is gone, whatever ended it.
SCRIPT = """\
exec 3<&0
( {script}
) </dev/null 3<&- & p=$!
( cat <&3; kill -9 $p ) >/dev/null 2>&1 & w=$!
exec 3<&-
wait $p; s=$?
kill -9 $w
echo "{marker}=$s"
"""


NEEDS_NO_ESCAPE = frozenset(range(0x20, 0x7F)) - frozenset(b"'!\\")
"""Bytes that stand for themselves between single quotes in sh, csh and fish, and in printf's `%b`."""


def command_line(script: str) -> str:
    """Return the command with which the user's shell, be it sh, csh or fish, starts the script in sh.

    sshd gives a command to the shell that the user logs in with. csh allows no line ends between quotes, and fish
    reads backslashes there: so all that needs an escape is an octal number, which printf turns back.
    """
    text = "".join(chr(byte) if byte in NEEDS_NO_ESCAPE else f"\\0{byte:03o}" for byte in script.encode())
    return f"exec sh -c 'eval \"$(printf %b \"$1\")\"' sh '{text}'"


class SshClient:
    """ssh for one board; see `shell.connection.Connection` for the calls."""

    def __init__(self, host: str, port: int | None, identity: str | None, answer: float) -> None:
        """Remember how to call ssh.

        Args:
            host: `user@host`, `host`, or a name from the user's ssh configuration.
            port: None for that of the configuration, or 22.
            identity: file of the private key; None for those that ssh tries by itself.
            answer: seconds within which the board answers a short command.
        """
        self.name, self.answer = host, answer
        way = [
            *(["-p", str(port)] if port is not None else []),
            *(["-i", str(with_home(identity)), "-o", "IdentitiesOnly=yes"] if identity is not None else []),
        ]
        self.by_hand = shlex.join(["ssh", *way, host])
        options = {
            "BatchMode": "yes", "ConnectTimeout": max(1, round(answer)), "ServerAliveInterval": ALIVE_SECONDS,
            "ServerAliveCountMax": 3, "ClearAllForwardings": "yes", "ForwardAgent": "no", "ForwardX11": "no",
            "RequestTTY": "no", "LogLevel": "ERROR",
        }  # fmt: skip
        self._ssh = ["ssh", *way, *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
        self._folder: Path | None = None
        self._master: subprocess.Popen[str] | None = None
        self._seen = False

    def reach(self) -> None:
        """Connect to the board, unless the connection of an earlier call is still there."""
        if self._master is not None and self._master.poll() is None:
            return
        if shutil.which("ssh") is None:
            raise DeviceError(f"there is no ssh: {how_to_install('ssh')}")
        self.close()
        lifetime.sweep(SOCKETS, FOLDER)
        self._folder = SOCKETS / f"{FOLDER}-{lifetime.mark(secrets.token_hex(2))}"
        self._folder.mkdir(mode=0o700)
        with tempfile.TemporaryFile("w+", errors="replace") as stderr:
            self._master = subprocess.Popen(
                dies_with_parent([*self._ssh, "-M", "-N", "-S", str(self._socket), self.name]),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, text=True,
            )  # fmt: skip
            until = time.monotonic() + 2 * self.answer
            while self._master.poll() is None and not self._socket.exists():
                if time.monotonic() > until:
                    raise self._no_answer(2 * self.answer)
                time.sleep(POLL_SECONDS)
            if self._master.poll() is not None:
                stderr.seek(0)
                raise self._failure(trouble(stderr.read(), KNOWN))
        self._seen = True

    def home(self) -> str:
        """Return the user's home folder on the board.

        Raises:
            DeviceError: there is none; or the board prints something of its own before what a command prints, which
                would be in each file that comes from there.
        """
        answer = self.shell("cd && pwd -P")
        *before, home = answer.stdout.rstrip("\n").split("\n")
        if before:
            raise self.error(
                f"it prints '{shown(before[0])}' before what a command prints: let .bashrc, .profile or .ssh/rc there "
                "print only in a terminal"
            )
        if answer.status != 0 or not home.startswith("/"):
            cause = trouble(answer.stderr, KNOWN).text
            raise self.error(
                f"its user has no home folder that can be entered ({cause}): make one, or use another user"
            )
        return home

    def shell(self, script: str, timeout: float | None = None) -> Completed:
        """Run a script in the board's sh; the user's own shell only passes it on."""
        marker = new_marker()
        with _open_input() as stdin:
            answer = self._call(SCRIPT.format(script=script, marker=marker), timeout or self.answer, stdin=stdin)
        ended = completed(marker, answer.stdout, answer.stderr)
        if ended is None:
            raise self._lost(answer)
        return ended

    def send(self, local: Path, remote: str, timeout: float) -> None:
        """Write a file there by `cat`."""
        with local.open("rb") as stdin:
            answer = self._call(f"cat > {shlex.quote(remote)}", timeout, stdin=stdin)
        self._check(answer)

    def fetch(self, remote: str, local: Path, timeout: float) -> None:
        """Read a file there by `cat`."""
        with local.open("wb") as stdout:
            self._check(self._call(f"cat < {shlex.quote(remote)}", timeout, stdout=stdout))

    def error(self, message: str) -> DeviceError:
        """Return a DeviceError whose message begins with the board."""
        return DeviceError(f"device {self.name}: {message}")

    def close(self) -> None:
        """End the connection."""
        if self._master is not None:
            self._master.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._master.wait(self.answer)
            self._master.kill()
            self._master = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def _socket(self) -> Path:
        assert self._folder is not None
        return self._folder / "s"

    def _call(
        self,
        script: str,
        timeout: float,
        *,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
    ) -> Completed:
        command = [*self._ssh, "-o", "ControlMaster=no", "-S", str(self._socket), self.name]
        try:
            answer = subprocess.run(
                dies_with_parent([*command, command_line(script)]),
                stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, timeout=timeout, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise self._no_answer(timeout) from None
        printed, complained = (
            (text or b"").decode(errors="replace").replace("\r\n", "\n") for text in (answer.stdout, answer.stderr)
        )
        return Completed(answer.returncode, printed, complained)

    def _check(self, answer: Completed) -> None:
        if answer.status == FAILED or answer.status < 0:
            raise self._lost(answer)
        if answer.status != 0:
            raise self._failure(trouble(answer.stderr, KNOWN))

    def _lost(self, answer: Completed) -> DeviceError:
        """Return the error of a call that the board did not answer to its end."""
        cause = trouble(answer.stderr, KNOWN)
        if answer.status == FAILED and not cause.advice:
            cause = Trouble("the connection ended while a command ran there", BACK, "yes")
        return self._failure(cause)

    def _failure(self, cause: Trouble) -> DeviceError:
        cause = replace(cause, line=cause.line.removeprefix(f"{self.name}: ").rstrip("."))
        return failure(self.name, cause, self._seen)

    def _no_answer(self, seconds: float) -> DeviceError:
        return self.error(f"no answer within {seconds:.0f} s: check that `{self.by_hand}` works, and run again")


@contextlib.contextmanager
def _open_input() -> Iterator[int]:
    """Yield the end to read from of a pipe that stays open, and empty, until the context ends."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)
