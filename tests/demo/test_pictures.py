"""Pictures in the demo: decoded and preprocessed as for the training, bit for bit, on this machine and on ARM."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.demo_models import write_echo
from helpers.device_fixtures import arm_bundle, arm_runtime, call, host_bundle, require  # noqa: F401
from helpers.places import VERIFICATION_DATA
from helpers.tiny_model import Step
from helpers.unusual_pictures import saved, unusual
from qatflow.base.picture_size import PictureSize, square
from qatflow.data.picture import decode, stored
from qatflow.data.preprocess import Preprocessing, apply
from qatflow.device.build.bundle import open_bundle
from qatflow.device.emulator.device import Emulator
from qatflow.device.interface import DeviceSettings
from qatflow.tflite.run import TensorType

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
SPECS = (
    Preprocessing(square(32), "pad", 1, (127.5,), (127.5,)),
    Preprocessing(square(32), "pad", 3, MEAN, STD),
    Preprocessing(square(24), "stretch", 1, (0.1307 * 255,), (0.3081 * 255,)),
    Preprocessing(square(24), "stretch", 3, MEAN, STD),
    Preprocessing(PictureSize(37, 52), "stretch", 3, (127.5,), (3.3,)),
    Preprocessing(PictureSize(40, 24), "pad", 3, MEAN, STD, order="bgr"),
    Preprocessing(PictureSize(48, 20), "crop", 1, (127.5,), (127.5,), resize_short=24),
    Preprocessing(PictureSize(20, 48), "crop", 3, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), order="bgr"),
)
IDS = ["pad 1", "pad 3", "stretch 1", "stretch 3", "stretch 3, one mean", "pad 3, BGR", "crop 1", "crop 3, BGR"]
# Runs the demo in a folder of pictures: flags → outputs.
Runner = Callable[[Path, Sequence[str]], np.ndarray]


def pixels(rng: np.random.Generator, largest: int, channels: int) -> np.ndarray:
    height, width = rng.integers(1, largest + 1, 2)
    return rng.integers(0, 256, (height, width, channels), np.uint8)


def picture_files(folder: Path, spec: Preprocessing, count: int = 12) -> list[bytes]:
    """Write pictures of random sizes and kinds, and a list of them; return their contents."""
    rng = np.random.default_rng(spec.size.height)
    contents = []
    for i in range(count):
        grey = pixels(rng, spec.size.shorter if spec.resize == "pad" else 90, 1)[..., 0]
        image = Image.fromarray(grey if i % 2 else np.stack([grey, grey[::-1], 255 - grey], -1))
        contents.append(saved(image, "PPM" if i % 3 == 0 else "PNG"))
    write_list(folder, contents)
    return contents


def write_list(folder: Path, contents: Sequence[bytes]) -> None:
    (folder / "pictures").mkdir()
    for i, content in enumerate(contents):
        (folder / "pictures" / f"{i} of them").write_bytes(content)
    (folder / "list.txt").write_text("".join(f"pictures/{i} of them\n" for i in range(len(contents))))


def as_in_training(spec: Preprocessing, contents: Sequence[bytes]) -> np.ndarray:
    """The reference: Pillow, then NumPy."""
    return np.stack([apply(spec, decode(stored(content).content, spec.channels)).ravel() for content in contents])


def same_bits(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(found.reshape(expected.shape).view(np.uint32), expected.view(np.uint32))


@pytest.fixture
def on_host(host_bundle: Path) -> Runner:  # noqa: F811
    program = open_bundle(host_bundle).files["mobilenetv1_light_api"]

    def run(folder: Path, flags: Sequence[str]) -> np.ndarray:
        answer = call(program, f"--model_dir={folder}", f"--output={folder}/outputs", *flags)
        assert answer.returncode == 0, answer.stderr
        return np.fromfile(folder / "outputs", np.float32)

    return run


@pytest.mark.parametrize("spec", SPECS, ids=IDS)
def test_tensors_have_the_bits_of_the_training(on_host: Runner, tmp_path: Path, spec: Preprocessing) -> None:
    contents = picture_files(write_echo(tmp_path, spec), spec)
    same_bits(on_host(tmp_path, [f"--images={tmp_path}/list.txt"]), as_in_training(spec, contents))


@pytest.mark.device
def test_tensors_have_the_bits_of_the_training_on_arm(arm_bundle: Path, tmp_path: Path) -> None:  # noqa: F811
    require("qemu-aarch64-static")
    bundle, emulator = open_bundle(arm_bundle), Emulator(DeviceSettings("emulator", "emulator"))
    try:
        for name, file in bundle.files.items():
            emulator.push(file, name)
        for i, spec in enumerate(SPECS[2:]):
            folder = write_echo(tmp_path / str(i), spec)
            contents = picture_files(folder, spec)
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                emulator.push(file, f"{i}/{file.relative_to(folder)}")
            answer = emulator.run(
                bundle.command(f"--model_dir={i}", f"--images={i}/list.txt", "--output=outputs"), timeout=120
            )
            assert answer.status == 0, answer.stderr
            emulator.pull("outputs", tmp_path / "outputs")
            same_bits(np.fromfile(tmp_path / "outputs", np.float32), as_in_training(spec, contents))
    finally:
        emulator.cleanup()


def test_a_large_picture_shrinks_and_a_small_one_grows_alike(on_host: Runner, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    sizes = ((500, 375, 3), (17, 1, 3), (3, 3000, 3))
    contents = [saved(Image.fromarray(rng.integers(0, 256, size, np.uint8))) for size in sizes]
    for resize in ("stretch", "crop"):
        spec = Preprocessing(square(224), resize, 3, MEAN, STD)
        write_list(write_echo(tmp_path / resize, spec), contents)
        found = on_host(tmp_path / resize, [f"--images={tmp_path / resize}/list.txt"])
        same_bits(found, as_in_training(spec, contents))


def test_integer_inputs_are_rounded_as_on_the_host(host_bundle: Path, tmp_path: Path) -> None:  # noqa: F811
    spec, step = SPECS[3], Step(1 / 100, -3)
    contents = picture_files(write_echo(tmp_path, spec, step), spec)
    program = open_bundle(host_bundle).files["mobilenetv1_light_api"]
    flags = (f"--images={tmp_path}/list.txt", f"--output={tmp_path}/outputs")
    assert call(program, f"--model_dir={tmp_path}", *flags).returncode == 0
    kind = TensorType(np.dtype(np.int8), (), float(np.float32(step.scale)), step.zero_point)
    expected = kind.from_real(as_in_training(spec, contents))
    assert {-128, 127} <= set(expected.ravel())  # some are clipped
    np.testing.assert_array_equal(np.fromfile(tmp_path / "outputs", np.int8).reshape(expected.shape), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_unusual_files_are_read_as_for_the_training(on_host: Runner, tmp_path: Path, channels: int) -> None:
    spec = (
        Preprocessing(square(32), "pad", 1, (0,), (1,))
        if channels == 1
        else Preprocessing(square(32), "pad", 3, (0,), (1,))
    )
    contents = unusual()
    write_list(write_echo(tmp_path, spec), list(contents.values()))
    expected = as_in_training(spec, list(contents.values()))
    found = on_host(tmp_path, [f"--images={tmp_path}/list.txt"]).reshape(expected.shape)
    far = {name: row.max() for name, row in zip(contents, np.abs(found - expected), strict=True) if row.max() > 0}
    assert all(name.startswith("JPEG") and most <= 1 for name, most in far.items()), far


def test_jpeg_pixels_are_within_a_few_levels_of_pillows(on_host: Runner, tmp_path: Path) -> None:
    spec = Preprocessing(square(96), "pad", 3, (0,), (1,))
    rng = np.random.default_rng(4)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    smooth = np.asarray(coarse.resize((96, 96), Image.Resampling.BICUBIC))
    noisy = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
    contents = [
        saved(Image.fromarray(picture), "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
        for picture in (smooth, noisy)
        for quality, subsampling, progressive in ((95, 0, False), (90, 2, False), (75, 2, True), (50, 1, False))
    ]
    write_list(write_echo(tmp_path, spec), contents)
    expected = as_in_training(spec, contents)
    difference = np.abs(on_host(tmp_path, [f"--images={tmp_path}/list.txt"]).reshape(expected.shape) - expected)
    assert difference.max() <= 6
    assert difference.mean() < 0.25


def test_one_picture_may_be_given_as_the_input(on_host: Runner, tmp_path: Path) -> None:
    contents = picture_files(write_echo(tmp_path, SPECS[3]), SPECS[3], 1)
    same_bits(on_host(tmp_path, [f"--input={tmp_path}/pictures/0 of them"]), as_in_training(SPECS[3], contents))


@pytest.fixture
def refused(host_bundle: Path, tmp_path: Path) -> Callable[[bytes, int], str]:  # noqa: F811
    program = open_bundle(host_bundle).files["mobilenetv1_light_api"]
    if not (tmp_path / "model.tflite").exists():
        write_echo(tmp_path, SPECS[1])

    def refused(content: bytes, status: int) -> str:
        (tmp_path / "picture").write_bytes(content)
        (tmp_path / "list.txt").write_text("picture\n")
        answer = call(program, f"--model_dir={tmp_path}", f"--images={tmp_path}/list.txt")
        assert answer.returncode == status, answer.stderr
        return answer.stderr.splitlines()[-1]

    return refused


def test_damaged_pictures_end_with_status_10(refused: Callable[[bytes, int], str]) -> None:
    image = Image.fromarray(pixels(np.random.default_rng(2), 32, 3))
    png, jpeg, ppm = (saved(image, kind) for kind in ("PNG", "JPEG", "PPM"))
    for content in (png[: len(png) // 2], jpeg[: len(jpeg) // 2], ppm[: len(ppm) // 2]):
        assert "is truncated" in refused(content, 10)
    altered = bytearray(png)
    altered[len(png) // 2] ^= 1
    assert "checksum" in refused(bytes(altered), 10)
    assert "not a PNG, JPEG, PPM or PGM file" in refused(b"GIF89a" + bytes(100), 10)
    assert "CMYK" in refused(saved(image.convert("CMYK"), "JPEG"), 10)
    assert "8 bits" in refused(b"P5 1 1 65535\n\0\0", 10)
    assert "cannot be decoded" in refused(b"P5 999999 999999 255\n\0", 10)


def test_a_picture_that_does_not_fit_ends_with_status_5(refused: Callable[[bytes, int], str]) -> None:
    message = refused(saved(Image.new("RGB", (33, 5))), 5)
    assert "33×5 pixels cannot be padded to 32×32" in message


def test_missing_pictures_and_lists_end_with_status_9(host_bundle: Path, tmp_path: Path) -> None:  # noqa: F811
    program, folder = open_bundle(host_bundle).files["mobilenetv1_light_api"], write_echo(tmp_path, SPECS[0])
    (tmp_path / "list.txt").write_text("nowhere\n")
    (tmp_path / "empty.txt").write_text("\n\n")
    for flag, message in (
        ("--input=nowhere", "no input file 'nowhere'"),
        ("--images=nowhere", "no file 'nowhere'"),
        (f"--images={tmp_path}/list.txt", f"no file '{tmp_path}/nowhere'"),
        (f"--images={tmp_path}/empty.txt", "contains no pictures"),
    ):
        answer = call(program, f"--model_dir={folder}", flag)
        assert answer.returncode == 9
        assert message in answer.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no file"),
        ("", "'{' is missing"),
        ("[]", "'{' is missing"),
        ('{"size": 32, "resize": "pad", "channels": 3, "mean": [0], "std": [1]', "'}' is missing"),
        ('{"size": 32, "resize": "pad", "channels": 3, "mean": [0]}', "the keys must be"),
        ('{"size": 16, "resize": "none", "channels": 3, "mean": [0], "std": [1]}', "is for arrays, not for pictures"),
        ('{"size": 32, "resize": "fit", "channels": 3, "mean": [0], "std": [1]}', "'resize' is not"),
        ('{"size": 32, "resize": "crop", "channels": 3, "mean": [0], "std": [1]}', "'resize_short' is missing"),
        (
            '{"size": 32, "resize": "crop", "resize_short": 31, "channels": 3, "mean": [0], "std": [1]}',
            "'resize_short' is less than the shorter side of 'size'",
        ),
        (
            '{"size": 32, "resize": "pad", "resize_short": 37, "channels": 3, "mean": [0], "std": [1]}',
            "'resize_short' is only for the resize",
        ),
        ('{"size": 32, "resize": "pad", "order": "brg", "channels": 3, "mean": [0], "std": [1]}', "'order' is not"),
        ('{"size": 32, "resize": "pad", "order": "bgr", "channels": 1, "mean": [0], "std": [1]}', "'order' is \"bgr\""),
        ('{"size": 32.5, "resize": "pad", "channels": 3, "mean": [0], "std": [1]}', "'size' is not a whole number"),
        ('{"size": [32], "resize": "pad", "channels": 3, "mean": [0], "std": [1]}', "nor a list of height and width"),
        ('{"size": [32, 0], "resize": "pad", "channels": 3, "mean": [0], "std": [1]}', "'size' is not a whole number"),
        ('{"size": 32, "resize": "pad", "channels": 2, "mean": [0], "std": [1]}', "'channels' is not 1 or 3"),
        ('{"size": 32, "resize": "pad", "channels": 3, "mean": [0, 1], "std": [1]}', "'mean' is not a list"),
        ('{"size": 32, "resize": "pad", "channels": 3, "mean": [0], "std": [0]}', "'std' is not above 0"),
        ('{"size": 32, "resize": "pad", "channels": 3, "mean": [nan], "std": [1]}', "a number is missing"),
        ('{"size": 16, "resize": "pad", "channels": 3, "mean": [0], "std": [1]}', "produces tensors of 1×16×16×3"),
        (
            '{"size": [32, 16], "resize": "pad", "channels": 3, "mean": [0], "std": [1]}',
            "tensors of 1×32×16×3, the",
        ),
    ],
)
def test_wrong_preprocessing_ends_with_status_11(
    refused: Callable[[bytes, int], str], tmp_path: Path, text: str | None, message: str
) -> None:
    if text is None:
        (tmp_path / "preprocessing.json").unlink()
    else:
        (tmp_path / "preprocessing.json").write_text(text)
    assert message in refused(saved(Image.new("RGB", (5, 5))), 11)


@pytest.mark.imagenet
def test_jpeg_pixels_of_photographs(on_host: Runner, tmp_path: Path) -> None:
    photographs = sorted(VERIFICATION_DATA.glob("imagenet_sample/*.jpg"))[:20]
    if not photographs:
        pytest.skip(
            f"the verification data is not in {VERIFICATION_DATA} (QATFLOW_VERIFICATION_DATA names another folder)"
        )
    spec = Preprocessing(square(1024), "pad", 3, (0,), (1,))
    contents = [path.read_bytes() for path in photographs]
    contents = [content for content in contents if max(Image.open(io.BytesIO(content)).size) <= spec.size.shorter]
    write_list(write_echo(tmp_path, spec), contents)
    outputs = on_host(tmp_path, [f"--images={tmp_path}/list.txt"]).reshape(len(contents), -1)
    for content, row in zip(contents, outputs, strict=True):
        inside = decode(stored(content).content, 3).size
        difference = np.abs(row - as_in_training(spec, [content])[0])
        assert difference.max() <= 4 and difference.sum() / inside < 0.15
