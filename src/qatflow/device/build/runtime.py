"""The LiteRT library of a target, from the wheel that requirements.lock pins."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import IO

from qatflow.base import host
from qatflow.base.errors import UserError
from qatflow.base.files import sha256, whole_file
from qatflow.base.sums import check, read_sealed, write_sealed
from qatflow.device.build import elf

PACKAGE = "ai-edge-litert"
MEMBER = "ai_edge_litert/libLiteRt.so"
# Only the wheel's file name depends on the Python version, not the library.
WHEEL_PLATFORM = {"aarch64": "manylinux_2_27_aarch64", "x86_64": "manylinux_2_27_x86_64"}
WHEEL_PYTHON = "3.11"
RETRIES = "2"
SECONDS_WITHOUT_DATA = "30"


def fetch_runtime(requirements: Path, machine: str, output: Path) -> None:
    """Put libLiteRt.so for `machine` at `output`, and its version and origin next to it (see `version_file`).

    For this machine's processor, the library of the installed package is used. Otherwise pip downloads the wheel and
    checks it against the SHA-256 sums in the lock file.

    Args:
        requirements: the lock file, with `ai-edge-litert==VERSION` and its `--hash` lines.
        machine: `aarch64` or `x86_64`.
        output: where to put libLiteRt.so.

    Raises:
        UserError: the package is not pinned with hashes, another version is installed, or the download failed.
    """
    version, block = pinned(requirements)
    if machine != host.machine():
        with tempfile.TemporaryDirectory() as folder:
            wheel = _download(version, block, WHEEL_PLATFORM[machine], Path(folder))
            origin: dict[str, str | None] = {"wheel": wheel.name, "wheel_sha256": sha256(wheel)}
            with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as library:
                _place(library, machine, output)
    else:
        installed = metadata.version(PACKAGE)
        if installed != version:
            raise UserError(
                f"{PACKAGE} {installed} is installed, {requirements} pins {version}: "
                f"run `pip install --require-hashes -r {requirements}`"
            )
        spec = importlib.util.find_spec("ai_edge_litert")
        if spec is None or spec.origin is None:
            raise UserError(f"{PACKAGE} is not installed properly: run `pip install -r {requirements}`")
        origin = {"wheel": None, "wheel_sha256": None}
        with (Path(spec.origin).parent / Path(MEMBER).name).open("rb") as library:
            _place(library, machine, output)
    write_sealed(version_file(output), {"version": version, "machine": machine, **origin}, files=[output.name])


def version_file(library: Path) -> Path:
    """Return the JSON file next to the library with its version and origin."""
    return library.with_suffix(".json")


def runtime_version(library: Path) -> str | None:
    """Return the LiteRT version of a library that `fetch_runtime` placed; None for any other library.

    Raises:
        UserError: the library or its JSON file has changed since it was placed.
    """
    path = version_file(library)
    if not path.is_file():
        return None
    check(library)
    return str(read_sealed(path)["version"])


def pinned(requirements: Path) -> tuple[str, str]:
    """Return the pinned version of ai-edge-litert and the lines that pin it, hashes included."""
    try:
        text = requirements.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {requirements}: {error.strerror}") from None
    pin = re.search(rf"^{PACKAGE}==(\S+)((?: *\\\n *--hash=\S+)+)", text, re.MULTILINE)
    if pin is None:
        raise UserError(f"{requirements} does not pin {PACKAGE} with hashes: compile it again from requirements.in")
    return pin[1], f"{pin[0]}\n"


def _download(version: str, block: str, platform: str, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(block, encoding="utf-8")
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"),
        *("--platform", platform, "--python-version", WHEEL_PYTHON, "--implementation", "cp"),
        *("--retries", RETRIES, "--timeout", SECONDS_WITHOUT_DATA),
        *("--disable-pip-version-check", "--dest", str(folder), "--requirement", str(requirements)),
    ]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    wheels = list(folder.glob("*.whl"))
    if answer.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    if "DO NOT MATCH THE HASHES" in answer.stderr:
        raise UserError(
            f"the {platform} wheel of {PACKAGE} {version} does not have the SHA-256 that the lock file gives: "
            "a proxy or mirror altered it, or the lock file is out of date; nothing was installed"
        )
    reasons = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")] or [answer.stderr.strip()]
    raise UserError(
        f"pip could not download the {platform} wheel of {PACKAGE} {version} ({reasons[0]}): is there a network? "
        f"Without one, put the wheel into a folder and set PIP_FIND_LINKS to that folder and PIP_NO_INDEX=1"
    )


def _place(library: IO[bytes], machine: str, output: Path) -> None:
    with whole_file(output) as temporary:
        with temporary.open("wb") as file:
            shutil.copyfileobj(library, file)
        actual = elf.machine(temporary)
        if actual != machine:
            raise UserError(f"the LiteRT library found is for {actual}, not {machine}")
