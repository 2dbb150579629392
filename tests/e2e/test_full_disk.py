"""The disk of the training's state fills up: one message, and with room again the plain command goes on."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from helpers.little_space import UNSHARE, may_mount, python, run_on_small_disk
from helpers.small_run import SETTINGS, copied
from helpers.workflow_helpers import PROGRAMS, environment

pytestmark = pytest.mark.e2e

COMMAND = f"{PROGRAMS}/snakemake --cores 2 pretrained {' '.join(SETTINGS)}"
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
    folder = copied(tmp_path / "full", without=("pretrain", "results", "work")).folder
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
    assert weights(folder) == weights(copied(tmp_path / "roomy", without=("data", "results", "work")).folder)


# a process of its own: TensorFlow writes in it to a disk that is mounted for this process alone
EVENTS = """
from pathlib import Path
from qatflow.training.runtime import start
start(seed=0, threads=1)
from qatflow.training.history import EpochFigures, write_events
folder = Path({disk!r}) / "tensorboard"
folder.mkdir()
write_events(EpochFigures(0, "int8", 0.1, 0.1, 0.1, 0.1, None, None, None), folder)
print("the first event is written", flush=True)
try:
    (folder.parent / "full").write_bytes(b"x" * 65536)
except OSError:
    pass
write_events(EpochFigures(1, "int8", 0.1, 0.1, 0.1, 0.1, None, None, None), folder)
"""


@pytest.mark.skipif(not may_mount(), reason="no file system may be mounted here, not even in a namespace of its own")
def test_a_disk_that_is_full_for_tensorboards_events_is_no_lack_of_memory(tmp_path: Path):
    disk = tmp_path / "disk"
    ran, _ = run_on_small_disk(disk, 32, *python(EVENTS.format(disk=str(disk))))
    assert ran.stdout == "the first event is written\n"
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == (
        f"error: cannot write {disk}/tensorboard: No space left on device: make room on its disk, or name another place"
    )
    assert "Traceback" not in ran.stderr


@pytest.mark.tensorflow
def test_only_a_resource_that_is_no_disk_is_taken_for_memory():
    import tensorflow as tf

    from qatflow.training.memory import ran_out

    def exhausted(text: str) -> Exception:
        return tf.errors.ResourceExhaustedError(None, None, text)

    assert ran_out(exhausted("OOM when allocating tensor with shape[30000,32,32,64]"))
    assert not ran_out(exhausted("work/x/tensorboard/events.out.tfevents.1.v2; No space left on device"))
    assert not ran_out(exhausted("work/x/tensorboard/events.out.tfevents.1.v2; Disk quota exceeded"))
