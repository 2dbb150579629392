"""The whole workflow on a small configuration: its results, a kill in its training, and what makes it run again."""

import base64
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from safetensors.numpy import load_file

from helpers.flipped_bytes import check_every_artefact, flipped
from helpers.small_run import COMMAND, PRINTED, SIZE, copied, new_project
from helpers.small_run import SETTINGS as SMALL
from helpers.workflow_helpers import ALL, DEMO, TARGETS, WITHOUT_TRAINING, Project, planned
from qatflow.base.metrics import confusion_matrix
from qatflow.base.sums import write_sealed
from qatflow.export.mobile import load_any

pytestmark = pytest.mark.e2e

BELOW_EXPORT = {
    "optimize_int8",
    "gate_accuracy",
    "require_accuracy",
    "inspect_layers",
    "evaluate_fake_quant",
    "evaluate_tflite",
    "run_on_device",
    "make_report",
    "write_model_card",
    "describe_run",
    "gate_device",
    "require_device",
}
RECORDS = {"write_model_card", "describe_run"}
BELOW_FLOAT = {"optimize_float", "quantise_after_training", "take_float_model", "take_ptq_model"}
OPTIMISED = [f"{name}/{file}" for name in ("digits_quant_opt", "digits_quant_float_opt", "digits_quant_ptq")
             for file in ("model.tflite", "labels.txt", "preprocessing.json", "optimization.json")]  # fmt: skip
EXPORTED = [f"output/{kind}/{file}" for kind in ("float", "int8", "mobile") for file in ("model", "weights")]


@dataclass(frozen=True)
class Finished:
    """The project after the run.

    Attributes:
        project: where it ran.
        printed: by the run.
    """

    project: Project
    printed: str

    @property
    def results(self) -> Path:
        return self.project.folder / "results/digits_quant"

    def json(self, name: str) -> Any:
        return json.loads((self.results / name).read_text())

    def plan(self) -> set[str]:
        return set(self.project.plan("all", *SMALL))


@dataclass(frozen=True)
class Killed:
    """A project whose run was killed in the float training, and which then trained to the end.

    Attributes:
        folder: where it ran.
        left: files that the killed run left behind.
        printed: by the run that came to the end.
        log: of the float training in that run.
    """

    folder: Path
    left: list[str]
    printed: str
    log: str


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    project = copied(tmp_path_factory.mktemp("small") / "copy")
    return Finished(project, (project.folder / PRINTED).read_text())


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """Run the workflow, kill it with all its processes in the float training, and train on."""
    project = new_project(tmp_path_factory.mktemp("killed"))
    log = project.folder / "logs/make_pretrained/MobileNetV1_digits.log"
    with (project.folder / ".killed").open("w") as out:
        process = project.start(*COMMAND, stdout=out, stderr=subprocess.STDOUT)
        limit = time.monotonic() + 300
        while not (log.exists() and re.search(r"^epoch 1 ", log.read_text(), re.MULTILINE)):
            assert process.poll() is None and time.monotonic() < limit, (project.folder / ".killed").read_text()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    left = project.files()

    answer = project.snakemake("--cores", "2", "pretrained", *SMALL)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return Killed(project.folder, left, answer.stdout + answer.stderr, log.read_text())


@contextmanager
def edited(path: Path, edit: tuple[str, str] | str) -> Iterator[None]:
    """Replace one text in a file by another, or append a line; put the file back in the end."""
    before = path.read_text()
    after = f"{before}{edit}\n" if isinstance(edit, str) else before.replace(*edit)
    assert after != before
    path.write_text(after)
    try:
        yield
    finally:
        path.write_text(before)


def interpreter(path: Path) -> Interpreter:
    made = Interpreter(model_path=str(path), num_threads=1)
    made.allocate_tensors()
    return made


# --- the kill


def test_a_killed_run_leaves_no_half_output_and_goes_on_by_the_plain_command(killed):
    names = (".config_written", ".configfiles.json", "compress.yaml", "config.yaml")
    configuration = [f"results/digits_quant/{name}" for name in names]
    left = [name for name in killed.left if name.startswith(("pretrain/", "results/"))]
    assert left in (configuration, [configuration[1]]), "the rule that writes the others may come later"
    (epoch,) = re.findall(r"^resumed at epoch (\d+), step \d+ of \d+$", killed.log, re.MULTILINE)
    assert int(epoch) >= 1
    assert "epoch 0 (float)" not in killed.log
    assert "LockException" not in killed.printed
    assert "IncompleteFilesException" not in killed.printed


