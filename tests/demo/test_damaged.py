"""Damaged models and pictures under AddressSanitizer and UndefinedBehaviorSanitizer: a message, never a crash.

LiteRT's library itself is not built with them; a write past its buffers shows as a crash, or where it meets ours.
"""

import collections
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from helpers.demo_models import write_echo
from helpers.device_fixtures import host_bundle  # noqa: F401
from helpers.graphs import small_graph
from helpers.tiny_model import model_bytes, write_model
from helpers.unusual_pictures import saved, unusual
from qatflow.base.picture_size import square
from qatflow.data.preprocess import Preprocessing
from qatflow.device.build.bundle import open_bundle
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert
from qatflow.tflite.packing import MAGIC, PACKED, narrow_ranges, pack_ranges

MODELS, PICTURES = 300, 300
TYPES = (8, "channel_wise_abs_max", "moving_average_abs_max")
NUMBERS = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\1\0\0\0")


@pytest.fixture(scope="session")
def sanitized(host_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """The program for this machine with both sanitizers."""
    folder = tmp_path_factory.mktemp("sanitized") / "bundle"
    shutil.copytree(host_bundle, folder)
    program = open_bundle(folder).files["mobilenetv1_light_api"]
    program.unlink()
    command = ["make", "-j2", "SANITIZE=ON"]
    answer = subprocess.run(command, cwd=program.parent, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert b"__asan_init" in program.read_bytes() and b"__ubsan_handle" in program.read_bytes()
    return program


def call(program: Path, *flags: str, leaks: bool = False) -> tuple[int, str]:
    """Run it; return its status and what it wrote to stderr. Looking for leaks takes most of the time."""
    answer = subprocess.run(
        [str(program), *flags], capture_output=True, text=True, errors="replace", timeout=60, check=False,
        env=os.environ | {"ASAN_OPTIONS": f"detect_leaks={leaks:d}", "UBSAN_OPTIONS": "print_stacktrace=1"},
    )  # fmt: skip
    return answer.returncode, answer.stderr


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut, or bytes and 32-bit numbers altered."""
    if rng.random() < 0.1:
        return content[: rng.integers(len(content))]
    buffer = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 12])):
        place = int(rng.integers(len(buffer)))
        if rng.random() < 0.6:
            buffer[place] = rng.choice([0, 1, 127, 128, 255, buffer[place] ^ (1 << int(rng.integers(8)))])
        else:
            place &= ~3
            buffer[place : place + 4] = NUMBERS[rng.integers(len(NUMBERS))][: len(buffer) - place]
    return bytes(buffer)


def statuses(
    run: Callable[[int], tuple[int, str]], numbers: Iterable[int], allowed: set[int]
) -> collections.Counter[int]:
    """Run each and count how they end; fail with the first that crashed or that a sanitizer complained of."""
    with ThreadPoolExecutor(2) as executor:
        answers = list(executor.map(run, numbers))
    for number, (status, text) in enumerate(answers):
        assert status in allowed and "Sanitizer" not in text and "runtime error" not in text, f"{number}: {text}"
    return collections.Counter(status for status, _ in answers)


def test_damaged_models_end_with_a_message(sanitized: Path, tmp_path: Path) -> None:
    models = [model_bytes(form=form) for form in ("quantised", "float", "int8")]
    models.append(convert(small_graph(), {"note": b"of a test"}).content)
    narrow = convert(as_if_quantised(small_graph(), QuantSettings({".*": 4}, *TYPES))).content
    models.append(pack_ranges(narrow, narrow_ranges(narrow)))

    def run(number: int) -> tuple[int, str]:
        folder = tmp_path / str(number)
        folder.mkdir()
        content = damaged(models[number % len(models)], np.random.default_rng(number))
        name = PACKED if models[number % len(models)].startswith(MAGIC) else "model.tflite"
        (folder / name).write_bytes(content)
        status, text = call(sanitized, f"--model_dir={folder}")
        last = text.splitlines()[-1] if text else ""
        assert status == 0 or last.startswith("mobilenetv1_light_api: '"), text
        return status, text

    found = statuses(run, range(MODELS), allowed={0, 4, 6, 8})
    assert found[4] > MODELS / 3 and found[0] > MODELS / 10  # they are neither all harmless nor all refused at once


def altered(what: str) -> bytes:
    """A model with one number altered so that LiteRT 2.3 would crash on it."""
    model = schema.ModelT.InitFromPackedBuf(model_bytes(form="float" if what == "shape" else "quantised"), 0)
    graph = model.subgraphs[0]
    convolution, softmax, quantised = graph.operators[1], graph.operators[-1], graph.tensors[1].quantization
    if what == "operator code":
        convolution.opcodeIndex = 99
    elif what == "tensor":
        convolution.inputs = [1, 99, 4]
    elif what == "missing kernel":
        convolution.inputs = [1, -1, 4]
    elif what == "packed kernel":
        graph.tensors[convolution.inputs[1]].type = schema.TensorType.INT4  # half of its bytes would be read
    elif what == "zero point":
        quantised.zeroPoint = [65539]
    elif what == "scale":
        quantised.scale = [1e-45]
    elif what == "buffer":
        model.buffers[1].offset, model.buffers[1].size = 2, 1 << 40
    elif what == "shape":
        softmax.inputs = [1]  # over the kernel: more values than the output has room for
    elif what == "no graph":
        model.subgraphs = []
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("operator code", "an operator has no code"),
        ("tensor", "a tensor index is out of range"),
        ("missing kernel", "a tensor index is out of range"),
        ("packed kernel", "a constant's size does not match its shape"),
        ("zero point", "a zero point is outside the range of its tensor's type"),
        ("scale", "a scale is not above 0"),
        ("buffer", "a buffer is outside the file"),
        ("shape", "the output another shape than the file does"),
        ("no graph", "it has no graph"),
    ],
)
def test_numbers_that_litert_would_follow_into_a_crash(
    sanitized: Path, tmp_path: Path, what: str, message: str
) -> None:
    (tmp_path / "model.tflite").write_bytes(altered(what))
    status, text = call(sanitized, f"--model_dir={tmp_path}")
    assert status == 4 and message in text and "Sanitizer" not in text, text


def with_check_sums(png: bytes) -> bytes:
    """The PNG file with the check sums of its chunks made right, so that the decoder sees what is damaged."""
    buffer, at = bytearray(png), 8
    while at + 12 <= len(buffer):
        end = at + 8 + int.from_bytes(buffer[at : at + 4], "big")
        if end + 4 > len(buffer):
            break
        buffer[end : end + 4] = zlib.crc32(buffer[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(buffer)


def test_damaged_pictures_end_with_a_message(sanitized: Path, tmp_path: Path) -> None:
    write_echo(tmp_path, Preprocessing(square(16), "stretch", 3, (0,), (1,)))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (21, 30, 3), np.uint8))
    pictures = [*unusual().values(), saved(image, "PPM"), saved(image.convert("L"), "PPM")]
    for quality, subsampling, progressive, restart in ((90, 0, False, 0), (50, 2, True, 0), (75, 1, False, 2)):
        options = {"quality": quality, "subsampling": subsampling, "progressive": progressive}
        pictures.append(saved(image, "JPEG", restart_marker_blocks=restart, **options))

    def run(number: int) -> tuple[int, str]:
        content = damaged(pictures[number % len(pictures)], np.random.default_rng(number))
        path = tmp_path / f"picture {number}"
        path.write_bytes(with_check_sums(content) if content.startswith(b"\x89PNG") else content)
        (tmp_path / f"list {number}").write_text(f"{path.name}\n")
        return call(sanitized, f"--model_dir={tmp_path}", f"--images={tmp_path}/list {number}")

    found = statuses(run, range(PICTURES), allowed={0, 10})
    assert found[10] > PICTURES / 10 and found[0] > PICTURES / 10


def huffman_overflow() -> bytes:
    """A JPEG file whose Huffman table names 300 codes: stb_image 2.27 writes past its own (fixed in 2.28)."""
    content = bytearray(saved(Image.new("L", (8, 8)), "JPEG"))
    place = content.index(b"\xff\xc4") + 5
    content[place : place + 16] = bytes([255, 45, *[0] * 14])
    return bytes(content)


def test_huffman_tables_too_large_are_refused(sanitized: Path, tmp_path: Path) -> None:
    write_echo(tmp_path, Preprocessing(square(16), "stretch", 1, (0,), (1,)))
    (tmp_path / "picture").write_bytes(huffman_overflow())
    (tmp_path / "list").write_text("picture\n")
    status, text = call(sanitized, f"--model_dir={tmp_path}", f"--images={tmp_path}/list")
    assert status == 10 and "a table of the JPEG file is wrong" in text


@pytest.mark.parametrize("name", ["preprocessing.json", "labels.txt"])
def test_a_damaged_folder_ends_with_a_message(sanitized: Path, tmp_path: Path, name: str) -> None:
    write_model(tmp_path)
    (tmp_path / "list").write_text("picture\n")
    (tmp_path / "picture").write_bytes(saved(Image.new("L", (9, 9))))
    whole = (tmp_path / name).read_bytes()

    def run(number: int) -> tuple[int, str]:
        (tmp_path / name).write_bytes(damaged(whole, np.random.default_rng(number)))
        return call(sanitized, f"--model_dir={tmp_path}", f"--images={tmp_path}/list")

    # One after the other: they share the file.
    found = [run(number) for number in range(40)]
    assert 11 in {status for status, _ in found} <= {0, 11}
    assert not [text for _, text in found if "Sanitizer" in text or "runtime error" in text]


def test_nothing_leaks(sanitized: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    (tmp_path / "picture").write_bytes(saved(Image.new("RGB", (9, 9)), "JPEG"))
    flags = (f"--input={tmp_path}/picture", "--topk=3", "--profile", f"--json={tmp_path}/json")
    status, text = call(sanitized, f"--model_dir={folder}", *flags, leaks=True)
    assert status == 0 and "Sanitizer" not in text, text
    (folder / "model.tflite").write_bytes(model_bytes()[:1500])
    status, text = call(sanitized, f"--model_dir={folder}", leaks=True)
    assert status == 4 and "Sanitizer" not in text, text
