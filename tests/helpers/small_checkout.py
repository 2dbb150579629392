"""A small project with this project's set-up scripts, for tests of them without network.

Its Python packages are a wheel made here, whose program `snakemake` prints its arguments, and the part of the library
that starts it. Its system programs are links to `true`.
"""

import base64
import hashlib
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from helpers.places import ROOT

SYSTEM = ("aarch64-linux-gnu-g++", "qemu-aarch64-static", "adb", "cmake", "make", "g++")
DEBIAN = ("g++-aarch64-linux-gnu", "qemu-user-static", "adb", "cmake", "make", "g++")
TABLE = Path("src/qatflow/base/system_packages.txt")
STARTS = tuple(
    Path("src/qatflow", name)
    for name in (
        *("__init__.py", "base/__init__.py", "base/cli.py", "base/deployed.py", "base/errors.py", "base/files.py"),
        *("base/places.py", "commands/__init__.py", "commands/run.py", "commands/run_sh.py", "commands/table.py"),
        *("deploy/__init__.py", "deploy/folder.py"),
    )
)
"""What `./run.sh` needs of the library to start Snakemake."""
COMMON = (
    *("bash", "env", "dirname", "sha256sum", "flock", "mkdir", "mktemp", "rm", "mv", "cp", "cat", "head", "tail"),
    *("grep", "sed", "readlink", "sleep", "ln", "touch", "chmod", "nproc", "uname"),
)

BACKEND = '''\
"""A build backend: notes each call, waits while `hold` exists, and makes an editable wheel."""
import pathlib, time, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    root = pathlib.Path.cwd()
    with open("builds", "a") as file:
        file.write("build\\n")
    while pathlib.Path("hold").exists():
        time.sleep(0.02)
    name = "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        wheel.writestr("small.pth", str(root / "src"))
        wheel.writestr("small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: small\\nVersion: 1.0\\n")
        wheel.writestr("small-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("small-1.0.dist-info/RECORD", "")
    return name
'''
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "small"
version = "1.0"
"""


def wheel(folder: Path, version: str, name: str = "tiny", program: str = "snakemake", does: str = "") -> str:
    """Make a wheel that has a program, by default one that prints its arguments; return its line of the lock file."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    does = does or f"print('{program} {version}', *sys.argv[1:])"
    files = {
        f"{name}.py": f"import os, sys\ndef main():\n    {does}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{program} = {name}:main\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},\n"
        for name, text in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


class Checkout:
    """A small project with this project's scripts, and an environment in which they see only what is given here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.wheels = folder / "wheels"
        self.bin = folder / "bin"
        for new in (self.folder, self.wheels, self.bin, folder / "home"):
            new.mkdir()
        for script in ("setup.sh", "run.sh", "test.sh"):
            shutil.copy(ROOT / script, self.folder)
        (self.folder / TABLE.parent).mkdir(parents=True)
        shutil.copy(ROOT / TABLE, self.folder / TABLE)
        for source in STARTS:
            (self.folder / source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, self.folder / source)
        (self.folder / "pyproject.toml").write_text(PYPROJECT)
        (self.folder / "backend.py").write_text(BACKEND)
        (self.folder / "requirements.lock").write_text(wheel(self.wheels, "1.0"))
        for program in COMMON:
            (self.bin / program).symlink_to(shutil.which(program) or program)
        for program in SYSTEM:
            (self.bin / program).symlink_to("/bin/true")
        self.python = f'exec {Path(sys.executable).resolve()} "$@"'
        self.program("python3", self.python)
        self.environment = {
            "PATH": str(self.bin),
            "HOME": str(folder / "home"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
        }

    def python_program(self, name: str, version: str, lacks: str = "") -> None:
        """Put a Python into PATH that is this one, but says that it has another version, and lacks modules."""
        numbers = tuple(int(part) for part in version.split("."))
        seen = f"import sys; sys.version_info = {numbers}; sys.modules.update(dict.fromkeys('{lacks}'.split()))"
        python = Path(sys.executable).resolve()
        asked = f'[[ "$1 $2" != "-I -c" ]] || exec {python} -I -c "{seen}$3" "$4"'
        self.program(name, f"{asked}\n{self.python}")

    def program(self, name: str, text: str) -> None:
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(f"#!/bin/bash\n{text}\n")
        (self.bin / name).chmod(0o755)

    def start(self, *arguments: str, script: str = "run.sh", **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [f"./{script}", *arguments], cwd=self.folder, env={**self.environment, **environment}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: str, script: str = "run.sh", **environment: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments, script=script, **environment)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def builds(self) -> int:
        log = self.folder / "builds"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def wait_for_build(self, count: int) -> None:
        limit = time.monotonic() + 60
        while self.builds() < count:
            assert time.monotonic() < limit, "the set-up did not get to installing the project"
            time.sleep(0.02)
