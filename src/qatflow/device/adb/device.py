"""A phone, a board or an Android virtual device, through the adb client."""

from collections.abc import Sequence

from qatflow.device.adb.client import AdbClient
from qatflow.device.interface import DeviceError, DeviceSettings
from qatflow.device.shell.device import ShellDevice


class AdbDevice(ShellDevice):
    """A device behind adb; see `interface.Device` for the calls."""

    def __init__(
        self,
        settings: DeviceSettings,
        *,
        adb: str = "adb",
        server: str | None = None,
        answer: float | None = None,
        waits: Sequence[float] | None = None,
    ) -> None:
        """Make the run's folder on the device.

        Args:
            settings: the device, by its serial number.
            adb: the client's command.
            server: where the adb server listens, for `adb -L`; None for the user's own server.
            answer, waits: as of `ShellDevice`.

        Raises:
            DeviceError: adb is missing, the device cannot be reached, or programs cannot be copied or started there.
        """
        if not settings.serial:
            raise DeviceError(
                "device.serial is missing: connect the phone, run `adb devices`, and give the serial number it prints"
            )
        serial = settings.serial
        super().__init__(settings, lambda seconds: AdbClient(serial, adb, server, seconds), answer, waits)
