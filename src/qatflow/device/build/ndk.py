"""The Android NDK, and LiteRT from the archive (AAR) that Android projects use."""

import contextlib
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from qatflow.base.errors import UserError

VARIABLE = "ANDROID_NDK_HOME"
TOOLCHAIN = Path("build/cmake/android.toolchain.cmake")
ABI = {"aarch64": "arm64-v8a", "x86_64": "x86_64"}
LITERT = "libLiteRt.so"
# RuntimeError: the archive needs a password, or uses an unknown compression.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)


def ndk_folder() -> Path:
    """Return the folder of the NDK; raises UserError if the environment variable does not name one."""
    value = os.environ.get(VARIABLE, "")
    if not value:
        raise UserError(f"clang for android.armv8 comes with the Android NDK: set {VARIABLE} to the folder of the NDK")
    if not (Path(value) / TOOLCHAIN).is_file():
        raise UserError(f"{VARIABLE} is {value}, which has no {TOOLCHAIN}: is it the folder of an Android NDK?")
    return Path(value)


def check_aar(aar: Path, machine: str) -> None:
    """Raise UserError if the file is not an AAR, or has no LiteRT for that processor."""
    with _opened(aar, machine):
        return


def unpack_aar(aar: Path, machine: str, folder: Path) -> None:
    """Put libLiteRt.so and all other libraries of the AAR for that processor into `folder`.

    Raises:
        UserError: the file is not an AAR, or has no LiteRT for that processor.
    """
    with _opened(aar, machine) as (archive, members):
        for name in members:
            with archive.open(name) as source, (folder / Path(name).name).open("wb") as target:
                shutil.copyfileobj(source, target)


@contextlib.contextmanager
def _opened(aar: Path, machine: str) -> Iterator[tuple[zipfile.ZipFile, list[str]]]:
    """Yield the archive and the names of its libraries for that processor, including LiteRT."""
    prefix = f"jni/{ABI[machine]}/"
    try:
        with zipfile.ZipFile(aar) as archive:
            members = [name for name in archive.namelist() if re.fullmatch(rf"{prefix}[^/\\]+\.so", name)]
            if f"{prefix}{LITERT}" not in members:
                raise UserError(f"{aar} contains no {prefix}{LITERT}: is it the AAR of LiteRT 2?")
            yield archive, members
    except OSError as error:
        raise UserError(f"cannot read {aar}: {error.strerror}") from None
    except DAMAGED as error:
        raise UserError(f"{aar} is not an AAR, or is damaged: {error}") from None


def aar_version(aar: Path) -> str | None:
    """Return the version in a file name of the Maven registry (litert-2.1.0.aar); None for any other name."""
    name = re.fullmatch(r"litert-(\d+(?:\.\d+)+[\w.-]*)\.aar", aar.name)
    return name[1] if name else None
