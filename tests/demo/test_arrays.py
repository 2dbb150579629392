"""Arrays in the demo: raw float32 values, normalised as for the training, bit for bit, on this machine and on ARM."""

from pathlib import Path

import numpy as np
import pytest

from helpers.demo_models import write_echo
from helpers.device_fixtures import arm_bundle, arm_runtime, call, host_bundle, require  # noqa: F401
from helpers.tiny_model import Step
from qatflow.base.picture_size import PictureSize
from qatflow.data.preprocess import Preprocessing
from qatflow.device.build.bundle import open_bundle
from qatflow.device.emulator.device import Emulator
from qatflow.device.interface import DeviceSettings

SPECTROGRAM = Preprocessing(PictureSize(49, 10), "none", 1, (-31.7,), (12.3,))
SENSORS = Preprocessing(PictureSize(128, 1), "none", 3, (0.1, -9.81, 1e-4), (0.7, 3.3, 1e-5))
STEP = Step(1 / 64, 3)


def arrays(spec: Preprocessing) -> np.ndarray:
    """Values around the mean, with signed zeros, denormal numbers and far outliers among them."""
    random = np.random.default_rng(3)
    values = random.normal(spec.mean, spec.std, (7, *spec.shape)).astype(np.float32)
    values.reshape(-1)[:6] = (0.0, -0.0, 1e-42, -1e30, 1e30, np.float32(spec.mean[0]))
    return values


def normalised(spec: Preprocessing, values: np.ndarray) -> np.ndarray:
    """(x − mean) · (1 / std), each step in float32: the formula itself."""
    return (values - np.array(spec.mean, np.float32)) * (np.float32(1) / np.array(spec.std, np.float32))


def in_int8(values: np.ndarray) -> np.ndarray:
    """The nearest integer of each value, halves to even."""
    return np.clip(np.rint(values / np.float32(STEP.scale)) + STEP.zero_point, -128, 127).astype(np.int8)


@pytest.mark.parametrize("spec", [SPECTROGRAM, SENSORS], ids=["spectrogram", "sensors"])
def test_arrays_become_tensors_with_the_bits_of_the_training(host_bundle: Path, tmp_path: Path, spec: Preprocessing):  # noqa: F811
    values = arrays(spec)
    values.astype("<f4").tofile(tmp_path / "arrays.bin")
    program = open_bundle(host_bundle).files["mobilenetv1_light_api"]
    for name, step, dtype in (("float", None, np.float32), ("int8", STEP, np.int8)):
        folder = write_echo(tmp_path / name, spec, step)
        flags = (f"--arrays={tmp_path}/arrays.bin", f"--output={tmp_path}/outputs", "--topk=1")
        answer = call(program, f"--model_dir={folder}", *flags)
        assert answer.returncode == 0, answer.stderr
        assert f"{tmp_path}/arrays.bin[6]: 1. value" in answer.stdout
        outputs = np.fromfile(tmp_path / "outputs", dtype).reshape(values.shape)
        expected = normalised(spec, values)
        np.testing.assert_array_equal(
            outputs.view(f"u{dtype().itemsize}"),
            (expected if step is None else in_int8(expected)).view(f"u{dtype().itemsize}"),
        )


@pytest.mark.device
def test_arrays_become_tensors_with_the_bits_of_the_training_on_arm(arm_bundle: Path, tmp_path: Path):  # noqa: F811
    require("qemu-aarch64-static")
    bundle, emulator = open_bundle(arm_bundle), Emulator(DeviceSettings("emulator", "emulator"))
    try:
        for name, file in bundle.files.items():
            emulator.push(file, name)
        values = arrays(SENSORS)
        folder = write_echo(tmp_path / "sensors", SENSORS)
        values.astype("<f4").tofile(folder / "arrays.bin")
        for file in folder.iterdir():
            emulator.push(file, f"sensors/{file.name}")
        flags = ("--model_dir=sensors", "--arrays=sensors/arrays.bin", "--output=outputs")
        answer = emulator.run(bundle.command(*flags), timeout=120)
        assert answer.status == 0, answer.stderr
        emulator.pull("outputs", tmp_path / "outputs")
        outputs = np.fromfile(tmp_path / "outputs", np.uint32).reshape(values.shape)
        np.testing.assert_array_equal(outputs, normalised(SENSORS, values).view(np.uint32))
    finally:
        emulator.cleanup()


def test_arrays_that_cannot_be_used_are_refused(host_bundle: Path, tmp_path: Path):  # noqa: F811
    program = open_bundle(host_bundle).files["mobilenetv1_light_api"]
    folder = write_echo(tmp_path / "model", SENSORS)
    values = arrays(SENSORS)
    values[2, 5, 0, 1] = np.nan
    values.tofile(tmp_path / "nan.bin")
    (tmp_path / "short.bin").write_bytes(values.tobytes()[:-4])
    pictures = write_echo(tmp_path / "pictures", Preprocessing(PictureSize(4, 4), "pad", 1, (0,), (1,)))
    small = np.zeros((4, 4), np.float32)
    small.tofile(tmp_path / "small.bin")
    for model, file, status, message in (
        (folder, "nan.bin", 10, "nan.bin[2]': a value is NaN or infinite"),
        (folder, "short.bin", 5, "not a multiple of one input tensor (1536 bytes of float32)"),
        (folder, "nowhere", 9, "no input file"),
        (pictures, "small.bin", 11, "is for pictures, not for arrays"),
    ):
        output = f"--output={tmp_path}/outputs"
        answer = call(program, f"--model_dir={model}", f"--arrays={tmp_path}/{file}", output)
        assert (answer.returncode, message in answer.stderr) == (status, True), answer.stderr
    answer = call(program, f"--model_dir={folder}", "--arrays=a", "--input=b")
    assert answer.returncode == 2 and "only one of --input, --images and --arrays" in answer.stderr
