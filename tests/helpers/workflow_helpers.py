"""A copy of the project in which tests run Snakemake as a user does, and what Snakemake says it would do."""

import compileall
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers import shared
from helpers.places import HELPERS, ROOT

PROGRAMS = Path(sys.executable).parent
SMALL = ("--configfile", "config/test.yaml")

DATA = {"prepare_data"}
PRETRAINED = DATA | {"make_pretrained"}
COMPRESS = PRETRAINED | {"train_int8"}
EXPORT = COMPRESS | {"export_models"}
OPTIMIZE = EXPORT | {"optimize_int8"}
DEMO = {"fetch_runtime", "build_mobile_light"}
FLOAT = {"optimize_float", "take_float_model"}
PTQ = PRETRAINED | FLOAT | {"quantise_after_training", "take_ptq_model"}
DEVICE = OPTIMIZE | PTQ | DEMO | {"gate_accuracy", "require_accuracy", "run_on_device"}
EVALUATE = OPTIMIZE | PTQ | {"evaluate_fake_quant", "evaluate_tflite"}
INSPECT = OPTIMIZE | FLOAT | {"inspect_layers"}
REPORT = DEVICE | EVALUATE | INSPECT | {"make_report", "write_config", "write_model_card", "describe_run"}
ALL = REPORT | {"gate_device", "require_device"}
TARGETS = {
    "data": DATA,
    "pretrained": PRETRAINED,
    "compress": COMPRESS,
    "export": EXPORT,
    "optimize": OPTIMIZE,
    "microcontroller": OPTIMIZE | {"write_microcontroller"},
    "build_demo": DEMO,
    "run_demo": DEVICE,
    "evaluate": EVALUATE,
    "inspect": INSPECT,
    "report": REPORT,
    "compare": EVALUATE | {"gate_accuracy", "compare_experiments"},  # and the devices' runs where the gate is open
    "all": ALL,
}
"""The rules that each named target needs, of an experiment whose float weights are trained here."""
READY = DATA | DEMO | {
    "adopt_ready_model", "gate_accuracy", "require_accuracy", "run_on_device", "evaluate_tflite", "make_report",
    "write_config", "write_model_card", "describe_run", "gate_device", "require_device",
}  # fmt: skip
"""The rules of a whole run with a model that is quantised already."""
WITHOUT_TRAINING = ALL - {"train_int8", "export_models", "optimize_int8", "evaluate_fake_quant"}
"""The rules of a whole run with method ptq."""


