"""What a device's shell prints when a command fails, what the user can do about it, and whether it may pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Passing = Literal["yes", "once seen", "no"]
Known = tuple[str, str, Passing]
"""Part of a message in lower case, advice, and whether such a failure may pass by itself."""
LONGEST = 500
"""How many characters of a device's text a message shows."""
NO_SUMS = "install it on the device: coreutils and busybox have it"
OF_THE_SHELL: tuple[Known, ...] = (
    ("sha256sum: not found", NO_SUMS, "no"),
    ("sha256sum: command not found", NO_SUMS, "no"),
    ("sha256sum: inaccessible", NO_SUMS, "no"),
    ("no space left on device", "free some space on the device", "no"),
    ("disk quota exceeded", "free some space on the device", "no"),
    ("read-only file system", "nothing can be written there: restart the device, or use another one", "no"),
    ("permission denied", "the device does not allow this in that folder; is it mounted noexec?", "no"),
)
"""Texts of Android's toybox and mksh, and of dash, bash and busybox."""


@dataclass(frozen=True)
class Trouble:
    """A failure that the connection or the device reported.

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


def trouble(message: str, known: Sequence[Known] = OF_THE_SHELL) -> Trouble:
    """Return the failure that a message reports.

    Args:
        message: of the device's shell, or of the program that connects to it.
        known: what such messages contain.
    """
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.startswith("* daemon")]
    for line in lines:
        for part, advice, passing in known:
            if part in line.lower():
                return Trouble(shown(line), advice, passing)
    line = next((line for line in lines if "error" in line), lines[-1] if lines else "")
    return Trouble(shown(line) or "no message", "", "no")


def shown(text: str) -> str:
    """Return a device's text as a message shows it: limited in length, and without control characters."""
    cut = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:LONGEST])
    return f"{cut}… ({len(text):,} characters)" if len(text) > LONGEST else cut