def test_the_killed_training_ends_as_one_that_was_never_killed(finished, killed):
    log = (finished.project.folder / "logs/make_pretrained/MobileNetV1_digits.log").read_text()
    assert "resumed at" not in log and "epoch 0 (float)" in log
    for name in ("model", "weights", "history.csv"):
        file = Path("pretrain/MobileNetV1_digits_pretrained") / name
        assert (killed.folder / file).read_bytes() == (finished.project.folder / file).read_bytes(), name


# --- the results


def test_every_output_is_there(finished):
    report = ["summary.txt", "report.html", "learning_curves.svg", "confusion.svg"]
    expected = [
        *OPTIMISED,
        *EXPORTED,
        *(f"trained/{name}" for name in ("model", "weights", "history.csv", "manifest.json")),
        *(f"report/{name}" for name in report),
        *(f"device/emulator/{name}" for name in ("output.txt", "report.json", "device_gate.json")),
        *("fake_quant.json", "evaluation.json", "summary.json"),
    ]
    assert [name for name in expected if not (finished.results / name).stat().st_size] == []
    demo = "build.lite.android.armv8.gcc/inference_lite_lib.android.armv8/demo/cxx/mobile_light/mobilenetv1_light_api"
    assert os.access(finished.project.folder / demo, os.X_OK)


FOLDERS = (
    ("float", "float", "digits_quant_float_opt"),
    ("PTQ int8", "ptq", "digits_quant_ptq"),
    ("QAT int8", "qat", "digits_quant_opt"),
)


def test_each_operator_has_its_instructions_and_each_stage_its_time(finished):
    summary, device = finished.json("summary.json"), finished.json("device/emulator/report.json")
    counted = [node["instructions"] for node in summary["network"]]
    rest = device["models"]["int8"]["instructions"] - sum(counted)
    assert all(count > 0 for count in counted) and 0 < rest < 12_000, "the call, with the copies of input and output"
    stages = {stage["rule"]: stage["seconds"] for stage in summary["stages"]}
    assert {"export_models", "optimize_float", "optimize_int8", "build_mobile_light", "run_on_device"} <= stages.keys()
    assert all(seconds > 0 for seconds in stages.values())
    slowest = [one for one in summary["slowest"] if one["model"] == "float"]
    layers = {node["name"] for node in summary["network"]}
    assert len(slowest) > 4 and {one["layer"] for one in slowest} <= layers, "float's operators by their layers' names"


def test_the_figures_are_those_measured_and_plausible(finished):
    summary, evaluation = finished.json("summary.json"), finished.json("evaluation.json")
    rows = {row["model"]: row for row in summary["rows"]}
    assert summary["test_pictures"] == 360
    for name, model, folder in FOLDERS:
        measured = evaluation["models"][model]
        confusion = confusion_matrix(measured["confusion"], 10)
        assert rows[name]["top1"] == measured["top1"] == np.trace(confusion) / 360
        assert confusion.sum() == 360
        assert rows[name]["top5"] == measured["top5"]
        assert 0.8 < measured["top1"] <= measured["top5"] <= 1
        assert rows[name]["bytes"] == measured["bytes"] == (finished.results / folder / "model.tflite").stat().st_size
        packed = len(zlib.compress((finished.results / folder / "model.tflite").read_bytes(), 9))
        assert rows[name]["compressed_bytes"] == measured["compressed_bytes"] == packed < measured["bytes"]
        assert 0 < rows[name]["host_ms"] == measured["host_ms"]["median"] < 1000
    assert rows["fake-quantised"]["top1"] == evaluation["fake_quant"]["top1"]
    assert abs(rows["QAT int8"]["top1"] - rows["fake-quantised"]["top1"]) < 0.03
    assert rows["QAT int8"]["bytes"] < 0.4 * rows["float"]["bytes"]


def test_the_run_ends_with_the_table_the_demos_output_and_the_reports_path(finished):
    rows = {row["model"]: row for row in finished.json("summary.json")["rows"]}
    assert list(rows) == ["float", "PTQ int8", "fake-quantised", "QAT int8"]
    for name in ("float", "PTQ int8", "QAT int8"):
        row = rows[name]
        shares, sizes = (100 * row["top1"], 100 * row["top5"]), (row["bytes"], row["compressed_bytes"])
        cells = (*(f"{share:.2f}" for share in shares), *(f"{size:,}" for size in sizes), f"{row['host_ms']:.3f}")
        assert re.search(f"^{name} +{' +'.join(cells)}", finished.printed, re.MULTILINE)
    demo = (finished.results / "device/emulator/output.txt").read_text().strip()
    assert demo.startswith("Output dim: 10\nOutput[0]: ")
    assert demo in finished.printed
    assert "Using" not in finished.printed.splitlines()[0], "Snakemake's line on its profile says nothing to the user"
    (path,) = re.findall(r"^report: (.+)$", finished.printed, re.MULTILINE)
    assert (finished.project.folder / path).is_file()


