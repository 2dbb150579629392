"""A .tflite file for the download: weights of fewer than 8 bits packed, and the whole deflated.

TensorFlow Lite stores integers of 2 to 7 bits as int8, here and there times a power of two (`graph/bias_steps.py`).
Here each takes only its bits, without that power, and expanding gives the same .tflite again, byte for byte.
demo/cxx/README.md describes the format; `packed_model.cc` there expands it as well.
"""

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.base.errors import UserError
from qatflow.graph.shifted import without_shared_zeros

PACKED = "model.tflite.packed"
"""Name of the packed file beside model.tflite."""
MAGIC, VERSION = b"QFPACKED", 2
HEADER = struct.Struct("<8sIIQ32s")
"""Magic, version, number of ranges, bytes of the model, its SHA-256."""
RANGE = struct.Struct("<IIHH")
"""Start in the model, number of weights, bits of each, and the exponent of the power of two that they are stored
times in the model."""
LEAST, MOST, STORED = 2, 7, 8
LARGEST = 1 << 31
"""Bytes that a .tflite file must stay below: its offsets are signed."""
INFLATION = 1032
"""Bytes that deflate can make of one, at most (zlib's technical details)."""


@dataclass(frozen=True)
class Range:
    """A part of a .tflite file that holds int8 weights.

    Attributes:
        start: of its first byte.
        count: number of weights, one byte each.
        bits: that each of them needs in two's complement, divided by 2^shift.
        shift: how many of the lowest bits are 0 in all of them; bits + shift is 8 at most.
    """

    start: int
    count: int
    bits: int
    shift: int = 0

    @property
    def packed_bytes(self) -> int:
        """Its bytes when it is packed."""
        return (self.count * self.bits + 7) // 8


def pack(content: bytes) -> bytes:
    """Return the packed form of a .tflite file, from which `unpack` makes the same bytes again.

    Deflate codes bytes: it shrinks weights that lie within bytes (2 and 4 bits) further, but those of other widths may
    shrink more where they stay bytes. So the smallest of three is taken: all ranges, those of 2 and 4 bits, and none.

    Args:
        content: the file's bytes.
    """
    ranges = narrow_ranges(content)
    choices: tuple[list[Range], ...] = (ranges, [part for part in ranges if 8 % part.bits == 0], [])
    return min((pack_ranges(content, choice) for choice in choices), key=len)


def pack_ranges(content: bytes, ranges: Sequence[Range]) -> bytes:
    """Return the packed form of a .tflite file with these of its ranges packed, in the order of the file."""
    packed = [pack_integers(_integers(content, part) >> part.shift, part.bits) for part in ranges]
    header = HEADER.pack(MAGIC, VERSION, len(ranges), len(content), hashlib.sha256(content).digest())
    table = b"".join(RANGE.pack(part.start, part.count, part.bits, part.shift) for part in ranges)
    return header + table + zlib.compress(b"".join([*_rest(content, ranges), *packed]), 9)


def unpack(packed: bytes, where: str) -> bytes:
    """Return the .tflite file that a packed one stands for.

    Args:
        packed: bytes of the packed file.
        where: the file, for messages.

    Raises:
        UserError: it is not a packed model, is of another version, or is damaged.
    """
    if packed[: len(MAGIC)] != MAGIC or len(packed) < HEADER.size:
        raise UserError(f"{where} is not a packed model, or is cut short")
    _, version, number, size, digest = HEADER.unpack_from(packed)
    if version != VERSION:
        raise UserError(f"{where} has version {version} of the packed format; version {VERSION} is read")
    body = HEADER.size + number * RANGE.size
    ranges = [Range(*values) for values in RANGE.iter_unpack(packed[HEADER.size : body])] if body < len(packed) else []
    try:
        if len(ranges) != number or size >= LARGEST or not _in_order(ranges, size):
            raise ValueError("its table of ranges is wrong")
        content = _expanded(packed[body:], ranges, size)
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("the model has another SHA-256 than its header says")
    except (ValueError, zlib.error) as error:
        raise UserError(f"{where} is damaged: {error}") from error
    return content


