"""The workflow killed at a dozen points, one after another, by the plain command each time: the bytes are the same.

The victims are real processes of a real Snakemake: the trainer, Snakemake itself, or both, by SIGKILL or SIGTERM. What
they are killed in the middle of is found by an audit hook (kill_points/sitecustomize.py), so that it is that point.
"""

import json
import shutil
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from helpers.places import HELPERS
from helpers.workflow_helpers import Project, artefacts, copy_project

pytestmark = pytest.mark.e2e

HOOK = HELPERS / "kill_points" / "sitecustomize.py"
NETWORK = HELPERS / "few_layers.py"
OVERLAY = """\
experiment: killed
model: {function: "few_layers:build", alpha: null}
pretrained: {name: killed, train: {epochs: 2}}
compress: {config: config/compress/killed.yaml, checkpoint_steps: 4}
"""
STRATEGY = """\
include: [quantization.yaml]
strategies: {quantization_strategy: {start_epoch: 1, end_epoch: 2}}
compressor: {epoch: 3}
"""
COMMAND = (
    "snakemake", "--cores", "2", "export", "optimize", "results/killed/killed_ptq/model.tflite",
    "--configfile", "config/test.yaml", "killed.yaml",
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """Where and whom to kill.

    Attributes:
        name: what is going on there.
        program: script of the process that watches for it.
        before: the file or folder that is about to get its final name.
        after: the one that has just got it; the blow comes `delay` seconds later.
        victims: who is killed.
        signal: by which signal the trainer is.
        delay: in seconds.
        outlives: seconds that a trainer who is no victim takes over the step in which Snakemake was killed.
    """

    name: str
    program: str
    before: str = ""
    after: str = ""
    victims: tuple[str, ...] = ("trainer",)
    signal: int = signal.SIGKILL
    delay: float = 0.0
    outlives: float = 0.0


DATA = "scripts/prepare_data.py"
FLOAT, QAT, EXPORT = "scripts/pretrained.py", "scripts/compress.py", "scripts/export.py"
BOTH = ("trainer", "snakemake")
POINTS = [
    Point("data, a shard is about to appear, in a process of its own", DATA, before="train-00001-of", victims=BOTH),
    Point("data, the folder is about to appear", DATA, before="/data/digits$"),
    Point("float training, the first checkpoint is being written", FLOAT, before="checkpoint-00001-0000000"),
    Point("float training, the best epoch is being kept", FLOAT, before="/best$", victims=BOTH),
    Point("float training, within an epoch", FLOAT, after="checkpoint-00001-0000000", victims=BOTH, delay=0.02),
    Point("the float model is about to appear", FLOAT, before="killed_pretrained$"),
    Point("before start_epoch, within an epoch", QAT, after="checkpoint-00000-0000004", victims=BOTH, delay=0.02),
    Point("before start_epoch, SIGTERM", QAT, after="checkpoint-00000-0000008", signal=signal.SIGTERM),
    Point("quantisation begins", QAT, after="checkpoint-00001-0000000", delay=0.5),
    Point("after start_epoch, a checkpoint is being written", QAT, before="checkpoint-00001-0000008"),
    Point("after start_epoch, SIGTERM", QAT, after="checkpoint-00001-0000008", signal=signal.SIGTERM, delay=0.01),
    Point("the quantised graph is being kept", QAT, before="/quantised$", victims=BOTH),
    Point("Snakemake alone, the trainer goes on", QAT, before="/quantised$", victims=("snakemake",), outlives=25),
    Point("the trained model is about to appear", QAT, before="killed/trained$", victims=BOTH),
    Point("export, the first folder is about to appear", EXPORT, before="output/float$"),
    Point("export, the last folder is about to appear", EXPORT, before="output/mobile$", victims=BOTH),
]


def project(folder: Path) -> Project:
    made = copy_project(folder)
    (made.folder / "killed.yaml").write_text(OVERLAY)
    shutil.copy(NETWORK, made.folder)
    (made.folder / "config/compress/killed.yaml").write_text(STRATEGY)
    return made


def log_of(project: Project, program: str) -> Path:
    logs = {
        DATA: "prepare_data/digits", FLOAT: "make_pretrained/killed", QAT: "train_int8/killed",
        EXPORT: "export_models/killed",
    }  # fmt: skip
    return project.folder / f"logs/{logs[program]}.log"


@dataclass(frozen=True)
class Struck:
    """A run that was killed: how it ended, what it printed, the log of the victim, and the files it left.

    `seconds` are those from the blow to the victim's last word.
    """

    status: int
    printed: str
    log: str
    files: list[str]
    seconds: float


def killed(project: Project, point: Point) -> Struck:
    """Run the plain command until the point strikes and Snakemake has ended."""
    mark = project.folder / ".struck"
    mark.unlink(missing_ok=True)
    environment = {"KILL_POINT": json.dumps(asdict(point) | {"mark": str(mark)})}
    process = Project(project.folder, environment).start(*COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if "snakemake" in point.victims:  # its children may go on writing where it wrote
        process.wait(600)
        printed = ""
    else:
        printed = process.communicate(timeout=600)[0]
    assert mark.exists(), f"the point was not reached: {printed}"
    log = log_of(project, point.program)
    seconds = log.stat().st_mtime - mark.stat().st_mtime
    return Struck(process.returncode, printed, log.read_text(), project.files(), seconds)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    fresh = project(tmp_path_factory.mktemp("uninterrupted"))
    answer = fresh.run(*COMMAND)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return artefacts(fresh.folder)


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Struck], str]:
    """A project killed at every point in turn, each time begun again by the same command; what the last run printed."""
    victim = project(tmp_path_factory.mktemp("killed"))
    shutil.copy(HOOK, victim.folder / "src" / HOOK.name)
    found = {point.name: killed(victim, point) for point in POINTS}
    answer = victim.run(*COMMAND)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return victim, found, answer.stdout + answer.stderr


