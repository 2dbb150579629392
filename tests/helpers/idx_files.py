"""Idx files as those of MNIST."""

import gzip
import struct
from pathlib import Path

import numpy as np

RANDOM = np.random.default_rng(0)


def write_idx(folder: Path, train: int = 6, test: int = 4, packed: bool = True) -> dict[str, np.ndarray]:
    folder.mkdir(exist_ok=True)
    arrays = {}
    for prefix, count in (("train", train), ("t10k", test)):
        arrays[f"{prefix}-images-idx3-ubyte"] = RANDOM.integers(0, 256, (count, 5, 7), np.uint8)
        arrays[f"{prefix}-labels-idx1-ubyte"] = (np.arange(count) % 3).astype(np.uint8)
    for name, values in arrays.items():
        content = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return arrays
