"""The whole device stage: the demo on the emulator, compared with the host, and its report."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from device_fixtures import ROOT, arm_bundle, arm_runtime, host_bundle, require  # noqa: F401
from device_phones import StartFake, StartPhone, image, names_on, server, start_fake, start_phone  # noqa: F401
from qatflow.data import reader
from qatflow.data.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing, apply
from qatflow.device.demo import Demo
from qatflow.device.interface import DeviceSettings
from qatflow.device.run import RunSettings, run_demo
from qatflow.errors import UserError
from qatflow.files import sha256
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model
from tiny_model import model_bytes, write_model

pytestmark = pytest.mark.device
PICTURES = 30
DIGITS = Settings(
    name="digits",
    source="digits",
    path=None,
    validation=197,
    test=360,
    calibration=25,
    shards=3,
    max_rejected=0.01,
    seed=1,
    preprocessing=Preprocessing(32, "pad", 1, (127.5,), (127.5,)),
)
# Of the model's own folder, not of the data's manifest.
SPEC = Preprocessing(8, "stretch", 1, (127.5,), (127.5,))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "digits"
    prepare(DIGITS, folder)
    return folder / "manifest.json"


def run(manifest: Path, bundle: Path, model: Path, output: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    require("qemu-aarch64-static")
    command = [
        *(sys.executable, str(ROOT / "workflow" / "scripts" / "run_demo.py")),
        *("--type=emulator", "--name=emulator", f"--model-dir={model}", f"--library={bundle}"),
        *(f"--manifest={manifest}", f"--pictures={PICTURES}", f"--output-dir={output}", "--repeats=5", *flags),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def error_line(answer: subprocess.CompletedProcess[str]) -> str:
    """The one message: LiteRT writes lines of its own to stderr as well."""
    assert answer.returncode == 1 and "Traceback" not in answer.stderr
    lines = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_report_tells_agreement_accuracy_and_times(
    manifest: Path, arm_bundle: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    model, output = write_model(tmp_path / "model"), tmp_path / "device"
    answer = run(manifest, arm_bundle, model, output)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == (output / "output.txt").read_text()
    assert answer.stdout.startswith("Output dim: 10\nOutput[0]: 0.")

    report = json.loads((output / "report.json").read_text())
    host = Model(model / "model.tflite")
    shown = list(reader.pictures(reader.open_manifest(manifest), "test", PICTURES))
    scores = host.outputs(np.stack([apply(SPEC, picture) for picture, _ in shown]))
    order = np.argsort(-scores, axis=1, kind="stable")
    top1 = np.mean([label == row[0] for (_, label), row in zip(shown, order, strict=True)])
    top5 = np.mean([label in row[:5] for (_, label), row in zip(shown, order, strict=True)])
    assert report["accuracy"] == {
        "pictures": PICTURES, "device_top1": top1, "device_top5": top5, "host_top1": top1,
    }  # fmt: skip
    assert 0 < top5 < 1  # or the figures above say nothing
    agreement = report["agreement"]
    assert agreement["pictures"] == PICTURES and agreement["largest_difference"] <= 1e-6
    assert agreement["integer_part"]["bit_equal"] is True
    assert report["timing"]["emulated"] is True and report["timing"]["runs"] == 5
    assert report["model"]["sha256"] == sha256(model / "model.tflite")
    assert report["device"]["cpu"] == "cortex-a76"
    assert str(model / "model.tflite") in report["provenance"]["inputs"]


def test_whole_run_over_adb(
    manifest: Path, arm_bundle: Path, tmp_path: Path, server: str, start_phone: StartPhone  # noqa: F811
) -> None:  # fmt: skip
    phone, model, output = start_phone(), write_model(tmp_path / "model"), tmp_path / "phone"
    answer = run(manifest, arm_bundle, model, output, "--type=adb", f"--serial={phone.serial}")
    assert answer.returncode == 0, answer.stderr
    ones = Model(model / "model.tflite").outputs(np.ones((1, 8, 8, 1), np.float32))[0]
    assert answer.stdout.splitlines()[1:] == [f"Output[{i}]: {value:f}" for i, value in enumerate(ones)]
    report = json.loads((output / "report.json").read_text())
    assert (report["device"]["type"], report["device"]["model"]) == ("adb", "qatflow Phone")
    assert report["accuracy"]["device_top1"] == report["accuracy"]["host_top1"]
    assert report["agreement"]["integer_part"]["bit_equal"] is True
    assert report["timing"]["emulated"] is False
    assert names_on(phone, server) == []


def test_whole_run_over_adb_while_the_device_comes_and_goes(
    manifest: Path, host_bundle: Path, tmp_path: Path, start_fake: StartFake  # noqa: F811
) -> None:  # fmt: skip
    fake = start_fake("x86_64", lose_in_push=1, damage=1, lose_in_run=1, lose_at="--model_dir", damage_pulled=1)
    output = tmp_path / "device"
    flags = ("--type=adb", f"--serial={fake.serial}", "--keep=True")
    answer = run(manifest, host_bundle, write_model(tmp_path / "model"), output, *flags)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.count("trying again") == 4
    report = json.loads((output / "report.json").read_text())
    assert report["accuracy"]["device_top1"] == report["accuracy"]["host_top1"]
    assert report["agreement"]["bit_equal"] is True  # the same processor
    assert "outputs.bin" in "\n".join(fake.names()) and f"kept on device {fake.serial}: " in answer.stderr

    sent = len(fake.received)
    answer = run(manifest, host_bundle, write_model(tmp_path / "model"), output, *flags[:2])
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
    assert "host and device disagree on the output of picture " in message and ", class " in message
    assert re.search(r"they first part at tensor tensor_\d+ \((CONV_2D|FULLY_CONNECTED), operator [13] of 4\)", message)
    assert not list(output.iterdir())

    answer = run(manifest, arm_bundle, model, output, "--tolerance=1e-5")
    assert answer.returncode == 0, answer.stderr
    agreement = json.loads((output / "report.json").read_text())["agreement"]
    assert 0 < agreement["largest_difference"] <= 1e-5 and agreement["bit_equal"] is False


@pytest.mark.parametrize(("layer", "number"), [("CONV_2D", 2), ("FULLY_CONNECTED", 4)])
def test_a_weight_that_changed_on_the_way_is_found_at_its_layer(
    manifest: Path, arm_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: str, number: int  # noqa: F811
) -> None:  # fmt: skip
    require("qemu-aarch64-static")
    model = write_model(tmp_path / "model")
    (operator,) = [found for found in operators((model / "model.tflite").read_bytes()) if found.name == layer]
    kernel = operator.inputs[1]
    assert kernel is not None and kernel.data is not None
    weights = kernel.data.tobytes()
    # one weight of each output channel, so that every picture shows it
    ends = range(len(weights) // kernel.shape[0] - 1, len(weights), len(weights) // kernel.shape[0])

    class WithABadDisk(Demo):
        def push_model(self, files: dict[str, Path], folder: str) -> None:
            content = files["model.tflite"].read_bytes()
            assert content.count(weights) == 1
            changed = bytes(byte ^ 0x40 * (place in ends) for place, byte in enumerate(weights))
            (tmp_path / "changed").write_bytes(content.replace(weights, changed))
            super().push_model({**files, "model.tflite": tmp_path / "changed"}, folder)

    monkeypatch.setattr("qatflow.device.run.Demo", WithABadDisk)
    settings = RunSettings(DeviceSettings("emulator", "test"), PICTURES, 0.0, threads=1, warmup=0, repeats=1)
    with pytest.raises(UserError) as raised:
        run_demo(settings, model, arm_bundle, manifest, tmp_path / "device")
    message = str(raised.value)
    said = re.search(
        r"on the integer tensor \S+ of picture (\d+), class \d+ \(\d\): host (\S+), device (\S+);", message
    )
    assert said is not None and said[2] != said[3]
    where = re.search(
        r"they first part at tensor (\S+) \((\S+), operator (\d) of 6\), where (\d+) of (\d+) values", message
    )
    assert where is not None
    assert where.group(1, 2, 3) == (operator.outputs[0].name, layer, str(number))
    assert 0 < int(where[4]) <= int(where[5]) == int(np.prod(operator.outputs[0].shape))
    assert not list((tmp_path / "device").glob("*"))


@pytest.mark.parametrize(("missing", "target"), [("model.tflite", "optimize"), ("preprocessing.json", "optimize")])
def test_missing_model_names_the_stage(
    manifest: Path, arm_bundle: Path, tmp_path: Path, missing: str, target: str  # noqa: F811
) -> None:  # fmt: skip
    model = write_model(tmp_path / "model")
    (model / missing).unlink()
    message = error_line(run(manifest, arm_bundle, model, tmp_path / "device"))
    assert missing in message and f"snakemake --cores 4 {target}" in message


def test_missing_demo_names_the_stage(manifest: Path, tmp_path: Path) -> None:
    message = error_line(run(manifest, tmp_path / "nowhere", write_model(tmp_path / "model"), tmp_path / "device"))
    assert "no built demo" in message and "snakemake --cores 4 build_demo" in message


def test_model_of_other_classes_is_refused(
    manifest: Path, arm_bundle: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    message = error_line(run(manifest, arm_bundle, write_model(tmp_path / "model", 7), tmp_path / "device"))
    assert "has 10 classes" in message and "7" in message


def test_damaged_model_is_refused(manifest: Path, arm_bundle: Path, tmp_path: Path) -> None:  # noqa: F811
    model = write_model(tmp_path / "model")
    (model / "model.tflite").write_bytes(model_bytes()[:20])
    assert "LiteRT cannot load" in error_line(run(manifest, arm_bundle, model, tmp_path / "device"))
