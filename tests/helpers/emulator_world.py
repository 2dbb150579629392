"""A network of its own, in which a fake device stands where adb looks for Android's emulators; a command runs there.

    unshare --user --map-root-user --net python emulator_world.py FOLDER ABI COMMAND…

adb finds emulators by trying the odd ports from 5555 on loopback, and names the one there emulator-5554. In a network
of its own that is nobody else's port, and nobody else's adb server finds the device. Prints what lies on the device
afterwards; ends with the command's status.
"""

import os
import subprocess
import sys
from pathlib import Path

from helpers.fake_adbd import FakeAdbd

PORT = 5555


def main(folder: Path, abi: str, command: list[str]) -> int:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    device = FakeAdbd(folder, abi, port=PORT)
    home = folder / "adb home"
    home.mkdir()
    address = f"localfilesystem:{folder}/socket"
    environment = os.environ | {"HOME": str(home), "ADB_SERVER_SOCKET": address, "ADB_USB": "0", "ADB_MDNS": "0"}
    try:
        return subprocess.run(command, env=environment, check=False, timeout=120).returncode
    finally:
        subprocess.run(["adb", "kill-server"], env=environment, check=False, timeout=30)
        print(f"left: {device.names()}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
