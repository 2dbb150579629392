"""Packed models in the program: expanded to the same bytes, or refused."""

import hashlib
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from helpers.device_fixtures import call, host_bundle  # noqa: F401
from helpers.graphs import small_graph
from qatflow.device.build.bundle import open_bundle
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert
from qatflow.tflite.packing import PACKED, narrow_ranges, pack_ranges


@pytest.fixture(scope="session")
def program(host_bundle: Path) -> Path:  # noqa: F811
    return open_bundle(host_bundle).files["mobilenetv1_light_api"]


def content_of(bits: int) -> bytes:
    settings = QuantSettings({".*": bits}, 8, "channel_wise_abs_max", "moving_average_abs_max")
    return convert(as_if_quantised(small_graph(), settings)).content


def packed_ranges(content: bytes) -> bytes:
    return pack_ranges(content, narrow_ranges(content))


def by_hand(content: bytes) -> bytes:
    """A packed file without ranges, of any bytes."""
    header = struct.pack("<8sIIQ32s", b"QFPACKED", 2, 0, len(content), hashlib.sha256(content).digest())
    return header + zlib.compress(content)


@pytest.mark.parametrize("bits", range(2, 9))
def test_a_packed_model_gives_the_outputs_of_the_model(program: Path, tmp_path: Path, bits: int) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    for folder in (plain, packed):
        folder.mkdir()
    (plain / "model.tflite").write_bytes(content_of(bits))
    (packed / PACKED).write_bytes(packed_ranges(content_of(bits)))
    np.random.default_rng(bits).normal(size=(5, 8, 8, 2)).astype("<f4").tofile(tmp_path / "in")
    told = {}
    for folder in (plain, packed):
        flags = (f"--input={tmp_path}/in", f"--output={folder}/out", f"--json={folder}/json")
        answer = call(program, f"--model_dir={folder}", *flags)
        assert answer.returncode == 0, answer.stderr
        told[folder] = json.loads((folder / "json").read_text())
    assert (packed / "out").read_bytes() == (plain / "out").read_bytes()
    assert told[plain]["expand_ms"] == 0 < told[packed]["expand_ms"] < told[packed]["load_ms"]
    assert told[packed]["model_bytes"] == (packed / PACKED).stat().st_size


def test_the_model_itself_is_taken_where_both_are_there(program: Path, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(content_of(4))
    (tmp_path / PACKED).write_bytes(b"damaged")
    assert call(program, f"--model_dir={tmp_path}").returncode == 0


# around the ends of SHA-256's blocks
@pytest.mark.parametrize("size", [1, 55, 56, 63, 64, 65, 119, 120, 128, 1000])
def test_bytes_of_any_number_are_expanded(program: Path, tmp_path: Path, size: int) -> None:
    (tmp_path / PACKED).write_bytes(by_hand(np.random.default_rng(size).bytes(size)))
    answer = call(program, f"--model_dir={tmp_path}")
    assert answer.returncode == 4 and f"{PACKED}' cannot be used: it is not a .tflite file" in answer.stderr


@pytest.mark.parametrize(
    ("place", "value", "status", "message"),
    [
        (0, b"x", 4, "it is not a packed model, or it is cut short"),
        (8, b"\1", 8, "it has version 1 of the packed format, and version 2 is read"),
        (12, b"\xff\xff\xff\xff", 4, "it is damaged: it is cut short"),
        (16, b"\0\0\0\0\0\0\0\0", 4, "it is damaged: no model has the size that its header says"),
        (16, b"\xff\xff\xff\x7f", 4, "it is damaged: it is cut short"),
        (24, b"\0\0\0\0", 4, "it is damaged: the expanded model has another SHA-256 than its header says"),
        (64, b"\x08", 4, "it is damaged: its table of ranges is wrong"),
        (66, b"\5", 4, "it is damaged: its table of ranges is wrong"),
        (104, b"\0\0\0\0", 4, "it is damaged: its body does not have the length that its header says"),
    ],
)
def test_what_is_damaged_is_refused(
    program: Path, tmp_path: Path, place: int, value: bytes, status: int, message: str
) -> None:
    packed = packed_ranges(content_of(4))
    (tmp_path / PACKED).write_bytes(packed[:place] + value + packed[place + len(value) :])
    answer = call(program, f"--model_dir={tmp_path}")
    assert answer.returncode == status
    assert answer.stderr.splitlines()[-1].endswith(f"'{tmp_path}/{PACKED}' cannot be used: {message}"), answer.stderr
