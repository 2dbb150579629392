"""A device that is reached through its shell.

Each run has its own folder there. Files are compared by SHA-256 in both directions. What may pass (a cable that was
touched, a device that is offline for a moment) is tried again, see `retry`.
"""

import contextlib
import re
import secrets
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from qatflow.base.files import sha256, whole_file
from qatflow.device import lifetime
from qatflow.device.build.elf import check_program
from qatflow.device.interface import Completed, DeviceDescription, DeviceError, DeviceSettings
from qatflow.device.shell import retry, scripts
from qatflow.device.shell.answers import description, free_bytes, mount_options, temperatures
from qatflow.device.shell.connection import Connection
from qatflow.device.shell.trouble import shown, trouble

T = TypeVar("T")
ANSWER_SECONDS = 30.0
SLOWEST_BYTES_PER_SECOND = 2e5
SUM_AND_SIZE = re.compile(r"([0-9a-f]{64})\s.*?(\d{1,15})", re.DOTALL)  # what sha256sum and wc -c print


class ShellDevice:
    """A device with a shell; see `interface.Device` for the calls."""

    def __init__(
        self,
        settings: DeviceSettings,
        connect: Callable[[float], Connection],
        answer: float | None = None,
        waits: Sequence[float] | None = None,
    ) -> None:
        """Make the run's folder on the device.

        Args:
            settings: which device it is.
            connect: makes the connection from the seconds that the device has to answer a short command.
            answer: these seconds; None for `ANSWER_SECONDS`.
            waits: seconds before each retry of a passing failure; None for `retry.WAITS`.

        Raises:
            DeviceError: the device cannot be reached, or programs cannot be copied or started there.
        """
        self._settings = settings
        self._answer = ANSWER_SECONDS if answer is None else answer
        self._connection = connect(self._answer)
        self._waits = retry.WAITS if waits is None else waits
        self._token = secrets.token_hex(6)
        try:
            self._persist(self._connection.reach)
            self._home = self._persist(self._connection.home)
            self._folder = f"{self._home}/{scripts.RUN}-{lifetime.mark(self._token)}"
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def describe(self) -> DeviceDescription:
        """Return the description that the device gave when it was opened."""
        return self._description

    def temperatures(self) -> dict[str, float]:
        """Return the kernel's sensors, or those of Android's thermal service."""
        return temperatures(self._persist(lambda: self._connection.shell(scripts.TEMPERATURES)).stdout)

    def push(self, local: Path, name: str) -> None:
        """Send it under a temporary name, compare checksums, and move into place; skip a file that is there already."""
        check_program(local, self._description)
        size, wanted = local.stat().st_size, sha256(local)
        mode = "755" if local.stat().st_mode & 0o100 else "644"
        limit = self._answer + size / SLOWEST_BYTES_PER_SECOND
        temporary = f"{self._folder}/.{secrets.token_hex(6)}.part"

        def attempt() -> None:
            listing = self._check(
                self._connection.shell(scripts.look_for(self._folder, name, wanted, mode), limit), f"looking for {name}"
            ).stdout
            if listing.strip() == scripts.THERE:
                return
            free = free_bytes(listing)
            if free is not None and free < size:
                raise self._connection.error(
                    f"{name} needs {size / 1e6:.1f} MB and {self._home} has {free / 1e6:.1f} MB free: "
                    "free some space on the device"
                )
            self._connection.send(local, temporary, limit)
            answer = self._connection.shell(scripts.settle(self._folder, temporary, name, wanted, mode), limit)
            if answer.status == scripts.SUM_DIFFERS:
                raise self._damaged(local.name)
            self._check(answer, f"putting {name} in place")

        try:
            self._persist(attempt)
        except DeviceError:
            with contextlib.suppress(DeviceError):
                self._connection.shell(f"rm -f {shlex.quote(temporary)}")
            raise

    def run(self, command: Sequence[str], timeout: float) -> Completed:
        """Run a program in the run's folder; start it again if the device disappears while it runs."""
        script = f"cd {shlex.quote(self._folder)} && exec {shlex.join(command)}"
        return self._persist(lambda: self._connection.shell(script, timeout))

    def count_instructions(self, command: Sequence[str], timeout: float) -> None:
        """Return None: a phone's kernel does not let its shell count (perf_event_paranoid), and times say more."""

    def system_calls(self, command: Sequence[str], timeout: float) -> None:
        """Return None, likewise."""

    def pull(self, name: str, local: Path) -> None:
        """Fetch it to a temporary file, compare checksums, and move it into place."""
        place = f"{self._folder}/{name}"
        quoted = shlex.quote(place)

        def attempt() -> None:
            asked = self._check(
                self._connection.shell(f"sha256sum < {quoted} && wc -c < {quoted}"), f"reading {name} (was it written?)"
            ).stdout
            answered = SUM_AND_SIZE.fullmatch(asked.strip())
            if answered is None:
                raise self._connection.error(f"reading {name}: its shell answered '{shown(asked)}', not sum and size")
            expected, size = answered[1], int(answered[2])
            with whole_file(local) as temporary:
                limit = self._answer + size / SLOWEST_BYTES_PER_SECOND
                self._connection.fetch(place, temporary, limit)
                if sha256(temporary) != expected:
                    raise self._damaged(name)

        self._persist(attempt)

    def cleanup(self) -> None:
        """Remove the run's folder; with `keep`, leave it for the user, and for the next run to reuse."""
        try:
            self._remove_or_keep()
        finally:
            self._connection.close()

    def _remove_or_keep(self) -> None:
        if not self._settings.keep:
            script, doing = f"rm -rf {shlex.quote(self._folder)}", f"removing {self._folder}"
            self._persist(lambda: self._check(self._connection.shell(script), doing))
            return
        kept = f"{self._home}/{scripts.KEPT}-{self._token}"
        script = scripts.keep_folder(self._home, self._folder, kept)
        self._persist(lambda: self._check(self._connection.shell(script), f"keeping {self._folder}"))
        print(f"kept on device {self._connection.name}: {kept}", file=sys.stderr)

    def _prepare(self) -> None:
        mounts = self._persist(lambda: self._connection.shell(scripts.MOUNTS)).stdout
        if "noexec" in mount_options(mounts, self._home):
            raise self._connection.error(
                f"{self._home} is mounted noexec, so no program can be started there: use another device, or as root "
                "`mount -o remount,exec` it"
            )
        self._description = self._describe()
        make = scripts.make_folder(self._home, self._folder)
        runs = self._persist(lambda: self._check(self._connection.shell(make), f"making {self._folder}")).stdout
        self._sweep(runs.splitlines())

    def _sweep(self, runs: Sequence[str]) -> None:
        """Remove the folders that killed runs have left."""
        begin = f"{scripts.RUN}-"
        over = [
            f"{self._home}/{run}" for run in runs if run.startswith(begin) and lifetime.is_over(run.removeprefix(begin))
        ]
        with contextlib.suppress(DeviceError):  # a later run will; if the device is gone, the next call reports it
            if over and self._connection.shell(f"rm -rf {shlex.join(over)}").status == 0:
                print(
                    f"removed from device {self._connection.name}, left by ended runs: {' '.join(over)}",
                    file=sys.stderr,
                )

    def _describe(self) -> DeviceDescription:
        answer = self._persist(
            lambda: self._check(self._connection.shell(scripts.DESCRIBE), "asking what the device is")
        )
        described = description(answer.stdout, self._settings.type, self._settings.name)
        if described is None:
            text = shown(answer.stdout.strip())
            answered = f"'{text}'" if text else "nothing"
            raise self._connection.error(
                f"the device did not describe itself: its shell answered {answered}: "
                f"restart the device, and check that `{self._connection.by_hand} uname -m` prints its processor"
            )
        return described

    def _persist(self, attempt: Callable[[], T]) -> T:
        tried = False

        def reached() -> T:
            nonlocal tried
            if tried:
                self._connection.reach()
            tried = True
            return attempt()

        try:
            return retry.persist(reached, self._waits)
        except retry.PassingError:
            self._waits = ()  # gone for good: what follows, such as cleanup, is tried once
            raise

    def _check(self, answer: Completed, doing: str) -> Completed:
        if answer.status != 0:
            message = (answer.stderr or answer.stdout).strip()
            raise self._connection.error(f"{doing} failed with status {answer.status}: {trouble(message).text}")
        return answer

    def _damaged(self, name: str) -> retry.PassingError:
        return retry.PassingError(
            f"device {self._connection.name}: {name} arrived damaged (its SHA-256 differs): check the cable and run "
            "again"
        )
