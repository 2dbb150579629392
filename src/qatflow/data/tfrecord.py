"""TFRecord files without TensorFlow.

A record is: length (uint64), masked CRC-32C of the length (uint32), data, masked CRC-32C of the data (uint32), all
little-endian; the mask is ((crc >> 15) | (crc << 17)) + 0xa282ead8 modulo 2³² (tensorflow/core/lib/io/record_writer.h).
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c
import numpy as np

from qatflow.base.errors import UserError

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")


def write(file: BinaryIO, data: bytes) -> None:
    """Append one record."""
    length = struct.pack("<Q", len(data))
    file.write(b"".join((length, FOOTER.pack(_masked_crc(length)), data, FOOTER.pack(_masked_crc(data)))))


def read(path: Path) -> Iterator[bytes]:
    """Yield the data of each record; raises UserError at the first that is damaged or truncated."""
    with path.open("rb") as file:
        offset = 0
        while header := file.read(HEADER.size):
            length = _length(header, path, offset)
            body = file.read(length + FOOTER.size)
            yield _data(body, length, path, offset)
            offset += HEADER.size + length + FOOTER.size


def read_at(path: Path, offset: int) -> bytes:
    """Return the data of the record that starts at `offset`; raises UserError if it is damaged."""
    with path.open("rb") as file:
        file.seek(offset)
        length = _length(file.read(HEADER.size), path, offset)
        return _data(file.read(length + FOOTER.size), length, path, offset)


def offsets(path: Path) -> np.ndarray:
    """Return the offset of each record, int64 [records]; only the lengths are read."""
    starts = []
    with path.open("rb") as file:
        offset, size = 0, os.fstat(file.fileno()).st_size
        while offset < size:
            starts.append(offset)
            file.seek(offset)
            offset += HEADER.size + _length(file.read(HEADER.size), path, offset) + FOOTER.size
    return np.asarray(starts, np.int64)


def _length(header: bytes, path: Path, offset: int) -> int:
    if len(header) != HEADER.size:
        raise _damaged(path, offset)
    length, crc = HEADER.unpack(header)
    if _masked_crc(header[:8]) != crc:
        raise _damaged(path, offset)
    return length


def _data(body: bytes, length: int, path: Path, offset: int) -> bytes:
    data = body[:length]
    if len(body) != length + FOOTER.size or _masked_crc(data) != FOOTER.unpack(body[length:])[0]:
        raise _damaged(path, offset)
    return data


def _damaged(path: Path, offset: int) -> UserError:
    return UserError(
        f"{path}: the record at byte {offset} is damaged (its CRC-32C does not match, or the file is truncated): "
        "prepare the data again with `snakemake --cores all data --forcerun prepare_data`"
    )


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
