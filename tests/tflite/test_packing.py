"""The packed form of a .tflite file, against its description in demo/cxx/README.md by Python's own integers."""

import hashlib
import re
import struct
import zlib

import numpy as np
import pytest

from helpers.graphs import small_graph
from qatflow.base.errors import UserError
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert
from qatflow.tflite.packing import least_bits, narrow_ranges, pack, pack_integers, pack_ranges, unpack, unpack_integers
from qatflow.tflite.read import operators

HEADER = 56


def narrow_model(bits: int, weights: str = "channel_wise_abs_max") -> bytes:
    """The small graph with all its kernels in so many bits."""
    settings = QuantSettings({".*": bits}, 8, weights, "moving_average_abs_max")
    return convert(as_if_quantised(small_graph(), settings)).content


def by_definition(integers: np.ndarray, bits: int) -> bytes:
    """The string of bits as one whole number: weight i at bit i·b, in two's complement."""
    number = sum((int(value) & (1 << bits) - 1) << bits * place for place, value in enumerate(integers))
    return number.to_bytes((len(integers) * bits + 7) // 8, "little")


@pytest.mark.parametrize("bits", range(2, 8))
def test_integers_of_any_number_take_only_their_bits(bits: int):
    random = np.random.default_rng(bits)
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    for count in (*range(18), 101, 1023, 4096):
        integers = random.integers(low, high, count, np.int8, endpoint=True)
        packed = pack_integers(integers, bits)
        assert packed == by_definition(integers, bits)
        np.testing.assert_array_equal(unpack_integers(packed, count, bits), integers)


def test_the_width_is_the_least_that_holds_all_values():
    for low in range(-128, 1):
        for high in range(128):
            least = next(bits for bits in range(2, 9) if -(1 << bits - 1) <= low and high < 1 << bits - 1)
            assert least_bits(np.asarray([low, 0, high], np.int8)) == least


@pytest.mark.parametrize("weights", ["abs_max", "channel_wise_abs_max"])
@pytest.mark.parametrize("bits", range(2, 9))
def test_a_model_is_packed_as_described_and_comes_back_byte_for_byte(bits: int, weights: str):
    content = narrow_model(bits, weights)
    smallest, packed = pack(content), pack_ranges(content, narrow_ranges(content))
    assert unpack(smallest, "it") == unpack(packed, "it") == content
    assert len(smallest) <= min(len(packed), HEADER + len(zlib.compress(content, 9)))

    magic, version, count, size, digest = struct.unpack("<8sIIQ32s", packed[:HEADER])
    assert (magic, version, size, digest) == (b"QFPACKED", 2, len(content), hashlib.sha256(content).digest())
    ranges = list(struct.iter_unpack("<IIHH", packed[HEADER : HEADER + 12 * count]))
    kernels = [operator.kernel.data for operator in operators(content) if operator.kernel is not None]
    assert [width for *_, width, _ in ranges] == [bits] * (4 if bits < 8 else 0)
    held = sorted(content[start : start + number] for start, number, *_ in ranges)
    assert held == (sorted(kernel.tobytes() for kernel in kernels) if bits < 8 else [])
    rest, expected, end = b"", b"", 0
    for start, number, width, shift in ranges:
        rest += content[end:start]
        end = start + number
        values = np.frombuffer(content[start:end], np.int8)
        assert np.abs(values).max() == (2 ** (width - 1) - 1) * 2**shift <= 127
        expected += by_definition(values // 2**shift, width)
    # the biases of few bits need finer steps (tests/graph/test_bias_steps.py)
    assert any(shift for *_, shift in ranges) or bits > 5
    assert zlib.decompress(packed[HEADER + 12 * count :]) == rest + content[end:] + expected


def test_any_changed_or_missing_byte_is_refused_or_changes_nothing():
    content = narrow_model(3)
    packed = pack_ranges(content, narrow_ranges(content))
    damaged = [packed[:size] for size in range(len(packed))] + [packed + b"\0"]
    for place in range(len(packed)):
        for change in (1, 0x80, 0xFF):
            buffer = bytearray(packed)
            buffer[place] ^= change
            damaged.append(bytes(buffer))
    unchanged = 0
    for other in damaged:
        try:
            assert unpack(other, "it") == content
            # the unused bits before deflate's check sum, and deflate's distances to another copy of the same bytes
            unchanged += 1
        except UserError as error:
            assert re.match(r"it (is damaged: |is not a packed model|has version \d+ of the packed)", str(error))
    assert unchanged <= len(damaged) / 500


def test_a_header_that_asks_for_much_memory_is_refused():
    packed = bytearray(pack(narrow_model(4)))
    packed[16:24] = struct.pack("<Q", (1 << 31) - 1)
    with pytest.raises(UserError, match="it is damaged: it is cut short"):
        unpack(bytes(packed), "it")