@dataclass(frozen=True)
class Project:
    """A folder with the project's files, and the environment that its programs are started in."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *command: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a program in the folder, in a process group of its own."""
        return subprocess.Popen(
            command, cwd=self.folder, env=environment() | self.environment, text=True, stdin=subprocess.DEVNULL,
            start_new_session=True, **options,
        )  # fmt: skip

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a program in the folder to its end."""
        process = self.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def snakemake(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run Snakemake in the folder."""
        return self.run("snakemake", *arguments)

    def forked(self, *arguments: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """Run Snakemake in the folder, or in another, forked from a process that has imported it with this library.

        Most of a dry run's time is the imports. Where a test edits the library's code in more than comments, or the
        start itself is looked at, `snakemake` it is.
        """
        server = _server(self.folder)
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(json.dumps([str(folder or self.folder), arguments]) + "\n")
        server.stdin.flush()
        return subprocess.CompletedProcess(arguments, *json.loads(server.stdout.readline()))

    def dry_run(self, *arguments: str) -> str:
        """Return all that Snakemake itself prints of a dry run."""
        command = ("--cores", "2", "--dry-run", "--verbose", *arguments)
        has_library = (self.folder / "src/qatflow").is_dir() and not self.environment
        answer = self.forked(*command) if has_library else self.snakemake(*command)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr

    def plan(self, *arguments: str) -> dict[str, int]:
        """Return how many jobs of each rule a dry run would start."""
        return planned(self.dry_run(*arguments))

    def files(self) -> list[str]:
        """Return the files below the folder, without Snakemake's own."""
        paths = (path.relative_to(self.folder) for path in self.folder.rglob("*") if not path.is_dir())
        return sorted(str(path) for path in paths if path.parts[0] != ".snakemake" and "__pycache__" not in path.parts)


_SERVERS: "dict[Path, subprocess.Popen[str]]" = {}
"""By project, the oldest first."""


def _server(folder: Path) -> "subprocess.Popen[str]":
    """Return the process that runs commands with the library of a project; the oldest of three is ended for it."""
    if folder not in _SERVERS:
        if len(_SERVERS) == 3:
            oldest = _SERVERS.pop(next(iter(_SERVERS)))
            oldest.communicate()
        _SERVERS[folder] = subprocess.Popen(
            [sys.executable, HELPERS / "run_commands.py", folder / "src"], cwd=folder, env=environment(), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
    return _SERVERS[folder]


def processor_time() -> float:
    """Return the seconds that the programs which this process started, and waited for, have computed so far.

    What limits this, unlike the time of day, does not fail on a busy machine.
    """
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def environment() -> dict[str, str]:
    """Return this process's environment with the programs of its Python first in PATH."""
    return os.environ | {"PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}


def copy_project(folder: Path) -> Project:
    """Copy the project's files into a new folder, and Python's compiled ones of the library."""
    shared.once("compiled", _compile_library)
    for name in files_of(ROOT):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for compiled in (ROOT / "src").rglob("__pycache__"):
        shutil.copytree(compiled, folder / compiled.relative_to(ROOT), dirs_exist_ok=True)
    return Project(folder)


def files_of(checkout: Path) -> list[str]:
    """Return the files that git knows, and those that it would take in the same folders.

    What else lies in the checkout is its user's: pictures, configurations.
    """

    def listed(*which: str) -> list[str]:
        command = ["git", "ls-files", *which, "-z"]
        answer = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True)
        return [name for name in answer.stdout.split("\0") if name]

    known = listed("--cached")
    folders = {Path(name).parts[0] for name in known if "/" in name}
    new = listed("--others", "--exclude-standard")
    return known + [name for name in new if "/" in name and Path(name).parts[0] in folders]


def _compile_library(_: Path) -> None:
    """Compile the library where it is, if it is not: otherwise each program of each copy of it does."""
    source, scripts = ROOT / "src", ROOT / "workflow/scripts"
    compileall.compile_dir(source, quiet=2)
    imports = (
        "import sys; from pathlib import Path; from qatflow.base.code_digest import code_files\n"
        f"for script in Path({str(scripts)!r}).glob('*.py'): code_files(script)"
    )
    subprocess.run([sys.executable, "-c", imports], check=True, env=environment() | {"PYTHONPATH": str(source)})


def artefacts(folder: Path) -> dict[str, str]:
    """The sha256 of every file that the workflow made, but for logs and states of training."""
    found = {}
    for top in ("data", "pretrain", "results"):
        for path in sorted((folder / top).rglob("*")):
            if path.is_file() and "checkpoints_quan" not in path.parts:
                found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def planned(text: str) -> dict[str, int]:
    """Return the job counts by rule from the text of a dry run."""
    if "Nothing to be done" in text:
        return {}
    (table, *_) = re.findall(r"^job +count\n-[- ]+\n(.*?)^total ", text, re.MULTILINE | re.DOTALL)
    return {name: int(count) for name, count in (line.split() for line in table.splitlines())}


@dataclass(frozen=True)
class Job:
    """What a dry run says of a job."""

    rule: str
    inputs: list[str]
    log: str | None
    outputs: list[str]


def jobs(text: str) -> list[Job]:
    """Return the jobs in the text of a dry run."""
    found = []
    for rule, body in re.findall(r"^(?:localrule|rule|checkpoint) (\w+):\n((?:    .*\n)+)", text, re.MULTILINE):
        parts = dict(line.strip().split(": ", 1) for line in body.splitlines() if ": " in line)
        inputs, outputs = (parts.get(name, "").split(", ") for name in ("input", "output"))
        found.append(Job(rule, inputs, parts.get("log"), outputs))
    return found
