"""What a folder of idx files says in its headers: how many pictures, and how large; without unpacking them."""

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

PREFIXES = ("train", "t10k")
IMAGES, LABELS = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"


@dataclass(frozen=True)
class IdxCounts:
    """Pictures of the two files of images, and the largest side of one."""

    train: int
    test: int
    side: int


FASHION_MNIST = IdxCounts(60_000, 10_000, 28)


def missing_idx(folder: Path) -> list[str]:
    """Return the names of the files that the folder lacks, each as it is or with .gz."""
    names = [pattern.format(prefix) for prefix in PREFIXES for pattern in (IMAGES, LABELS)]
    return [name for name in names if _packed_or_not(folder, name) is None]


def idx_counts(folder: Path) -> IdxCounts | None:
    """Return what the headers say; None where they cannot be read, which the job says in full."""
    shapes = [_shape(folder, IMAGES.format(prefix)) for prefix in PREFIXES]
    if None in shapes:
        return None
    (train, *sides), (test, *others) = (shape for shape in shapes if shape is not None)
    return IdxCounts(train, test, max(*sides, *others))


def _packed_or_not(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def _shape(folder: Path, name: str) -> tuple[int, int, int] | None:
    path = _packed_or_not(folder, name)
    if path is None:
        return None
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic, *shape = struct.unpack(">4s3I", file.read(16))
    except (OSError, EOFError, zlib.error, struct.error):
        return None
    return (shape[0], shape[1], shape[2]) if magic == b"\0\0\x08\x03" else None
