"""Where a folder lies, read from /proc/mounts and df."""

import re
from collections.abc import Collection
from pathlib import PurePosixPath

FREE = re.compile(r"(\d{1,15})\s+\d+%\s")


def mount_options(mounts: str, folder: str) -> Collection[str]:
    """Return the options of the file system that holds `folder`; empty where it cannot be told.

    Args:
        mounts: the text of /proc/mounts.
        folder: an absolute path.
    """
    place = PurePosixPath(folder)
    holding: tuple[str, ...] = ()
    longest = 0
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 4 or not place.is_relative_to(fields[1]):
            continue
        # of several on one point, the last hides the others
        if len(PurePosixPath(fields[1]).parts) >= longest:
            longest, holding = len(PurePosixPath(fields[1]).parts), tuple(fields[3].split(","))
    return holding


def free_bytes(df: str) -> int | None:
    """Return the free space that `df -kP FOLDER` tells, in bytes; None where its answer cannot be read."""
    found = FREE.findall(df)
    return int(found[-1]) * 1024 if found else None
