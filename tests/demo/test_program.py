"""mobilenetv1_light_api on this machine: flags, outputs, times, exit statuses."""

import json
import os
import re
import stat
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from helpers.device_fixtures import call, host_bundle  # noqa: F401
from helpers.tiny_model import Form, model_bytes, write_model
from qatflow.device.build.bundle import open_bundle
from qatflow.tflite.run import Model


@pytest.fixture(scope="session")
def program(host_bundle: Path) -> Path:  # noqa: F811
    return open_bundle(host_bundle).files["mobilenetv1_light_api"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


@pytest.mark.parametrize(
    ("classes", "printed"),
    [(5, range(5)), (10, range(10)), (19, range(19)), (25, range(0, 25, 2)), (1000, range(0, 1000, 100)),
     (1001, range(0, 1001, 100))],
)  # fmt: skip
def test_prints_the_outputs_of_an_input_of_ones(program: Path, tmp_path: Path, classes: int, printed: range) -> None:
    folder = write_model(tmp_path / "model", classes)
    expected = Model(folder / "model.tflite").outputs(np.ones((1, 8, 8, 1), np.float32))[0]
    answer = call(program, f"--model_dir={folder}")
    assert answer.returncode == 0, answer.stderr
    lines = [f"Output dim: {classes}", *(f"Output[{i}]: {expected[i]:f}" for i in printed)]
    assert answer.stdout == "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("form", ["quantised", "float", "int8"])
@pytest.mark.parametrize("count", [1, 7])
def test_runs_every_tensor_of_a_file(program: Path, tmp_path: Path, form: Form, count: int) -> None:
    folder = write_model(tmp_path / "model", form=form)
    host = Model(folder / "model.tflite")
    inputs = host.input.from_real(np.random.default_rng(1).uniform(-2, 2, (count, 8, 8, 1)).astype(np.float32))
    inputs.tofile(tmp_path / "inputs.bin")
    answer = call(
        program, "--model_dir", str(folder), "--input", str(tmp_path / "inputs.bin"),
        "--output", str(tmp_path / "outputs.bin"), "--threads", "2",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    found = np.fromfile(tmp_path / "outputs.bin", host.output.dtype).reshape(count, -1)
    assert len(np.unique(found, axis=0)) == count  # the tensors really differ
    np.testing.assert_array_equal(found, host.outputs(inputs))


def test_prints_real_values_of_integer_outputs(program: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", form="int8")
    host = Model(folder / "model.tflite")
    ones = np.full((1, 8, 8, 1), round(1 / host.input.scale) + host.input.zero_point, np.int8)
    real = (host.outputs(ones)[0].astype(np.float64) - host.output.zero_point) * host.output.scale
    lines = call(program, f"--model_dir={folder}").stdout.splitlines()[1:]
    assert lines == [f"Output[{i}]: {value:f}" for i, value in enumerate(real)]


def test_json_tells_times_and_shapes(program: Path, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "timing.json"
    flags = ("--threads=2", "--warmup=3", "--repeats=40", f"--json={path}")
    assert call(program, f"--model_dir={model}", *flags).returncode == 0
    told = json.loads(path.read_text())
    assert (told["threads"], told["warmup"], told["runs"], told["tensors"]) == (2, 3, 40, 1)
    assert told["input"] == {"type": "float32", "shape": [1, 8, 8, 1]}
    assert told["output"] == {"type": "float32", "shape": [1, 10]}
    assert told["model_bytes"] == (model / "model.tflite").stat().st_size
    assert 0 < told["min_ms"] <= told["median_ms"] <= told["p90_ms"] <= told["max_ms"]
    assert told["min_ms"] <= told["mean_ms"] <= told["max_ms"]
    assert told["stddev_ms"] <= told["max_ms"] - told["min_ms"]
    assert told["first_ms"] > 0 and told["load_ms"] > 0
    assert 1e6 < told["peak_memory_bytes"] < 1e9


@pytest.mark.parametrize("repeats", [1, 2, 9, 10, 11, 40])
def test_statistics_are_those_of_the_times(program: Path, model: Path, tmp_path: Path, repeats: int) -> None:
    path = tmp_path / "timing.json"
    assert call(program, f"--model_dir={model}", f"--repeats={repeats}", f"--json={path}").returncode == 0
    told = json.loads(path.read_text())
    times = np.asarray(told["times_ms"])
    assert len(times) == told["runs"] == repeats and told["first_ms"] == pytest.approx(times[0], rel=1e-5)
    expected = {
        "min": times.min(), "mean": times.mean(), "median": np.median(times), "max": times.max(),
        "p90": np.percentile(times, 90, method="inverted_cdf"), "stddev": times.std(ddof=1) if repeats > 1 else 0,
    }  # fmt: skip
    assert {name: told[f"{name}_ms"] for name in expected} == pytest.approx(expected, rel=1e-5)


def test_timed_runs_go_on_for_the_seconds_asked_for(program: Path, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "timing.json"
    assert call(program, f"--model_dir={model}", "--repeats=3", "--min_seconds=1", f"--json={path}").returncode == 0
    told = json.loads(path.read_text())
    times = np.asarray(told["times_ms"])
    assert len(times) == told["runs"] > 3 and times.sum() >= 1000 > times[:-1].sum()
    assert told["p90_ms"] == pytest.approx(np.percentile(times, 90, method="inverted_cdf"), rel=1e-5)


def test_json_of_a_single_run_has_no_spread(program: Path, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "timing.json"
    assert call(program, f"--model_dir={model}", f"--json={path}").returncode == 0
    told = json.loads(path.read_text())
    same = {told[f"{name}_ms"] for name in ("first", "min", "mean", "median", "p90", "max")}
    assert len(same) == 1 and told["stddev_ms"] == 0 and told["runs"] == 1


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_are_those_asked_for(program: Path, model: Path, threads: int) -> None:
    command = [str(program), f"--model_dir={model}", f"--threads={threads}", "--repeats=1000000"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        most, start = 0, time.monotonic()
        while time.monotonic() < start + 0.5 or (most < threads and time.monotonic() < start + 60):
            most = max(most, len(list(Path(f"/proc/{process.pid}/task").iterdir())))
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert most == threads


FLAGS = "model_dir input images output topk threads warmup repeats profile json help"
STATUSES = (0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)


def test_help_lists_every_flag_and_status(program: Path) -> None:
    answer = call(program, "--help")
    assert answer.returncode == 0
    for flag in FLAGS.split():
        assert f"--{flag} " in answer.stdout
    statuses = answer.stdout.split("exit status:")[1]
    for status in STATUSES:
        assert re.search(rf"^ *{status} |  {status} ", statuses, re.MULTILINE)


def test_topk_ranks_the_classes_of_every_input(program: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    inputs = np.random.default_rng(8).uniform(-1, 1, (3, 8, 8, 1)).astype(np.float32)
    inputs.tofile(tmp_path / "inputs")
    outputs = Model(folder / "model.tflite").outputs(inputs)
    flags = (f"--input={tmp_path}/inputs", "--topk=4", f"--json={tmp_path}/json")
    lines = call(program, f"--model_dir={folder}", *flags).stdout.splitlines()[11:]
    best = np.argsort(-outputs, axis=1, kind="stable")[:, :4]
    assert lines == [
        f"{tmp_path}/inputs[{i}]: {rank}. class {index} ({index}): {outputs[i, index]:f}"
        for i in range(3)
        for rank, index in enumerate(best[i], start=1)
    ]
    results = json.loads((tmp_path / "json").read_text())["results"]
    assert [[top["class"] for top in result["top"]] for result in results] == best.tolist()
    assert [np.float32(top["value"]) for top in results[2]["top"]] == outputs[2, best[2]].tolist()


def test_topk_beyond_the_classes_ranks_them_all(program: Path, model: Path) -> None:
    assert len(call(program, f"--model_dir={model}", "--topk=1000").stdout.splitlines()) == 11 + 10


def test_json_holds_any_file_name_and_label(program: Path, model: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b'a "quoted" \\ \xff \t name \xc3\xa9')
    (tmp_path / name).write_bytes(bytes(256))
    (model / "labels.txt").write_bytes(b"\x01\r\n" + "ä\n".encode() * 9)
    flags = (f"--input={tmp_path / name}", "--topk=10", f"--json={tmp_path}/json")
    assert subprocess.run([program, f"--model_dir={model}", *flags], capture_output=True).returncode == 0
    (result,) = json.loads((tmp_path / "json").read_text(encoding="utf-8"))["results"]
    assert result["input"] == f'{tmp_path}/a "quoted" \\ \ufffd \t name é[0]'
    assert {top["label"] for top in result["top"]} == {"\x01", "ä"}


@pytest.mark.parametrize("labels", [None, "only one\n"])
def test_wrong_labels_end_with_status_11(program: Path, model: Path, labels: str | None) -> None:
    (model / "labels.txt").unlink()
    if labels is not None:
        (model / "labels.txt").write_text(labels)
    assert call(program, f"--model_dir={model}").returncode == 0  # they are not needed there
    answer = call(program, f"--model_dir={model}", "--topk=1")
    assert answer.returncode == 11
    assert ("has 1 labels, the model 10 outputs" if labels else "no file") in answer.stderr


def test_profile_tells_the_time_of_each_operator(program: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", 200_000)  # the run-time's clock tells whole microseconds
    answer = call(program, f"--model_dir={folder}", "--profile", "--repeats=20", f"--json={tmp_path}/json")
    assert answer.returncode == 0, answer.stderr
    plain = call(program, f"--model_dir={folder}").stdout
    assert answer.stdout.startswith(plain)
    told = json.loads((tmp_path / "json").read_text())
    operators = told["operators"]
    kinds = [operator["kernel"].split()[0] for operator in operators]
    for kind in ("Convolution", "Fully", "Softmax"):
        assert kinds.count(kind) == 1
    assert all(operator["runs"] == 20 for operator in operators)
    assert all(operator["min_ms"] <= operator["mean_ms"] <= operator["max_ms"] for operator in operators)
    assert max(operator["mean_ms"] for operator in operators) > 0
    assert sum(operator["percent"] for operator in operators) == pytest.approx(100, abs=0.1)
    assert len(answer.stdout.splitlines()) == len(plain.splitlines()) + 2 + len(operators) + 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--modeldir=x"], "unknown flag '--modeldir=x'"),
        (["model"], "unknown flag 'model'"),
        ([], "--model_dir is missing"),
        (["--model_dir"], "--model_dir needs a value"),
        (["--model_dir="], "--model_dir needs a value"),
        (["--model_dir=x", "--threads=0"], "--threads needs a whole number from 1 to 64, got '0'"),
        (["--model_dir=x", "--threads", "2x"], "got '2x'"),
        (["--model_dir=x", "--repeats=99999999999"], "got '99999999999'"),
        (["--model_dir=x", "--min_seconds=3601"], "--min_seconds needs a whole number from 0 to 3600, got '3601'"),
        (["--model_dir=x", "--warmup=-1"], "got '-1'"),
        (["--model_dir=x", "--topk=0"], "--topk needs a whole number from 1 to 1000, got '0'"),
        (["--model_dir=x", "--profile=yes"], "unknown flag '--profile=yes'"),
        (["--model_dir=x", "--input=a", "--images=b"], "only one of --input, --images and --arrays can be used"),
    ],
)
def test_wrong_flags_end_with_status_2(program: Path, flags: list[str], message: str) -> None:
    answer = call(program, *flags)
    assert answer.returncode == 2
    assert message in answer.stderr and answer.stderr.count("\n") == 1 and not answer.stdout


def test_no_model_ends_with_status_3(program: Path, tmp_path: Path) -> None:
    (tmp_path / "folder" / "model.tflite").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "folder"):
        answer = call(program, f"--model_dir={folder}")
        assert answer.returncode == 3
        assert f"no model at '{folder}/model.tflite'" in answer.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"not a flatbuffer at all, but long enough to look at", "damaged"),
        (model_bytes()[:2000], "damaged"),
        (model_bytes(batch=-1), "is not fixed; convert the model with a fixed batch of 1"),
    ],
    ids=["empty", "text", "cut", "open batch"],
)
def test_unusable_models_end_with_status_4(program: Path, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "model.tflite").write_bytes(content)
    answer = call(program, f"--model_dir={tmp_path}")
    assert answer.returncode == 4
    assert message in answer.stderr


def test_files_that_cannot_be_read_to_their_end_are_not_taken_for_short_ones(program: Path, model: Path) -> None:
    unreadable = Path("/proc/self/mem")  # a regular file whose first byte cannot be read
    answer = call(program, f"--model_dir={model}", f"--images={unreadable}")
    assert (answer.returncode, "cannot read '/proc/self/mem'" in answer.stderr) == (9, True)
    (model / "model.tflite").unlink()
    (model / "model.tflite").symlink_to(unreadable)
    answer = call(program, f"--model_dir={model}")
    assert (answer.returncode, "it cannot be read" in answer.stderr) == (4, True)


def with_number(content: bytes, field: str, number: int) -> bytes:
    """The model with one number altered: `version` of the format, or of the operator CONV_2D."""
    buffer = bytearray(content)
    root = schema.Model.GetRootAs(buffer)
    codes = [root.OperatorCodes(i) for i in range(root.OperatorCodesLength())]
    table, slot = {
        "format": (root._tab, 4),
        "operator": (next(code._tab for code in codes if code.BuiltinCode() == schema.BuiltinOperator.CONV_2D), 8),
    }[field]
    place = table.Pos + table.Offset(slot)
    buffer[place : place + 4] = number.to_bytes(4, "little")
    return bytes(buffer)


@pytest.mark.parametrize(
    ("field", "number", "message"),
    [("format", 2, "it has version 2 of the .tflite format"), ("operator", 99, "that this LiteRT does not support")],
)
def test_models_of_another_version_end_with_status_8(
    program: Path, tmp_path: Path, field: str, number: int, message: str
) -> None:
    (tmp_path / "model.tflite").write_bytes(with_number(model_bytes(), field, number))
    answer = call(program, f"--model_dir={tmp_path}")
    assert answer.returncode == 8
    assert message in answer.stderr


@pytest.mark.parametrize("size", [0, 255, 257])
def test_wrong_input_sizes_end_with_status_5(program: Path, model: Path, tmp_path: Path, size: int) -> None:
    (tmp_path / "inputs.bin").write_bytes(bytes(size))
    answer = call(program, f"--model_dir={model}", f"--input={tmp_path / 'inputs.bin'}")
    assert answer.returncode == 5
    assert f"holds {size} bytes" in answer.stderr and "256 bytes of float32" in answer.stderr


def test_unwritable_output_ends_with_status_7(program: Path, model: Path, tmp_path: Path) -> None:
    for flag in ("output", "json"):
        assert call(program, f"--model_dir={model}", f"--{flag}={tmp_path}/nowhere/file").returncode == 7


def test_full_disk_leaves_no_output(program: Path, model: Path) -> None:
    answer = call(program, f"--model_dir={model}", "--output=/dev/full")
    assert answer.returncode == 7
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_links_and_devices_are_written_through_not_replaced(program: Path, model: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    assert call(program, f"--model_dir={model}", f"--json={link}").returncode == 0
    assert link.is_symlink()
    assert json.loads((tmp_path / "target").read_text())["runs"] == 1