def test_every_layer_runs_in_int8_with_the_integers_of_the_export(finished):
    exported = load_file(finished.results / "output/int8/weights")
    kernels = {name: values for name, values in exported.items() if values.dtype == np.int8}
    model = schema.ModelT.InitFromPackedBuf((finished.results / "digits_quant_opt/model.tflite").read_bytes(), 0)
    graph, builtin, types = model.subgraphs[0], schema.BuiltinOperator, schema.TensorType
    layers = (builtin.CONV_2D, builtin.DEPTHWISE_CONV_2D, builtin.FULLY_CONNECTED)
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if code not in layers:
            continue
        picture, kernel, bias = (graph.tensors[index] for index in operator.inputs)
        assert (picture.type, kernel.type, bias.type) == (types.INT8, types.INT8, types.INT32)
        assert graph.tensors[operator.outputs[0]].type == types.INT8
        data = np.asarray(model.buffers[kernel.buffer].data, np.uint8).view(np.int8)
        trained = kernels.pop(kernel.name.decode())
        if code == builtin.DEPTHWISE_CONV_2D:  # [1, height, width, channels]; trained: [height, width, channels, 1]
            found, expected = data.reshape(-1, kernel.shape[-1]), trained.reshape(-1, kernel.shape[-1])
        else:  # output channels first; trained: last
            found, expected = data.reshape(kernel.shape[0], -1).T, trained.reshape(-1, kernel.shape[0])
        same, negated = (found == expected).all(axis=0), (found == -expected).all(axis=0)
        assert (same | negated).all(), kernel.name
        assert expected.any()
    assert kernels == {}


def test_the_integers_are_within_the_width_and_float_holds_the_same(finished):
    integers, floats = (load_file(finished.results / f"output/{kind}/weights") for kind in ("int8", "float"))
    assert integers.keys() == floats.keys()
    assert sum(values.dtype == np.int8 for values in integers.values()) == 10  # 4 blocks of two, the first and last
    for name, values in integers.items():
        assert floats[name].dtype == np.float32
        np.testing.assert_array_equal(values.astype(np.float32), floats[name])
        if values.dtype == np.int8:
            assert values.min() >= -127
            assert np.abs(values.astype(int)).max() > 60


def separable(first: int, pointwise: list[int], inputs: int, classes: int) -> tuple[int, int]:
    """Count the elements of a MobileNetV1's kernels, and of all else: the last bias, and batch-norm's four a channel.

    Args:
        first: channels of the first convolution.
        pointwise: channels of each pointwise convolution.
        inputs: channels of the pictures.
        classes: of the pictures.
    """
    channels = [first, *pointwise]
    kernels = 9 * inputs * channels[0] + channels[-1] * classes
    kernels += sum(9 * a + a * b for a, b in zip(channels[:-1], pointwise, strict=True))
    return kernels, classes + 4 * (channels[0] + sum(channels[:-1]) + sum(pointwise))


MOBILENET_V1 = (64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)
"""Its pointwise convolutions, behind 32 channels."""


def test_int8_weights_are_about_a_quarter_of_the_float_ones(finished):
    folders = {kind: finished.results / "output" / kind for kind in ("float", "int8")}
    described = json.loads((folders["int8"] / "model").read_text())
    scales = len(described["weight_bits"]) + len(described["activations"])
    kernels, others = separable(16, [32, 64, 128, 256], 1, 10)
    content = {"float": 4 * (kernels + others + scales), "int8": kernels + 4 * (others + scales)}
    sizes = {}
    for kind, folder in folders.items():
        file = (folder / "weights").read_bytes()
        header = 8 + int.from_bytes(file[:8], "little")  # safetensors: its length, then names, types and places
        sizes[kind] = len(file)
        assert len(file) - header == content[kind]
    # batch-norm and names weigh more in the small network; the default one's share by the same count
    assert sizes["int8"] / sizes["float"] < 0.32
    for alpha, share in ((0.25, 0.305), (0.5, 0.30)):
        kernels, others = separable(int(alpha * 32), [int(alpha * n) for n in MOBILENET_V1], 1, 10)
        # the header, too, of a network with three times as many layers
        all_but_kernels = 4 * (others + 3 * scales) + 3 * header
        assert (kernels + all_but_kernels) / (4 * kernels + all_but_kernels) < share


