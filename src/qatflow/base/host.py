"""The machine at hand."""

import platform

NAMES = {"arm64": "aarch64", "amd64": "x86_64", "AMD64": "x86_64"}
"""Other systems' names of processors, with Linux's."""
ARM64 = "aarch64"


def machine() -> str:
    """Return this machine's processor as `uname -m` prints it on Linux."""
    return NAMES.get(platform.machine(), platform.machine())
