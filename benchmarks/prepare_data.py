"""Preparation of 1,000, 10,000 and 100,000 pictures: pictures per second and peak memory, against only reading them.

    python benchmarks/prepare_data.py DATA --work /tmp/work > benchmarks/prepare_data.md

DATA is the verification data (see tests/e2e/test_imagenet_weights.py): the 1,000 photographs of imagenet_sample,
256×256, are listed as often as necessary. Reading and decoding use the same files, order and number of processes.
"""

import argparse
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from heading import heading
from measured import Measured, processor_time, run_measured
from qatflow.base.cli import entry
from qatflow.base.files import sha256
from qatflow.base.processes import keep_freed_memory
from qatflow.data import tfrecord
from qatflow.data.example import Record, serialise
from qatflow.data.picture import stored
from qatflow.data.reader import open_manifest

COUNTS = (1_000, 10_000, 100_000)
ROUNDS = 5
HELD_OUT = 20  # pictures of validation, and of test
PROGRAM = Path("workflow/scripts/prepare_data.py")
PREPROCESSING = {"size": 224, "resize": "crop", "channels": 3, "mean": [127.5], "std": [127.5]}


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
    """Run the program, and sample its memory."""
    section = {"source": "lists", "path": str(folder), "name": "bench", "shards": shards, "max_rejected": 0.05}
    section["preprocessing"] = PREPROCESSING
    arguments = ["--data", json.dumps(section), "--cores", str(cores), "--output", str(output)]
    return run_measured(PROGRAM, arguments)


def read(path: Path) -> None:
    """Read a file."""
    path.read_bytes()


def decode(path: Path) -> None:
    """Read and decode a file."""
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        image.load()


def measured(files: Sequence[Path], job: Callable[[Path], None], cores: int) -> Measured:
    """Return the cost of a job on each of the files."""
    start, before = time.monotonic(), processor_time()
    pool = get_context("fork").Pool(cores)
    for _ in pool.imap_unordered(job, files, chunksize=100):
        pass
    pool.close()
    pool.join()
    return Measured(time.monotonic() - start, processor_time() - before)


def parts(files: Sequence[Path], folder: Path) -> dict[str, float]:
    """Return the processor time of each thing that preparation does to a picture, in ms, by its name."""
    keep_freed_memory()  # as the processes of preparation do
    contents = [path.read_bytes() for path in files]
    pictures = [stored(content) for content in contents]
    records = [serialise(Record(content, 1, str(path))) for content, path in zip(contents, files, strict=True)]
    folder.mkdir(parents=True)
    shard = folder / "shard"

    def written() -> None:
        with shard.open("wb") as file:
            for record in records:
                tfrecord.write(file, record)

    def decoded(content: bytes) -> int:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return image.height

    jobs: dict[str, Callable[[], object]] = {
        "for comparison, decoding only": lambda: [decoded(content) for content in contents],
        "decoding, with what is asked about the file (format, frames, orientation, size)": lambda: [
            stored(content).height for content in contents
        ],
        "stat and read the file": lambda: [(path.stat(), path.stat(), path.read_bytes()) for path in files],
        "CRC-32C of the rows in the middle": lambda: [picture.check() for picture in pictures],
        "tf.train.Example": lambda: [serialise(Record(content, 1, "key")) for content in contents],
        "CRC-32C and writing of the record": written,
        "SHA-256 of the shard": lambda: sha256(shard),
        "for comparison, SHA-256 of the pixels, which only held-out ones need": lambda: [
            picture.digest() for picture in pictures
        ],
    }
    spent = {}
    for name, job in jobs.items():
        rounds = []
        for _ in range(ROUNDS):
            start = time.process_time()
            job()
            rounds.append(time.process_time() - start)
        spent[name] = 1000 * min(rounds) / len(files)
    shutil.rmtree(folder)
    return spent


def main(argv: Sequence[str]) -> None:
    """Measure each number of pictures and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder that must not exist yet; removed afterwards")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    arguments = parser.parse_args(argv)
    cores = arguments.cores
    print("# Preparation of data: pictures per second, and peak memory\n")
    print("\n".join(heading()))
    print(f"* the photographs of imagenet_sample (256×256, 22 kB), listed repeatedly; {cores} processes each")
    print("* files in the page cache; other jobs share the machine, so ratios are of processor time (ms per picture)")
    print("* memory: of all processes together, with shared memory counted once (PSS)\n")
    print(
        "| pictures | seconds | pictures/s | ms | ms, reading | ms, reading and decoding | / reading | / decoding "
        "| MB | of the first process |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    rows = []
    for count in arguments.counts:
        work = arguments.work / str(count)
        files = lists(arguments.data / "imagenet_sample", work / "lists", count)
        reading, decoding = (measured(files, job, cores).processor for job in (read, decode))
        run = prepared(work / "lists", work / "out", cores, shards=max(4, count // 1000))
        decoding = (decoding + measured(files, decode, cores).processor) / 2  # before and after
        manifest = open_manifest(work / "out")
        total = sum(split.count for split in manifest.splits.values()) + manifest.rejected
        assert total == count + 2 * HELD_OUT
        shutil.rmtree(work)
        times = [f"{1000 * spent / len(files):.2f}" for spent in (run.processor, reading, decoding)]
        ratios = [f"{run.processor / spent:.2f}" for spent in (reading, decoding)]
        sizes = [f"{size / 1e6:.0f}" for size in (run.largest, run.parent)]
        cells = [f"{count:,}", f"{run.seconds:.1f}", f"{len(files) / run.seconds:,.0f}", *times, *ratios, *sizes]
        print(f"| {' | '.join(cells)} |", flush=True)
        rows.append((count, run, decoding))
    (few, small, light), (many, large, heavy) = rows[-2], rows[-1]
    growth = (large.processor - small.processor) / (many - few) / (small.processor / few)
    bare = (heavy - light) / (many - few) / (light / few)
    print(f"\n* processor time per picture beyond {few:,}, over that below: {growth:.2f}; decoding only: {bare:.2f}")
    print(f"* bytes of memory per picture beyond {few:,}: {(large.largest - small.largest) / (many - few):.0f}")
    print("\n## What is done to a picture, in ms of processor time\n\n| part | ms |\n|---|---|")
    files = sorted((arguments.data / "imagenet_sample").rglob("*.jpg"))
    for name, spent in parts(files, arguments.work / "parts").items():
        print(f"| {name} | {spent:.3f} |")
    shutil.rmtree(arguments.work)


if __name__ == "__main__":
    entry(main)
