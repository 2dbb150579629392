"""A board that is reached by ssh; nothing has to be installed there."""

from collections.abc import Sequence

from qatflow.device.interface import DeviceError, DeviceSettings
from qatflow.device.shell.device import ShellDevice
from qatflow.device.ssh.client import SshClient


class SshDevice(ShellDevice):
    """A device behind ssh, in its user's home folder; see `interface.Device` for the calls."""

    def __init__(
        self, settings: DeviceSettings, *, answer: float | None = None, waits: Sequence[float] | None = None
    ) -> None:
        """Make the run's folder on the board.

        Args:
            settings: the board, by its host.
            answer, waits: as of `ShellDevice`.

        Raises:
            DeviceError: ssh is missing, the board cannot be reached, or programs cannot be copied or started there.
        """
        if not settings.host:
            raise DeviceError("device.host is missing: give what you type after ssh, such as pi@raspberrypi.local")
        host, port, identity = settings.host, settings.port, settings.identity
        super().__init__(settings, lambda seconds: SshClient(host, port, identity, seconds), answer, waits)
