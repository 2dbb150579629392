"""The disk of the training's state fills up: one message, and with room again the plain command goes on."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from little_space import UNSHARE, may_mount
from workflow_helpers import PROGRAMS, SMALL, copy_project, environment

pytestmark = pytest.mark.e2e

COMMAND = f"{PROGRAMS}/snakemake --cores 2 pretrained {' '.join(SMALL)} short.yaml"
SHORT = """\
model: {function: "few_layers:narrow_mobilenet", alpha: null}
pretrained: {train: {epochs: 3}}
"""
SCRIPT = f"""
mkdir work && mount -t tmpfs -o size=900k tmpfs work
{COMMAND} > first.txt 2>&1; echo $? > first.status
ls -A work/pretrained/MobileNetV1_digits/*/ > first.left; cp logs/make_pretrained/MobileNetV1_digits.log first.log
mount -o remount,size=400m work
{COMMAND} > second.txt 2>&1; echo $? > second.status
"""


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "pretrain/MobileNetV1_digits_pretrained/weights").read_bytes()).hexdigest()


@pytest.mark.skipif(not may_mount(), reason="no file system may be mounted here, not even in a namespace of its own")
def test_a_full_disk_is_one_message_and_the_next_run_goes_on_to_the_same_bytes(tmp_path: Path):
    projects = {name: copy_project(tmp_path / name) for name in ("full", "roomy")}
    for project in projects.values():
        (project.folder / "short.yaml").write_text(SHORT)
        shutil.copy(Path(__file__).parent / "few_layers.py", project.folder)
    folder = projects["full"].folder
    subprocess.run([*UNSHARE, "sh", "-c", SCRIPT], cwd=folder, env=environment(), check=True)
    read = {name: (folder / name).read_text() for name in (
        "first.txt", "first.status", "first.left", "first.log", "second.txt", "second.status",
    )}  # fmt: skip
    assert read["first.status"] == "1\n"
    (told,) = re.findall(r"^error: .*$", read["first.log"], re.MULTILINE)
    assert re.match(r"error: cannot write work/.*: No space left on device: make room on its disk", told)
    assert "Traceback" not in read["first.txt"] + read["first.log"]
    assert told in read["first.txt"], "the reason is shown where the command was given"
    assert "checkpoint-00001-0000000.safetensors" in read["first.left"].split()
    assert not re.search(r"^\.checkpoint", read["first.left"], re.MULTILINE)
    assert read["second.status"] == "0\n", read["second.txt"]
    assert "resumed at epoch 1" in (folder / "logs/make_pretrained/MobileNetV1_digits.log").read_text()

    answer = projects["roomy"].run(*COMMAND.split())
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert weights(folder) == weights(projects["roomy"].folder)
