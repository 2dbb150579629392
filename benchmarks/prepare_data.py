"""Preparation of 1,000, 10,000 and 100,000 pictures: pictures a second and peak memory, against reading them alone.

    python benchmarks/prepare_data.py DATA --work /tmp/work > benchmarks/prepare_data.md

DATA is the verification data (see tests/test_imagenet_weights.py): the 1,000 photographs of imagenet_sample, 256×256,
are listed as often as need be. Reading, and decoding, go over the same files in the same order, with as many processes.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import psutil
from PIL import Image

from heading import heading
from qatflow.cli import entry
from qatflow.data.reader import open_manifest

COUNTS = (1_000, 10_000, 100_000)
HELD_OUT = 20  # pictures of validation, and of test
PROGRAM = Path("workflow/scripts/prepare_data.py")
PREPROCESSING = {"size": 224, "resize": "crop", "channels": 3, "mean": [127.5], "std": [127.5]}
EVERY = 0.2  # seconds between looks at the memory


@dataclass(frozen=True)
class Measured:
    """A run of the program.

    Attributes:
        seconds: from start to end.
        largest: bytes of all its processes together at their highest; what they share is counted once.
        parent: of these, the first process's.
    """

    seconds: float
    largest: int
    parent: int


def lists(sample: Path, folder: Path, count: int) -> list[Path]:
    """Write train_list.txt with `count` lines, val_list.txt and test_list.txt; return the files of all, in order."""
    lines = [line.split() for line in (sample / "labels.txt").read_text().splitlines()]
    held_out, training = lines[: 2 * HELD_OUT], lines[2 * HELD_OUT :]
    repeated = [training[i % len(training)] for i in range(count)]
    numbers = {label: str(place) for place, label in enumerate(dict.fromkeys(label for _, label in training))}
    parts = {"train": repeated, "val": held_out[:HELD_OUT], "test": held_out[HELD_OUT:]}
    folder.mkdir(parents=True)
    for name, part in parts.items():
        text = "".join(f"{sample.resolve() / file} {numbers.get(label, '0')}\n" for file, label in part)
        (folder / f"{name}_list.txt").write_text(text)
    return [sample / file for part in parts.values() for file, _ in part]


def prepared(folder: Path, output: Path, cores: int, shards: int) -> Measured:
    """Run the program, and look at its memory meanwhile."""
    flags = {"source": "lists", "path": folder, "name": "bench", "cores": cores, "shards": shards, "output": output}
    flags |= {"preprocessing": json.dumps(PREPROCESSING), "max-rejected": 0.05}
    arguments = [str(part) for name, value in flags.items() for part in (f"--{name}", value)]
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, PROGRAM, *arguments], stdout=subprocess.DEVNULL)
    largest = parent = 0
    while process.poll() is None:
        sizes = [_bytes(one) for one in _family(process.pid)]
        if sum(sizes) > largest:
            largest, parent = sum(sizes), sizes[0]
        time.sleep(EVERY)
    if process.returncode:
        raise RuntimeError(f"{PROGRAM} ended with status {process.returncode}")
    return Measured(time.monotonic() - start, largest, parent)


def _family(process: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(process)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _bytes(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def read(path: Path) -> None:
    """Read a file, and do nothing with it."""
    path.read_bytes()


def decode(path: Path) -> None:
    """Read a file and decode it, and do nothing with it."""
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        image.load()


def seconds(files: Sequence[Path], job: Callable[[Path], None], cores: int) -> float:
    """Return what a job on each of the files takes."""
    start = time.monotonic()
    with get_context("fork").Pool(cores) as pool:
        for _ in pool.imap_unordered(job, files, chunksize=100):
            pass
    return time.monotonic() - start


def main(argv: Sequence[str]) -> None:
    """Measure each number of pictures and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder that does not exist yet; removed afterwards")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    arguments = parser.parse_args(argv)
    cores = arguments.cores
    print("# Preparation of data: pictures a second, and peak memory\n")
    print("\n".join(heading()))
    print(f"* the photographs of imagenet_sample (256×256, 22 kB), listed again and again; {cores} processes each")
    print("* files in the page cache; the machine is shared: compare within a row")
    print("* memory: of all processes together, what they share counted once (PSS)\n")
    print(
        "| pictures | seconds | pictures/s | only read | read and decoded | time / reading | time / decoding | MB "
        "| of the first process |\n|---|---|---|---|---|---|---|---|---|"
    )
    rows = []
    for count in arguments.counts:
        work = arguments.work / str(count)
        files = lists(arguments.data / "imagenet_sample", work / "lists", count)
        reading, decoding = (seconds(files, job, cores) for job in (read, decode))
        run = prepared(work / "lists", work / "out", cores, shards=max(4, count // 1000))
        decoding = (decoding + seconds(files, decode, cores)) / 2  # before and after
        manifest = open_manifest(work / "out")
        total = sum(split.count for split in manifest.splits.values()) + manifest.rejected
        assert total == count + 2 * HELD_OUT
        shutil.rmtree(work)
        rates = [f"{len(files) / spent:,.0f}" for spent in (run.seconds, reading, decoding)]
        ratios = [f"{run.seconds / spent:.2f}" for spent in (reading, decoding)]
        sizes = [f"{size / 1e6:.0f}" for size in (run.largest, run.parent)]
        print(f"| {' | '.join([f'{count:,}', f'{run.seconds:.1f}', *rates, *ratios, *sizes])} |", flush=True)
        rows.append((count, run.seconds / decoding, run))
    (_, least, _), (few, _, small), (many, most, large) = rows[0], rows[-2], rows[-1]
    print(f"\n* time over decoding, from the smallest to the largest: {least:.2f} to {most:.2f}")
    print(f"* bytes a picture, of the last step's: {(large.largest - small.largest) / (many - few):.0f}")
    shutil.rmtree(arguments.work)


if __name__ == "__main__":
    entry(main)