def test_after_all_the_kills_every_artefact_is_that_of_a_fresh_clone_that_was_never_killed(survivor, uninterrupted):
    victim, found, _ = survivor
    assert len(found) == len(POINTS) >= 10
    after = artefacts(victim.folder)
    assert after.keys() == uninterrupted.keys()
    assert {name for name, digest in uninterrupted.items() if after[name] != digest} == set()
    kinds = {Path(name).name for name in uninterrupted}
    assert {"manifest.json", "model", "weights", "history.csv", "model.tflite", "optimization.json"} <= kinds
    assert sum(name.endswith(".tfrecord") for name in uninterrupted) >= 3


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_a_killed_run_ends_at_once_says_so_and_leaves_nothing_half_made(survivor, point):
    struck = survivor[1][point.name]
    assert struck.status != 0
    outputs = [
        name for name in struck.files if name.startswith(("pretrain/", "results/")) and "checkpoints" not in name
    ]
    for folder, whole in (("pretrain/killed_pretrained/", 4), ("results/killed/trained/", 4)):
        assert len([name for name in outputs if name.startswith(folder)]) in (0, whole)
    for kind in ("float", "int8", "mobile"):
        assert len([name for name in outputs if name.startswith(f"results/killed/output/{kind}/")]) in (0, 3)
    assert "Traceback" not in struck.printed


@pytest.mark.parametrize("point", [p for p in POINTS if p.signal == signal.SIGTERM], ids=lambda point: point.name)
def test_sigterm_saves_the_state_and_ends_with_143_within_ten_seconds(survivor, point):
    struck = survivor[1][point.name]
    assert "terminated at epoch" in struck.log and "the state is saved" in struck.log
    assert "143" in struck.printed
    assert 0 <= struck.seconds < 10, "a cluster kills after ten seconds"


def test_a_trainer_that_outlives_snakemake_is_waited_for(survivor):
    assert (
        "another process is training here; waiting for it to end"
        in survivor[1]["the trained model is about to appear"].log
    )


def test_no_run_had_to_be_told_to_unlock_or_to_rerun_what_was_incomplete(survivor):
    printed = survivor[2] + "".join(struck.printed for struck in survivor[1].values())
    assert "LockException" not in printed and "IncompleteFilesException" not in printed
    assert "starting over" not in "".join(struck.log for struck in survivor[1].values())


def test_training_state_keeps_no_half_written_checkpoint(survivor):
    assert [name for name in survivor[0].files() if "/.checkpoint-" in name] == []