def test_the_three_exports_load_and_agree_with_the_trained_graph(finished):
    graphs = [load_any(finished.results / f"output/{kind}") for kind in ("float", "int8", "mobile")]
    trained = load_any(finished.results / "trained")
    for graph in graphs:
        assert graph.nodes == graphs[0].nodes
        assert graph.outputs == graphs[0].outputs
        assert set(graph.nodes) <= set(trained.nodes)
        assert graph.activation_scales == graphs[0].activation_scales
        assert graph.weights.keys() == graphs[0].weights.keys()
        for name, values in graph.weights.items():
            assert values.dtype == trained.weights[name].dtype
            np.testing.assert_array_equal(values, trained.weights[name])
        for name, scale in graph.weight_scales.items():
            np.testing.assert_array_equal(scale.scale, trained.weight_scales[name].scale)


def test_mobile_and_optimised_model_give_the_same_outputs(finished, tmp_path):
    shutil.copy(finished.results / "output/mobile/model", tmp_path / "mobile.tflite")
    outputs = []
    for path in (tmp_path / "mobile.tflite", finished.results / "digits_quant_opt/model.tflite"):
        model = interpreter(path)
        rng, answers = np.random.default_rng(3), []
        for _ in range(10):
            picture = rng.uniform(-1, 1, (1, *SIZE, 1)).astype(np.float32)
            model.set_tensor(model.get_input_details()[0]["index"], picture)
            model.invoke()
            answers.append(model.get_tensor(model.get_output_details()[0]["index"])[0])
        outputs.append(np.asarray(answers))
    np.testing.assert_array_equal(*outputs)
    assert len(np.unique(outputs[0], axis=0)) > 1
    np.testing.assert_allclose(outputs[0].sum(axis=1), 1, atol=1e-5)


def test_the_device_agrees_with_the_host_on_the_model_that_was_sent(finished):
    report = finished.json("device/emulator/report.json")
    schema = json.loads((finished.project.folder / "docs/device_report.schema.json").read_text())
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(report)] == []
    int8, float_ = (report["models"][name] for name in ("int8", "float"))
    assert int8["agreement"]["integer_part"]["bit_equal"]
    assert int8["agreement"]["largest_difference"] <= 1e-6 and float_["agreement"]["largest_difference"] <= 1e-4
    assert (report["device"]["machine"], report["device"]["emulated"]) == ("aarch64", True)
    for model in (int8, float_):
        accuracy = model["accuracy"]
        assert (accuracy["split"], accuracy["pictures"], model["agreement"]["pictures"]) == ("validation", 20, 20)
        assert accuracy["device_top1"] == accuracy["host_top1"] > 0.8
        assert accuracy["device_top5"] == accuracy["host_top5"] >= accuracy["device_top1"]
    # the page's input: ones everywhere
    model = interpreter(finished.results / "digits_quant_opt/model.tflite")
    model.set_tensor(model.get_input_details()[0]["index"], np.ones((1, *SIZE, 1), np.float32))
    model.invoke()
    expected = model.get_tensor(model.get_output_details()[0]["index"])[0]
    printed = re.findall(r"^Output\[(\d+)\]: (\S+)$", (finished.results / "device/emulator/output.txt").read_text(), 8)
    assert [int(index) for index, _ in printed] == list(range(10))
    np.testing.assert_allclose([float(value) for _, value in printed], expected, atol=2e-6)


def test_emulated_times_are_marked_in_the_table_and_on_the_page(finished):
    report = finished.json("device/emulator/report.json")
    page = (finished.results / "report/report.html").read_text()
    rows = re.sub(r"<[^>]+>", " ", page.replace("</td>", "</td>\n"))
    for text in (finished.printed, rows):
        times = [line for line in text.splitlines() if re.search(r"median, \d thread", line)]
        assert len(times) == 3 and all("(emulated)" in line for line in times)
    for place, threads in enumerate((1, 2, 4)):
        medians = [report["models"][name]["timing"][place]["median_ms"] for name in ("float", "int8")]
        cells = " +".join(f"{value:.3f}" for value in medians)
        # no ratio behind them
        assert re.search(rf"^median, {threads} threads?, ms \(emulated\) +{cells}$", finished.printed, re.MULTILINE)
    assert (
        "not from a real device" in finished.printed and "Emulated: times and memory are those of an emulator" in page
    )


