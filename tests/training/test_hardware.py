"""What TensorFlow computes on: said in one line, with the threads it was given, and what is said when memory ends."""

import os
import re
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from helpers.places import HELPERS, ROOT, TESTS
from helpers.section_options import option
from helpers.small_data import prepared_digits

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits") / "data"
    prepared_digits(folder)
    return folder / "manifest.json"


# Processes of their own: TensorFlow takes its threads, GPUs and memory once, at its start.
def float_training(manifest: Path, work: Path, epochs: int, *options: str) -> list[str | Path]:
    script = ROOT / "workflow" / "scripts" / "pretrained.py"
    paths: list[str | Path] = ["--data", manifest, "--work", work / "work", "--output", work / "made"]
    # its network is found in the folder in which the program starts
    network = option("model", function="few_layers:narrow_mobilenet")
    return [sys.executable, script, *paths, *network, *option("pretrained", train={"epochs": epochs}), *options]


@pytest.mark.parametrize(
    ("environment", "flags", "said"),
    [
        ({}, ["--threads", "1"], "no GPU found: computing on the CPU, with 1 thread\n"),
        ({}, option("hardware", gpus=0), "hardware.gpus is 0: computing on the CPU, with 2 threads\n"),
        (
            {"CUDA_VISIBLE_DEVICES": "3"},
            option("hardware", memory_limit=4096),
            "no GPU found (CUDA_VISIBLE_DEVICES is '3'): computing on the CPU, with 2 threads\n",
        ),
    ],
    ids=["none", "not wanted", "hidden"],
)
def test_without_a_gpu_one_line_says_so_and_everything_runs(manifest, tmp_path, environment, flags, said):
    done = subprocess.run(
        float_training(manifest, tmp_path, 1, *flags),
        cwd=HELPERS, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("computing on") == 1 and said in done.stdout
    assert "cuInit" not in done.stderr and "E0000" not in done.stderr
    assert (tmp_path / "made" / "weights").exists()


def test_training_for_int8_loads_no_package_that_it_never_uses_and_all_can_still_be_imported():
    program = (
        "from qatflow.training.runtime import import_quantisation, start\n"
        "start(seed=0, threads=1)\nimport_quantisation()\nimport gc, qatflow.compress.compressor, sys\n"
        "assert 'tensorflow_model_optimization' in sys.modules and gc.isenabled()\n"
        "assert sys.getrecursionlimit() >= 10_000, 'Keras goes down a level for each layer'\n"
        "assert not {'keras', 'pandas', 'scipy'} & sys.modules.keys()\n"
        "import pandas, scipy.optimize\nassert 'pandas' in sys.modules\n"
        "import keras\nassert keras.__version__.startswith('3.')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_of_standard_error_only_the_lines_of_a_missing_driver_are_left_out():
    program = (
        "import os\nfrom qatflow.training.runtime import _without_lines\nos.write(2, b'before\\n')\n"
        "with _without_lines('cuInit'):\n    os.write(2, b'E0000 failed call to cuInit: 303\\nE0000 another\\n')\n"
        "    os.system('echo from a child >&2')\nos.write(2, b'behind\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "before\nE0000 another\nfrom a child\nbehind\n"


@pytest.mark.parametrize(("device", "shown"), [("nvidia0", True), ("nvidiactl", True), ("kfd", True), ("null", False)])
def test_where_a_driver_is_there_nothing_is_left_out(tmp_path, monkeypatch, device, shown):
    from qatflow.training import runtime as tensorflow_runtime

    (tmp_path / device).touch()
    monkeypatch.setattr(tensorflow_runtime, "DEVICES", tmp_path)
    assert tensorflow_runtime._has_driver() == shown


def test_more_gpus_than_there_are_is_an_error(manifest, tmp_path):
    command = float_training(manifest, tmp_path, 1, *option("hardware", gpus=2))
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "0"}
    done = subprocess.run(command, cwd=HELPERS, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: hardware.gpus: 2 GPUs are wanted, 0 found (CUDA_VISIBLE_DEVICES is '0'); set ")
    assert "Traceback" not in done.stderr and not (tmp_path / "made").exists()


def busy_threads(process: subprocess.Popen) -> Counter[str]:
    """How many threads of each name the process has that compute, beside the one it began with."""
    spent = {}
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        name, ticks = (task / "comm").read_text().strip(), (task / "stat").read_text().rpartition(")")[2].split()[11:13]
        if task.name != str(process.pid):
            spent[task.name] = name, sum(map(int, ticks))
    most = max(ticks for _, ticks in spent.values())
    return Counter(name for name, ticks in spent.values() if ticks > most / 5)


@pytest.mark.parametrize("count", [1, 3])
def test_threads_given_to_a_job_are_those_that_tensorflow_computes_with(manifest, tmp_path, count):
    """The threads between operations are named, those within them are called as the program is."""
    command = float_training(manifest, tmp_path, 100, "--threads", str(count))
    process = subprocess.Popen(command, cwd=HELPERS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    timer = threading.Timer(600, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:  # on a loaded machine one of them may long have nothing to do
            if line.startswith("epoch ") and int(line.split()[1]) >= 8:
                found = busy_threads(process)
                between = found.pop("tf_Compute")
                # with one thread for what is within an operation TensorFlow takes that of the operation itself
                if (between, sum(found.values())) == (count, count if count > 1 else 0):
                    return
    finally:
        timer.cancel()
        process.kill()
        process.wait()
    pytest.fail(f"at the end {between} threads between operations, and within them {dict(found)}")


def test_when_memory_ends_a_batch_that_fits_is_named_and_it_fits(manifest, tmp_path):
    def train(batch: int) -> subprocess.CompletedProcess:
        folder = tmp_path / str(batch)
        folder.mkdir()
        command = [sys.executable, HELPERS / "little_memory.py", manifest, folder, str(batch), "1200"]
        # as on a GPU it is the allocator that says no; oneDNN's operations have no message for it, some crash
        environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "PYTHONPATH": str(TESTS)}
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    done = train(12_000)
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    found = re.fullmatch(
        r"error: a step of 12000 pictures \(pretrained.train.batch_size\) does not fit into the memory; (\d+) do "
        r"\(tried\): set pretrained.train.batch_size to (\d+); what was trained so far is kept",
        error,
    )
    assert found and found[1] == found[2], error
    assert train(int(found[1])).returncode == 0