def narrow_ranges(content: bytes) -> list[Range]:
    """Return where a .tflite file has int8 constants that need fewer than 8 bits, in the order of the file."""
    buffer = np.frombuffer(content, np.uint8)
    model = schema.Model.GetRootAs(content)
    int8 = {
        tensor.Buffer()
        for graph in map(model.Subgraphs, range(model.SubgraphsLength()))
        for tensor in map(graph.Tensors, range(graph.TensorsLength()))
        if tensor.Type() == schema.TensorType.INT8
    }
    ranges = []
    for data in (model.Buffers(index).DataAsNumpy() for index in sorted(int8)):
        if isinstance(data, np.ndarray) and data.size:
            start = data.ctypes.data - buffer.ctypes.data
            ranges.append(Range(start, data.size, *packed_width(data.view(np.int8))))
    return sorted((part for part in ranges if part.bits <= MOST), key=lambda part: part.start)


def least_bits(integers: np.ndarray) -> int:
    """Return the least width, 2 to 8 bits, at which two's complement holds all of some int8 values."""
    low, high = int(integers.min(initial=0)), int(integers.max(initial=0))
    return max(LEAST, (~low if low < 0 else 0).bit_length() + 1, high.bit_length() + 1)


def packed_width(integers: np.ndarray) -> tuple[int, int]:
    """Return the least width of some int8 values divided by the power of two that they share, and its exponent."""
    least, shift = without_shared_zeros(integers)
    return least_bits(least), shift


def pack_integers(integers: np.ndarray, bits: int) -> bytes:
    """Return integers as one string of bits, the first integer and the lowest bit first, in bytes from their lowest on.

    Args:
        integers: int8 [n], each within `bits` bits.
        bits: width of each in two's complement.
    """
    every = np.unpackbits(integers.view(np.uint8)[:, None], axis=1, bitorder="little")
    return np.packbits(every[:, :bits].ravel(), bitorder="little").tobytes()


def unpack_integers(content: bytes, count: int, bits: int) -> np.ndarray:
    """Return the int8 [count] that `pack_integers` packed."""
    every = np.unpackbits(np.frombuffer(content, np.uint8), count=count * bits, bitorder="little").reshape(count, bits)
    values = np.packbits(every, axis=1, bitorder="little").ravel()
    values |= np.where(every[:, -1], 0xFF << bits & 0xFF, 0).astype(np.uint8)  # the sign
    return values.view(np.int8)


def _integers(content: bytes, part: Range) -> np.ndarray:
    return np.frombuffer(content, np.int8, part.count, part.start)


def _rest(content: bytes, ranges: Sequence[Range]) -> list[bytes]:
    """Return the parts of a file before, between and behind the ranges."""
    starts = [0, *(part.start + part.count for part in ranges)]
    ends = [*(part.start for part in ranges), len(content)]
    return [content[start:end] for start, end in zip(starts, ends, strict=True)]


def _in_order(ranges: Sequence[Range], size: int) -> bool:
    """Return whether the ranges are within the file and do not overlap."""
    end = 0
    for part in ranges:
        if part.start < end or not LEAST <= part.bits <= MOST or part.bits + part.shift > STORED:
            return False
        end = part.start + part.count
    return end <= size


def _expanded(body: bytes, ranges: Sequence[Range], size: int) -> bytes:
    rest = size - sum(part.count for part in ranges)
    length = rest + sum(part.packed_bytes for part in ranges)
    if length > INFLATION * len(body):
        raise ValueError("it is cut short")
    stream = zlib.decompressobj()
    inflated = stream.decompress(body, length + 1)
    if len(inflated) != length or not stream.eof or stream.unused_data:
        raise ValueError("its body does not have the length that its header says")
    content, taken, place, end = np.empty(size, np.uint8), 0, rest, 0
    source = np.frombuffer(inflated, np.uint8)
    for part in (*ranges, Range(size, 0, LEAST)):
        between = part.start - end
        content[end : part.start] = source[taken : taken + between]
        taken, end = taken + between, part.start + part.count
        packed = inflated[place : place + part.packed_bytes]
        content[part.start : end] = (unpack_integers(packed, part.count, part.bits) << part.shift).view(np.uint8)
        place += part.packed_bytes
    return content.tobytes()
