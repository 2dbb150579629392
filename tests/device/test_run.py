"""The whole device stage: the demo on the emulator, compared with the host, and its report."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from helpers.device_fixtures import ROOT, arm_bundle, arm_runtime, host_bundle, require  # noqa: F401
from helpers.device_phones import (  # noqa: F401
    PHONE_FREQUENCY,
    StartFake,
    StartPhone,
    image,
    names_on,
    server,
    start_fake,
    start_phone,
)
from helpers.section_options import option
from helpers.small_data import DIGITS
from helpers.tiny_model import model_bytes, write_model
from helpers.transformer import int8, transformer
from helpers.two_classes import dark_and_light, one_value
from qatflow.base.errors import UserError
from qatflow.base.files import sha256
from qatflow.base.picture_size import square
from qatflow.config.sections.device import DeviceSection
from qatflow.data import reader
from qatflow.data.preparation.prepare import prepare
from qatflow.data.preprocess import Preprocessing, apply
from qatflow.device.interface import DeviceSettings
from qatflow.device.run.demo import Demo
from qatflow.device.run.run import RunSettings, run_demo
from qatflow.graph.store import save
from qatflow.optimize.ready import adopt
from qatflow.tflite.packing import PACKED, pack
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model

pytestmark = pytest.mark.device
PICTURES = 30
# Of the model's own folder, not of the data's manifest.
SPEC = Preprocessing(square(8), "stretch", 1, (127.5,), (127.5,))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "digits"
    prepare(DIGITS, folder)
    return folder / "manifest.json"


def run(manifest: Path, bundle: Path, model: Path, output: Path, **section: Any) -> subprocess.CompletedProcess[str]:
    """Run both models on a device; the int8 one packed where a packed file is beside it."""
    require("qemu-aarch64-static")
    float_ = write_model(model.parent / "float", form="float")
    command = [
        *(sys.executable, str(ROOT / "workflow" / "scripts" / "run_demo.py")),
        *(f"--model-dir={model}", f"--float-dir={float_}", f"--library={bundle}", f"--manifest={manifest}"),
        *([f"--packed={model / PACKED}"] if (model / PACKED).exists() else []),
        *(f"--output-dir={output}", *option("device", **{"pictures": PICTURES, "repeats": 5, **section})),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def device_gate(output: Path, limit: float) -> subprocess.CompletedProcess[str]:
    """Measure, which succeeds, and return how asking for an open gate ends."""
    scripts = ROOT / "workflow" / "scripts"
    measure = [
        *(sys.executable, str(scripts / "gate_device.py"), f"--report={output}/report.json"),
        *(*option("device", max_latency_ms=limit), f"--output={output}/device_gate.json"),
    ]
    subprocess.run(measure, capture_output=True, timeout=60, check=True)
    require = [sys.executable, str(scripts / "require_gate.py"), f"--gate={output}/device_gate.json"]
    return subprocess.run(require, capture_output=True, text=True, timeout=60, check=False)


def error_line(answer: subprocess.CompletedProcess[str]) -> str:
    """The one message: LiteRT writes lines of its own to stderr as well."""
    assert answer.returncode == 1 and "Traceback" not in answer.stderr
    lines = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def report_of(output: Path) -> dict[str, Any]:
    """report.json, which fits the committed schema."""
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    schema = json.loads((ROOT / "docs" / "device_report.schema.json").read_text())
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(report)] == []
    return report


def expected_accuracy(manifest: Path, model: Path) -> dict[str, Any]:
    """The accuracy on the first validation pictures, from the host's outputs by hand."""
    shown = list(reader.pictures(reader.open_manifest(manifest), "validation", PICTURES))
    scores = Model(model).outputs(np.stack([apply(SPEC, picture) for picture, _ in shown]))
    order = np.argsort(-scores, axis=1, kind="stable")
    top1 = np.mean([label == row[0] for (_, label), row in zip(shown, order, strict=True)])
    top5 = np.mean([label in row[:5] for (_, label), row in zip(shown, order, strict=True)])
    assert 0 < top5 < 1  # or the figures say nothing
    return {
        "split": "validation", "pictures": PICTURES, "device_top1": top1, "device_top5": top5, "host_top1": top1,
        "host_top5": top5, "device_float_agreement": None, "host_float_agreement": None,
    }  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """A run on the emulator: the int8 model's folder, that of the results, and what was printed."""

    model: Path
    output: Path
    answer: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def emulated(manifest: Path, arm_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:  # noqa: F811
    folder = tmp_path_factory.mktemp("emulated")
    model, output = write_model(folder / "model"), folder / "device"
    (model / PACKED).write_bytes(pack((model / "model.tflite").read_bytes()))
    return Ran(model, output, run(manifest, arm_bundle, model, output, threads=[2, 1, 4], warmup=2))


def test_report_tells_agreement_accuracy_and_times_of_both_models(manifest: Path, emulated: Ran) -> None:
    model, output, answer = emulated.model, emulated.output, emulated.answer
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == (output / "output.txt").read_text()
    assert answer.stdout.startswith("Output dim: 10\nOutput[0]: 0.")

    report = report_of(output)
    for name, folder in (("float", model.parent / "float"), ("int8", model)):
        found, file = report["models"][name], folder / "model.tflite"
        assert found["accuracy"] == expected_accuracy(manifest, file)
        assert (found["sha256"], found["bytes"]) == (sha256(file), file.stat().st_size)
        assert str(file) in report["provenance"]["inputs"]
        assert [timing["threads"] for timing in found["timing"]] == [2, 1, 4]
        for timing in found["timing"]:
            assert (timing["emulated"], timing["warmup"], timing["runs"]) == (True, 2, 5)
            assert 0 < timing["min_ms"] <= timing["median_ms"] <= timing["p90_ms"] <= timing["max_ms"]
            assert timing["first_ms"] > 0 and timing["load_ms"] > 0 and timing["peak_memory_bytes"] > 1e6
            assert (0 < timing["expand_ms"] < timing["load_ms"]) if name == "int8" else timing["expand_ms"] == 0
        profile = found["profile"]
        assert (profile["emulated"], profile["threads"], profile["runs"]) == (True, 2, 5)
        kinds = [operator["kernel"].split()[0] for operator in profile["operators"]]
        assert {"Convolution", "Fully", "Softmax"} < set(kinds)
        assert ("Convert" in kinds) == (name == "int8")
        assert found["instructions"] > 10_000
        assert found["packed_bytes"] == ((model / PACKED).stat().st_size if name == "int8" else None)
    assert str(model / PACKED) in report["provenance"]["inputs"]
    int8, float_ = (report["models"][name]["agreement"] for name in ("int8", "float"))
    assert int8["pictures"] == PICTURES and int8["largest_difference"] <= 1e-6
    assert int8["integer_part"]["bit_equal"] is True
    assert float_["integer_part"] is None and float_["largest_difference"] <= float_["tolerance"] == 1e-4
    device = report["device"]
    assert (device["cpu"], device["emulated"], device["governor"], device["frequency"]) == (
        "cortex-a76", True, None, None,
    )  # fmt: skip


def test_the_packed_form_of_another_model_is_refused(manifest: Path, arm_bundle: Path, tmp_path: Path) -> None:  # noqa: F811
    other, model = write_model(tmp_path / "other", 11), write_model(tmp_path / "model")
    (model / PACKED).write_bytes(pack((other / "model.tflite").read_bytes()))
    answer = run(manifest, arm_bundle, model, tmp_path / "device")
    assert f"{model / PACKED} is not the packed form of {model / 'model.tflite'}" in error_line(answer)


def test_emulated_times_are_marked_and_never_compared(emulated: Ran) -> None:
    report = report_of(emulated.output)
    size, count = (
        report["models"]["float"][name] / report["models"]["int8"][name] for name in ("bytes", "instructions")
    )
    assert report["ratio"] == {
        "bytes": size, "median_ms": None, "load_ms": None, "peak_memory_bytes": None, "instructions": count,
        "long_ms": None,
    }  # fmt: skip
    assert report["warnings"] == [] and report["temperature"] is None
    told = [line for line in emulated.answer.stderr.splitlines() if " ms " in line]
    assert len(told) == 6 and all("emulated" in line for line in told)


def test_whole_run_over_adb(
    manifest: Path, arm_bundle: Path, tmp_path: Path, server: str, start_phone: StartPhone  # noqa: F811
) -> None:  # fmt: skip
    phone, model, output = start_phone(), write_model(tmp_path / "model"), tmp_path / "phone"
    answer = run(manifest, arm_bundle, model, output, type="adb", serial=phone.serial, name="phone")
    assert answer.returncode == 0, answer.stderr
    ones = Model(model / "model.tflite").outputs(np.ones((1, 8, 8, 1), np.float32))[0]
    assert answer.stdout.splitlines()[1:] == [f"Output[{i}]: {value:f}" for i, value in enumerate(ones)]
    report = report_of(output)
    device = report["device"]
    assert (device["type"], device["model"], device["abis"]) == ("adb", "qatflow Phone", ["arm64-v8a"])
    assert names_on(phone, server) == []
    for name, file in (("float", tmp_path / "float" / "model.tflite"), ("int8", model / "model.tflite")):
        found = report["models"][name]
        assert found["accuracy"] == expected_accuracy(manifest, file)
        assert not any(timing["emulated"] for timing in [*found["timing"], found["profile"]])
        assert found["instructions"] is None  # times are there
    assert report["models"]["int8"]["agreement"]["integer_part"]["bit_equal"] is True

    # what the device has no cores for is left out, and said
    cores = device["cores"]
    timed = [number for number in (1, 2, 4) if number <= cores]
    assert [timing["threads"] for timing in report["models"]["int8"]["timing"]] == timed
    left_out = [number for number in (1, 2, 4) if number > cores]
    assert report["threads_left_out"] == left_out
    said = f"warning: phone has {cores} cores, so {' and '.join(map(str, left_out))} threads of device.threads"
    assert (said in answer.stderr) == bool(left_out)

    # real times are compared
    times = [[timing["median_ms"] for timing in report["models"][name]["timing"]] for name in ("float", "int8")]
    assert report["ratio"]["median_ms"] == [
        {"threads": number, "ratio": float_ / int8} for number, float_, int8 in zip(timed, *times, strict=True)
    ]
    slower = any(int8 >= float_ for float_, int8 in zip(*times, strict=True))
    assert slower == ("warning: int8 is not faster than float on phone" in answer.stderr)
    assert "emulated" not in answer.stderr

    # the device gate, on what was measured there
    measured = report["models"]["int8"]["timing"][0]["median_ms"]
    closed, opened = (device_gate(output, limit) for limit in (0.9 * measured, measured))
    assert f"the model takes {measured:.3f} ms per picture on phone with 1 thread" in error_line(closed)
    assert opened.returncode == 0

    # the conditions, of a phone that tells them
    (frequency,) = device["frequency"]
    assert frequency == PHONE_FREQUENCY and device["governor"] == "schedutil"
    (sensor,) = report["temperature"]
    assert sensor == {"sensor": "cpu-0-0", "before": 41.5, "after": 41.5}


def test_whole_run_over_adb_while_the_device_comes_and_goes(
    manifest: Path, host_bundle: Path, tmp_path: Path, start_fake: StartFake  # noqa: F811
) -> None:  # fmt: skip
    fake = start_fake("x86_64", lose_in_push=1, damage=1, lose_in_run=1, lose_at="--model_dir", damage_pulled=1)
    output = tmp_path / "device"
    device = {"type": "adb", "serial": fake.serial}
    answer = run(manifest, host_bundle, write_model(tmp_path / "model"), output, **device, keep=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.count("trying again") == 4
    for found in report_of(output)["models"].values():
        assert found["accuracy"]["device_top1"] == found["accuracy"]["host_top1"]
        assert found["agreement"]["bit_equal"] is True  # the same processor
    assert "outputs.bin" in "\n".join(fake.names()) and f"kept on device {fake.serial}: " in answer.stderr

    sent = len(fake.received)
    answer = run(manifest, host_bundle, write_model(tmp_path / "model"), output, **device)
    assert answer.returncode == 0, answer.stderr
    assert len(fake.received) == sent and fake.names() == []  # nothing was sent again, and nothing is left


def test_disagreement_is_one_message_and_leaves_no_report(
    manifest: Path, arm_bundle: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    # Float kernels of ARM and x86 add in another order: a real difference, by which no report may be left.
    model, output = write_model(tmp_path / "model", form="float"), tmp_path / "device"
    output.mkdir()
    (output / "report.json").write_text("of an earlier run")
    message = error_line(run(manifest, arm_bundle, model, output))
    assert (
        f"{model / 'model.tflite'}: host and device disagree on the output of picture " in message
        and ", class " in message
    )
    assert re.search(
        r"they first differ at tensor tensor_\d+ \((CONV_2D|FULLY_CONNECTED), operator [13] of 4\)", message
    )
    assert not list(output.iterdir())

    answer = run(manifest, arm_bundle, model, output, tolerance=1e-5, count_instructions=False)
    assert answer.returncode == 0, answer.stderr
    report = report_of(output)
    assert [found["instructions"] for found in (*report["models"].values(), report["ratio"])] == [None] * 3
    agreement = report["models"]["int8"]["agreement"]
    assert 0 < agreement["largest_difference"] <= 1e-5 and agreement["bit_equal"] is False


def test_a_uint8_model_may_differ_by_steps_where_nothing_else_is_asked(
    manifest: Path, arm_bundle: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    model, output = write_model(tmp_path / "model", form="uint8"), tmp_path / "device"
    section = {"count_instructions": False, "threads": [1]}
    answer = run(manifest, arm_bundle, model, output, **section)
    assert answer.returncode == 0, answer.stderr
    assert "int8: allowed difference from the host: 16 steps of 1/256 (device.tolerance null: " in answer.stderr
    models = report_of(output)["models"]
    found = models["int8"]["agreement"]
    assert (found["tolerance"], found["unit"]) == (16, "steps of 1/256") and "computes in uint8" in found["reason"]
    assert found["largest_difference"] == int(found["largest_difference"]) <= 16
    beside = models["float"]["agreement"]
    assert (beside["tolerance"], beside["unit"]) == (1e-4, "of a probability")


@pytest.mark.parametrize(
    ("which", "layer", "number"), [("int8", "CONV_2D", "2 of 6"), ("int8", "FULLY_CONNECTED", "4 of 6"),
                                   ("float", "CONV_2D", "1 of 4"), ("float", "FULLY_CONNECTED", "3 of 4")]
)  # fmt: skip
def test_a_weight_that_changed_on_the_way_is_found_at_its_layer(
    manifest: Path,
    arm_bundle: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    which: str,
    layer: str,
    number: str,
) -> None:
    require("qemu-aarch64-static")
    models = {"int8": write_model(tmp_path / "int8"), "float": write_model(tmp_path / "float", form="float")}
    file = models[which] / "model.tflite"
    (operator,) = [found for found in operators(file.read_bytes()) if found.name == layer]
    kernel = operator.inputs[1]
    assert kernel is not None and kernel.data is not None
    weights = kernel.data.tobytes()
    # one weight of each output channel, so that every picture shows it
    ends = range(len(weights) // kernel.shape[0] - 1, len(weights), len(weights) // kernel.shape[0])

    class WithABadDisk(Demo):
        def push_model(self, files: dict[str, Path], folder: str) -> None:
            content = files["model.tflite"].read_bytes()
            if weights not in content:  # the other model
                return super().push_model(files, folder)
            assert content.count(weights) == 1
            changed = bytes(byte ^ 0x40 * (place in ends) for place, byte in enumerate(weights))
            (tmp_path / "changed").write_bytes(content.replace(weights, changed))
            return super().push_model({**files, "model.tflite": tmp_path / "changed"}, folder)

    monkeypatch.setattr("qatflow.device.run.run.Demo", WithABadDisk)
    settings = RunSettings(DeviceSettings("emulator", "test"), PICTURES, 0.0, threads=(1,), warmup=0, repeats=1)
    with pytest.raises(UserError) as raised:
        run_demo(settings, models["int8"], models["float"], arm_bundle, manifest, tmp_path / "device")
    message = str(raised.value)
    what = r"integer tensor \S+" if which == "int8" else "output"
    said = re.search(
        rf"^{file}: host and device disagree on the {what} of picture (\d+), class \d+ \(\d\): "
        r"host (\S+), device (\S+);", message,
    )  # fmt: skip
    assert said is not None and said[2] != said[3]
    where = re.search(
        r"they first differ at tensor (\S+) \((\S+), operator (\d of \d)\), where (\d+) of (\d+) values", message
    )
    assert where is not None
    assert where.group(1, 2, 3) == (operator.outputs[0].name, layer, number)
    assert 0 < int(where[4]) <= int(where[5]) == int(np.prod(operator.outputs[0].shape))
    assert not list((tmp_path / "device").glob("*"))


@pytest.mark.parametrize(("missing", "target"), [("model.tflite", "optimize"), ("preprocessing.json", "optimize")])
def test_missing_model_names_the_stage(
    manifest: Path, arm_bundle: Path, tmp_path: Path, missing: str, target: str  # noqa: F811
) -> None:  # fmt: skip
    model = write_model(tmp_path / "model")
    (model / missing).unlink()
    message = error_line(run(manifest, arm_bundle, model, tmp_path / "device"))
    assert missing in message and f"snakemake --cores all {target}" in message


def test_missing_demo_names_the_stage(manifest: Path, tmp_path: Path) -> None:
    message = error_line(run(manifest, tmp_path / "nowhere", write_model(tmp_path / "model"), tmp_path / "device"))
    assert "no built demo" in message and "snakemake --cores all build_demo" in message


def test_model_of_other_classes_is_refused(
    manifest: Path, arm_bundle: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    message = error_line(run(manifest, arm_bundle, write_model(tmp_path / "model", 7), tmp_path / "device"))
    assert "has 10 classes" in message and "7" in message


def test_damaged_model_is_refused(manifest: Path, arm_bundle: Path, tmp_path: Path) -> None:  # noqa: F811
    model = write_model(tmp_path / "model")
    (model / "model.tflite").write_bytes(model_bytes()[:20])
    assert "LiteRT cannot load" in error_line(run(manifest, arm_bundle, model, tmp_path / "device"))


def test_a_binary_classifier_with_one_value_is_right_on_the_device(tmp_path: Path, arm_bundle: Path) -> None:  # noqa: F811
    require("qemu-aarch64-static")
    data = dark_and_light(tmp_path / "data")
    (tmp_path / "one.tflite").write_bytes(one_value("sigmoid", "int8"))
    adopt(tmp_path / "one.tflite", data.folder / "manifest.json", tmp_path / "ready", drop_background=False)
    section = DeviceSection.model_validate({"pictures": 40, "repeats": 1, "count_instructions": False})
    text = run_demo(
        RunSettings.of(section), tmp_path / "ready", None, arm_bundle, data.folder / "manifest.json", tmp_path / "out"
    )
    assert text.startswith("Output dim: 2\n")
    pictures, labels = reader.tensors(data, "validation")
    p = (Model(tmp_path / "one.tflite").outputs(pictures).astype(float) + 128) / 256
    found = report_of(tmp_path / "out")["models"]["int8"]
    assert found["accuracy"]["device_top1"] == ((p[:, 0] > 0.5) == labels).mean()
    assert found["agreement"]["integer_part"]["bit_equal"] and found["output"]["shape"] == [1, 2]


def test_layers_in_float_between_int8_layers_agree_on_the_device(tmp_path: Path, arm_bundle: Path) -> None:  # noqa: F811
    require("qemu-aarch64-static")
    data = dark_and_light(tmp_path / "data")
    pictures, _ = reader.tensors(data, "validation")
    save(int8(transformer(), pictures[:12]), tmp_path / "int8")
    adopt(tmp_path / "int8", data.folder / "manifest.json", tmp_path / "ready", drop_background=False)
    section = DeviceSection.model_validate({"pictures": 40, "repeats": 1, "count_instructions": False})
    manifest = data.folder / "manifest.json"
    run_demo(RunSettings.of(section), tmp_path / "ready", None, arm_bundle, manifest, tmp_path / "out")
    found = report_of(tmp_path / "out")["models"]["int8"]
    assert "layers in float before others in int8" in found["agreement"]["reason"]
    assert found["agreement"]["largest_difference"] < 1e-6  # of these pictures, none was rounded to another step
    assert found["accuracy"]["device_top1"] == found["accuracy"]["host_top1"]