def test_snakemakes_report_holds_the_table(finished, tmp_path):
    output = tmp_path / "report.html"
    answer = finished.project.snakemake("--report", str(output), *SMALL)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found = re.findall(r"data:([\w/+]+);charset=utf8;filename=([\w.]+);base64,([\w+/=]+)", output.read_text())
    files = {name: base64.b64decode(content).decode() for _, name, content in found}
    assert {"report.html", "learning_curves.svg", "confusion.svg", "MODEL_CARD.md"} <= files.keys()
    for words in (
        "what each layer costs",
        "record of the run (RO-Crate)",
        "Top-1, cross entropy and learning rate per",
    ):
        assert words in output.read_text(), "labels and captions"
    int8 = finished.json("summary.json")["rows"][-1]
    cells = ["QAT int8", f"{100 * int8['top1']:.2f}", f"{100 * int8['top5']:.2f}", f"{int8['bytes']:,}"]
    shown = re.findall(r"<td[^>]*><span>([^<]*)</span>", files["report.html"])
    assert shown[shown.index(cells[0]) :][:4] == cells


# --- what changed since it was written


def test_a_flipped_byte_of_any_file_is_refused_by_who_reads_it(finished, tmp_path, monkeypatch):
    shutil.copytree(finished.project.folder, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy")
    said = check_every_artefact()
    assert len(said) > 60
    assert sum("has changed since it was written" in text for text in said.values()) > 45
    # in the plan of a run, too, whose jobs depend on what the gate says
    gate = tmp_path / "copy/results/digits_quant/gate.json"
    with flipped(gate):
        answer = Project(tmp_path / "copy").snakemake("--cores", "2", "--dry-run", "all", *SMALL)
    assert answer.returncode == 1 and "results/digits_quant/gate.json" in answer.stdout + answer.stderr
    assert "Traceback" not in answer.stdout + answer.stderr


# --- what runs again


def test_a_second_run_has_nothing_to_do_and_touches_nothing(finished):
    def times() -> dict[str, int]:
        return {name: (finished.project.folder / name).stat().st_mtime_ns for name in finished.project.files()}

    before = times()
    answer = finished.project.run(*COMMAND)
    assert answer.returncode == 0
    assert "Nothing to be done" in answer.stdout + answer.stderr
    assert times() == before
    made = set(TARGETS) - {"compare", "microcontroller"}  # which are made when they are asked for
    assert finished.project.plan(*made, *SMALL) == {}


def test_touching_every_file_reruns_nothing(finished):
    for name in finished.project.files():
        os.utime(finished.project.folder / name)
    assert finished.plan() == set()


def test_another_machine_is_no_reason_to_train_again(finished):
    (finished.project.folder / "gpus.yaml").write_text("hardware: {gpus: 2, memory_limit: 4096}\n")
    assert set(finished.project.plan("all", *SMALL, "gpus.yaml")) <= {"write_config", *RECORDS, "all"}


@pytest.mark.parametrize("options", ["-a", "-r"])
def test_a_copy_of_the_folder_reruns_nothing(finished, tmp_path, options):
    subprocess.run(["cp", options, str(finished.project.folder), str(tmp_path / "copy")], check=True)
    assert Project(tmp_path / "copy").plan("all", *SMALL) == {}


EDITS = {
    "exporter": ("src/qatflow/export/export.py", "# a comment", {"export_models", *BELOW_EXPORT}),
    "trainer": (
        "src/qatflow/training/loop.py",
        "# a comment",
        {"make_pretrained", "train_int8", "export_models", *BELOW_FLOAT, *BELOW_EXPORT},
    ),
    "optimiser": (
        "src/qatflow/optimize/optimize.py",
        "# a comment",
        {*BELOW_FLOAT, *BELOW_EXPORT} - {"evaluate_fake_quant"},
    ),
    "comment in the compress YAML": ("config/compress/test.yaml", "# a comment", set()),
    "comment in the configuration": ("config/test.yaml", "# a comment", set()),
    "weight_quantize_type": (
        "config/compress/test.yaml",
        ("end_epoch: 1", "end_epoch: 1\n        weight_quantize_type: channel_wise_abs_max"),
        {"train_int8", "export_models", *BELOW_EXPORT, "write_config"},
    ),
    "accuracy.max_drop": (
        "config/test.yaml",
        ("max_drop: 5", "max_drop: 6"),
        {"gate_accuracy", "require_accuracy", "make_report", "write_config"} | RECORDS,
    ),
    "device.pictures": (
        "config/test.yaml",
        ("pictures: 20", "pictures: 21"),
        {"run_on_device", "make_report", "gate_device", "require_device", "write_config"} | RECORDS,
    ),
    "the demo's source": (
        "demo/cxx/mobile_light/timing.cc",
        "// a comment",
        {"build_mobile_light", "run_on_device", "make_report", "gate_device", "require_device"} | RECORDS,
    ),
    "caption of the report": ("workflow/report/table.rst", "More words.", set()),
    "page of the report": ("src/qatflow/report/pages/page.py", "# a comment", {"make_report"} | RECORDS),
    "template of the report": (
        "src/qatflow/report/templates/report_page.html",
        "<!-- a comment -->",
        {"make_report"} | RECORDS,
    ),
    "template of the comparison": ("src/qatflow/report/templates/comparison_page.html", "<!-- a comment -->", set()),
    "README of the configuration": ("config/README.md", "More words.", set()),
}


@pytest.mark.parametrize(("file", "edit", "expected"), EDITS.values(), ids=EDITS)
def test_an_edit_reruns_what_it_concerns_and_no_more(finished, file, edit, expected):
    with edited(finished.project.folder / file, edit):
        plan = finished.plan()
    assert plan - {"all"} == expected


def test_the_configuration_beside_the_results_given_back_has_nothing_to_do(finished):
    assert finished.project.plan("all", "--configfile", "results/digits_quant/config.yaml") == {}
    # what it was made of may have changed since, or be gone
    with edited(finished.project.folder / "config/compress/test.yaml", ("end_epoch: 1", "end_epoch: 0")):
        assert finished.plan() > {"train_int8", "write_config"}
        assert finished.project.plan("all", "--configfile", "results/digits_quant/config.yaml") == {}


def test_method_auto_ships_quantisation_after_training_where_it_is_good_enough_else_trains(finished, tmp_path):
    shutil.copytree(finished.project.folder, tmp_path / "copy", symlinks=True)
    project = Project(tmp_path / "copy")
    results = project.folder / "results/digits_quant"
    auto = ("--config", "method=auto", "device={count_instructions: false}")
    for name in ("trained", "output", "digits_quant_opt"):
        shutil.rmtree(results / name)
    (results / "fake_quant.json").unlink()

    answer = project.run(*COMMAND, *auto)
    printed = answer.stdout + answer.stderr
    assert answer.returncode == 0, printed
    assert "train_int8" not in printed
    found = json.loads((results / "method.json").read_text())
    assert found["method"] == "ptq" and found["verdict"] in ("within", "undecided")
    summary = json.loads((results / "summary.json").read_text())
    rows = {row["model"]: row for row in summary["rows"]}
    assert summary["shipped"] == "ptq"
    assert (rows["QAT"]["top1"], rows["QAT"]["devices"]) == (None, ["not trained"])
    (device,) = rows["PTQ int8"]["devices"]
    assert re.match("20 pictures, equal (bits|integers)", device)
    assert rows["PTQ int8"]["bytes"] == (results / "digits_quant_ptq/model.tflite").stat().st_size
    assert project.plan("all", *SMALL, *auto) == {}

    # had it lost too much, training would follow
    write_sealed(results / "method.json", found | {"method": "qat"})
    plan = project.plan("all", *SMALL, *auto)
    assert set(plan) == {"train_int8", "export_models", *BELOW_EXPORT, "all"}


def test_a_boards_target_is_built_and_run_beside_the_other(finished, tmp_path):
    shutil.copytree(finished.project.folder, tmp_path / "copy", symlinks=True)
    project = Project(tmp_path / "copy")
    board = ("--config", "device={target: linux.armv8, name: board, count_instructions: false}")
    answer = project.snakemake("--cores", "2", "--verbose", "all", *SMALL, *board)
    printed = answer.stdout + answer.stderr
    assert answer.returncode == 0, printed
    rules = {"build_mobile_light", "run_on_device", "make_report", "gate_device", "require_device", "write_config"}
    rules |= RECORDS
    assert set(planned(printed)) == {*rules, "all"}
    library = "build.lite.linux.armv8.gcc/inference_lite_lib.linux.armv8/cxx/lib"
    assert [path.name for path in (project.folder / library).iterdir()] == ["libLiteRt.so"]  # the rest is the board's
    results = project.folder / "results/digits_quant"
    text = (results / "device/board/output.txt").read_text()
    assert text == (results / "device/emulator/output.txt").read_text()
    report = json.loads((results / "device/board/report.json").read_text())
    assert report["models"]["int8"]["agreement"]["integer_part"]["bit_equal"] and report["device"]["name"] == "board"
    assert project.plan("all", *SMALL) == dict.fromkeys(("make_report", "write_config", *RECORDS, "all"), 1)


def test_several_devices_each_have_their_run_and_stand_side_by_side(finished, tmp_path):
    shutil.copytree(finished.project.folder, tmp_path / "copy", symlinks=True)
    project = Project(tmp_path / "copy")
    (project.folder / "two.yaml").write_text(
        "devices:\n  - {name: emulator}\n  - {name: little, cpu: cortex-a53, pictures: 5, threads: [1]}\n"
    )
    answer = project.snakemake("--cores", "2", "--verbose", "all", "compare", *SMALL, "two.yaml")
    printed = answer.stdout + answer.stderr
    assert answer.returncode == 0, printed
    # the emulator's run is that of before
    rules = {"run_on_device", "make_report", "gate_device", "require_device", "write_config", "compare_experiments"}
    rules |= RECORDS
    assert planned(printed) == dict.fromkeys({*rules, "compare", "all"}, 1)
    results = project.folder / "results/digits_quant"
    reports = {
        name: json.loads((results / f"device/{name}/report.json").read_text()) for name in ("emulator", "little")
    }
    assert [report["models"]["int8"]["agreement"]["pictures"] for report in reports.values()] == [20, 5]
    counted = {name: report["models"]["int8"]["instructions"] for name, report in reports.items()}
    assert counted["little"] > 1.5 * counted["emulator"]  # it has no dot products
    summary = json.loads((results / "summary.json").read_text())
    assert [found["name"] for found in summary["on_device"]] == ["emulator", "little"]
    (int8,) = [row for row in summary["rows"] if row["model"] == "QAT int8"]
    assert [re.match(r"(\w+): \d+ pictures, equal", device)[1] for device in int8["devices"]] == ["emulator", "little"]
    for name, count in counted.items():
        assert re.search(
            rf"^device {name} .*?^instructions per picture .* {count:,} ", printed, re.DOTALL | re.MULTILINE
        )
    with (project.folder / "results/comparison/comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["device"]: int(row["instructions"]) for row in rows} == counted
    assert len({row["top1"] for row in rows}) == len({row["experiment"] for row in rows}) == 1
    assert project.plan("all", "compare", *SMALL, "two.yaml") == {}
    config = results / "config.yaml"
    assert project.plan("all", "--configfile", str(config.relative_to(project.folder))) == {}


def test_editing_the_page_of_the_report_makes_it_anew_from_what_is_there(finished, tmp_path):
    shutil.copytree(finished.project.folder, tmp_path / "copy", symlinks=True)
    project = Project(tmp_path / "copy")
    with edited(project.folder / "src/qatflow/report/templates/report_device.html", ("On the device", "On the phone")):
        answer = project.run(*COMMAND, "--verbose")
    assert planned(answer.stdout + answer.stderr) == dict.fromkeys(("make_report", *RECORDS, "all"), 1)
    assert '<h2 id="device">On the phone<' in (project.folder / "results/digits_quant/report/report.html").read_text()


def test_another_experiment_reruns_nothing_of_the_first_and_both_are_compared(finished, tmp_path):
    shutil.copytree(finished.project.folder, tmp_path / "copy", symlinks=True)
    project = Project(tmp_path / "copy")
    results = (project.folder / "results/digits_quant").rglob("*")
    before = {path: path.read_bytes() for path in results if path.is_file()}
    (project.folder / "two.yaml").write_text("experiments:\n  digits_quant:\n  cheap: {method: ptq}\n")
    answer = project.snakemake("--cores", "2", "--verbose", "all", *SMALL, "two.yaml")
    printed = answer.stdout + answer.stderr
    assert answer.returncode == 0, printed
    # what the two share is there already: it has the same data and float weights
    shared = {"prepare_data", "make_pretrained", "optimize_float", "quantise_after_training", *DEMO}
    of_one = WITHOUT_TRAINING - shared
    assert planned(printed) == dict.fromkeys({*of_one, "compare_experiments", "all"}, 1)
    after = {path: path.read_bytes() for path in before}
    record = project.folder / "results/digits_quant/.configfiles.json"
    assert {path for path in before if before[path] != after[path]} == {record}
    with (project.folder / "results/comparison/comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["experiment"], row["shipped"]) for row in rows] == [("digits_quant", "qat"), ("cheap", "ptq")]
    for row in rows:
        folder = project.folder / "results" / row["experiment"]
        summary = json.loads((folder / "summary.json").read_text())
        (shipped,) = [one for one in summary["rows"] if one["model"] == f"{row['shipped'].upper()} int8"]
        assert float(row["top1"]) == 100 * shipped["top1"] and int(row["bytes"]) == shipped["bytes"]
        assert float(row["top1_low"]) < float(row["top1"]) < float(row["top1_high"])
        assert float(row["drop"]) == json.loads((folder / "gate.json").read_text())["against_float"]["points"]
        assert row["device_ms"] == "" and int(row["instructions"]) > 1e5
    assert float(rows[0]["training_s"]) > 1 and rows[1]["training_s"] == ""
    assert "cheap" in (project.folder / "results/comparison/comparison.txt").read_text()
    assert project.plan("all", *SMALL, "two.yaml") == {}
    (project.folder / "two.yaml").write_text("experiments: {digits_quant: , cheap: {method: ptq}, third: {seed: 2}}\n")
    assert set(project.plan("all", *SMALL, "two.yaml", "--config", "only=digits_quant")) == set()
    more = project.plan("all", *SMALL, "two.yaml")
    assert set(more) == ALL - shared | {"compare_experiments", "all"}
    assert set(more.values()) == {1}


def test_what_a_gate_keeps_from_the_device_or_crashed_keeps_no_comparison_from_the_others(finished, tmp_path):
    shutil.copytree(finished.project.folder, tmp_path / "copy", symlinks=True)
    project = Project(tmp_path / "copy")
    ready = "file: results/digits_quant/digits_quant_ptq/model.tflite, expected_top1: 99.9, top1_tolerance"
    experiments = f"experiments:\n  digits_quant:\n  low: {{quantized_model: {{{ready}: 0}}}}\n"
    broken = "  broken: {compress.learning_rate: 100.0, compress.weight_decay: 1.0}\n"
    (project.folder / "many.yaml").write_text(experiments + broken)
    comparison = project.folder / "results/comparison/comparison.csv"

    def compared() -> list[tuple[str, ...]]:
        with comparison.open(newline="") as file:
            rows = list(csv.DictReader(file))
        return [(row["experiment"], row["passed"], row["device"], row["reason"][:27]) for row in rows]

    def run(*arguments: str) -> tuple[int, str]:
        answer = project.snakemake("--cores", "2", "--verbose", *arguments, *SMALL, "many.yaml")
        return answer.returncode, answer.stdout + answer.stderr

    status, printed = run("all", "--keep-going", "--retries", "1")
    assert status == 1 and "the loss is nan" in printed and "lower the learning rate" in printed
    (closed,) = re.findall(r"^error: (the accuracy gate is closed: .*)$", printed, re.MULTILINE)
    assert "published 99.9 %" in closed and "quantized_model.top1_tolerance 0" in closed
    starts = re.findall(
        r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    wildcards: experiment=(\w+)$", printed, re.MULTILINE
    )
    assert starts.count(("train_int8", "broken")) == 2 and starts.count(("require_accuracy", "low")) == 1
    # a closed gate keeps nothing but the device from being measured: evaluation and report are wanted most then
    results = project.folder / "results/low"
    assert closed.endswith(". The report: results/low/report/report.html")
    assert (results / "evaluation.json").exists() and not (results / "device").exists()
    summary = json.loads((results / "summary.json").read_text())
    assert (summary["outcome"], summary["on_device"], summary["gate"][-1]) == (
        "closed",
        [],
        closed.rpartition(". The")[0],
    )
    assert [row["devices"] for row in summary["rows"]] == [["not run on the device: the gate before it is closed"]]
    assert "Not run on the device: the gate before it is closed" in (results / "report/report.html").read_text()
    assert not comparison.exists()

    # what is there side by side, by one command
    without = ("--config", "only=[digits_quant, low]")
    status, printed = run("compare", *without)
    assert status == 0, printed
    opened = ("digits_quant", "True", "emulator", "")
    assert compared() == [opened, ("low", "False", "", "the accuracy gate is closed")]
    assert f"low: {closed.rpartition('. The')[0]}" in comparison.with_suffix(".txt").read_text().splitlines()
    page = re.sub(r"\s+", " ", comparison.with_suffix(".html").read_text())
    assert "../digits_quant/report/report.html" in page and "../low/report/report.html" in page
    assert run("compare", *without)[0] == 0
    status, printed = run("all", *without)
    assert status == 1 and closed in printed  # each time, though nothing is measured again
    assert "evaluate_tflite" not in planned(printed) and "gate_accuracy" not in planned(printed)

    (project.folder / "many.yaml").write_text(experiments.replace("tolerance: 0", "tolerance: 20"))
    status, printed = run("all")
    assert status == 0, printed
    assert "evaluate_tflite" not in planned(printed)
    assert compared() == [opened, ("low", "True", "emulator", "")]
    # the mark of the open gate does not outlive it
    (project.folder / "many.yaml").write_text(experiments)
    status, printed = run("all")
    assert status == 1 and closed in printed
    assert not json.loads((results / "summary.json").read_text())["on_device"]
