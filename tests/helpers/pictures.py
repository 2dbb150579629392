"""Files of pictures, good and bad, for the tests of the data's preparation."""

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def noise(seed: int, *shape: int) -> np.ndarray:
    """Random pixels, uint8 of that shape; another seed, another picture."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def save(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG file by the book (PNG specification, 3rd edition, §5): what Pillow cannot write, or would not."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def class_folders(root: Path, *, per_class: int = 4, classes: tuple[str, ...] = ("cat", "dog"), seed: int = 0) -> Path:
    """Sound JPEG files of 30×20 pixels, `per_class` of them in each folder, no two alike."""
    for number, name in enumerate(classes):
        for i in range(per_class):
            save(root / name / f"{i:02d}.jpg", noise(1000 * seed + 100 * number + i, 20, 30, 3))
    return root


def files_below(root: Path) -> int:
    """How many things there are that are no folders, hidden ones left out; links are not followed."""
    return sum(not name.startswith(".") for _, folders, names in os.walk(root) for name in names) + sum(
        (Path(here) / name).is_symlink() for here, folders, _ in os.walk(root) for name in folders
    )
