"""The emulator's place where this machine is arm64 itself: programs run on it directly."""

import subprocess
import sys
from collections.abc import Sequence

from qatflow.device.emulator.local import LocalDevice
from qatflow.device.interface import DeviceDescription, DeviceError, DeviceSettings
from qatflow.device.lifetime import dies_with_parent
from qatflow.device.shell import scripts
from qatflow.device.shell.answers import description, temperatures
from qatflow.device.shell.trouble import shown

ANSWER_SECONDS = 30.0


class ThisMachine(LocalDevice):
    """This machine; see `interface.Device` for the calls. Nothing is emulated, and no instructions are counted."""

    def __init__(self, settings: DeviceSettings) -> None:
        """Make the run's folder, and say what falls away without an emulator.

        Raises:
            DeviceError: the temporary folder cannot be written, or the machine does not describe itself.
        """
        super().__init__(settings, _describe(settings))
        print(
            f"device {settings.name}: this machine is {self._description.machine}, so programs run on it directly: "
            "the times are its own, device.cpu is not used, and no instructions are counted",
            file=sys.stderr,
        )

    def temperatures(self) -> dict[str, float]:
        """Return what the kernel's sensors read."""
        return temperatures(_ask(scripts.TEMPERATURES))

    def count_instructions(self, command: Sequence[str], timeout: float) -> None:
        """Return None: only an emulator sees each instruction."""

    def system_calls(self, command: Sequence[str], timeout: float) -> None:
        """Return None, likewise."""

    def _command(self, command: Sequence[str]) -> list[str]:
        return dies_with_parent(command)


def _describe(settings: DeviceSettings) -> DeviceDescription:
    answer = _ask(scripts.DESCRIBE)
    described = description(answer, settings.type, settings.name)
    if described is None:
        raise DeviceError(f"this machine does not describe itself: sh answered '{shown(answer.strip())}'")
    return described


def _ask(script: str) -> str:
    try:
        answer = subprocess.run(
            ["sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=ANSWER_SECONDS, check=False,
        )  # fmt: skip
    except (subprocess.TimeoutExpired, OSError) as error:
        raise DeviceError(f"this machine's sh does not answer ({error})") from None
    return answer.stdout
