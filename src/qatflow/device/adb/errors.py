"""What adb and a device's shell print when they fail, what the user can do about it, and whether it may pass."""

from dataclasses import dataclass
from typing import Literal

Passing = Literal["yes", "once seen", "no"]
LONGEST = 500
"""How many characters of a device's text a message shows."""


@dataclass(frozen=True)
class Trouble:
    """A failure that adb or the device reported.

    Attributes:
        line: the line of the message that gives the reason.
        advice: what the user can do; empty if unknown.
        passing: whether it may pass by itself; `once seen`: only if the device has answered before.
    """

    line: str
    advice: str
    passing: Passing

    @property
    def text(self) -> str:
        """Reason and advice in one line."""
        return f"{self.line}: {self.advice}" if self.advice else self.line


CONNECT = "connect the device, enable USB debugging, and check that `adb devices` lists it"
CONFIRM = "unlock the device and allow USB debugging from this computer"
AWAY = "the device went away: check the cable and run again"
# Part of the message (lower case), advice, passing. Texts are those of adb 29 to 36 and of Android's toybox and mksh.
KNOWN: tuple[tuple[str, str, Passing], ...] = (
    ("no devices/emulators found", CONNECT, "once seen"),
    ("more than one device", "set device.serial to one of those that `adb devices` lists", "no"),
    ("' not found", "check device.serial against what `adb devices` lists", "once seen"),
    ("unauthorized", CONFIRM, "no"),
    ("failed to authenticate", CONFIRM, "no"),
    ("permissions for device", "give your user access by udev (package android-sdk-platform-tools-common)", "no"),
    ("authorizing", CONFIRM, "yes"),
    ("still connecting", AWAY, "yes"),
    ("offline", "wait, or unplug and replug the cable (network devices: `adb disconnect`, then `adb connect`)", "yes"),
    ("connection refused", "start the device's adb daemon, and check the address", "once seen"),
    ("cannot connect to daemon", "another program uses adb's port: stop it, or set ANDROID_ADB_SERVER_PORT", "no"),
    ("failed to start daemon", "another program uses adb's port: stop it, or set ANDROID_ADB_SERVER_PORT", "no"),
    ("failed to connect to", "no adb daemon answers there: check the address, restart the device", "once seen"),
    ("no space left on device", "free some space on the device", "no"),
    ("read-only file system", "nothing can be written there: restart the device, or use another one", "no"),
    ("permission denied", "the device does not allow this in that folder; is it mounted noexec?", "no"),
    ("couldn't read from device", AWAY, "yes"),
    ("failed to read copy response", AWAY, "yes"),
    ("failed to read stat response", AWAY, "yes"),
    ("connection reset", AWAY, "yes"),
    ("error: closed", AWAY, "yes"),
    ("connect failed: closed", AWAY, "yes"),
)


def trouble(message: str) -> Trouble:
    """Return the failure that a message of adb or of the device's shell reports."""
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.startswith("* daemon")]
    for line in lines:
        for part, advice, passing in KNOWN:
            if part in line.lower():
                return Trouble(shown(line), advice, passing)
    line = next((line for line in lines if "error" in line), lines[-1] if lines else "")
    return Trouble(shown(line) or "no message", "", "no")


def shown(text: str) -> str:
    """Return a device's text as a message shows it: limited in length, and without control characters."""
    cut = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:LONGEST])
    return f"{cut}… ({len(text):,} characters)" if len(text) > LONGEST else cut


def explain(message: str) -> str:
    """Return the line of a message that gives the reason, with advice if the reason is known."""
    return trouble(message).text
