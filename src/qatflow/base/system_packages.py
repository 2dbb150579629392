"""The system packages that programs come from, under the name of each system's package manager.

The table is `system_packages.txt`, which setup.sh reads too.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("system_packages.txt")
NO_PACKAGE = "none"
INSTALL = {
    "apt": "apt-get install",
    "dnf": "dnf install",
    "pacman": "pacman -S",
    "zypper": "zypper install",
    "brew": "brew install",
}
"""The command of each package manager, in the order in which they are looked for; setup.sh has the same."""
PROGRAM = {"apt": "apt-get"}
"""The program of a package manager where it is not its name."""


@dataclass(frozen=True)
class SystemPackage:
    """A line of the table.

    Attributes:
        when: who wants it, as the table explains.
        what: programs or paths, of which one is enough.
        names: its package, by package manager; `NO_PACKAGE` where there is none.
    """

    when: str
    what: tuple[str, ...]
    names: Mapping[str, str]


@cache
def system_packages() -> tuple[SystemPackage, ...]:
    """Return the lines of the table."""
    lines = (line.split() for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return tuple(
        SystemPackage(when, tuple(what.split("|")), dict(zip(INSTALL, names, strict=True)))
        for when, what, *names in lines
    )


def how_to_install(*wanted: str) -> str:
    """Return what to do where programs or files are missing: "run `apt-get install cmake make`", for example.

    The package manager is the one that is on this machine; where none is known, it is apt, for its names are the best
    known.

    Args:
        wanted: entries of the column `what`.
    """
    manager = next((name for name in INSTALL if shutil.which(PROGRAM.get(name, name))), "apt")
    names = {what: package.names[manager] for package in system_packages() for what in package.what}
    packages = list(dict.fromkeys(names[what] for what in wanted if names[what] != NO_PACKAGE))
    without = [what for what in wanted if names[what] == NO_PACKAGE]
    parts = [f"run `{INSTALL[manager]} {' '.join(packages)}`"] if packages else []
    if without:
        parts.append(f"{manager} has no package with {' and '.join(without)}: docs/hosts.md says what to do")
    return "; ".join(parts)
