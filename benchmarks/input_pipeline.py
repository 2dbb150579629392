"""The input pipeline of training: pictures per second against a bare tf.data loop, and its cost per training step.

    python benchmarks/input_pipeline.py DATA --work /tmp/work > benchmarks/input_pipeline.md

DATA is the verification data (see tests/e2e/test_imagenet_weights.py): the 1,000 photographs of
imagenet_sample, 256×256.
"""

import argparse
import contextlib
import functools
import itertools
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from heading import heading
from qatflow.base.cli import entry
from qatflow.base.picture_size import square
from qatflow.data.manifest import Manifest
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing
from qatflow.training.runtime import start

SIZE, CLASSES = 224, 1000
CROP = Preprocessing(square(SIZE), "crop", 3, (127.5,) * 3, (127.5,) * 3)
PAD = Preprocessing(square(32), "pad", 1, (127.5,), (127.5,))
ROUNDS = 3  # the loops take turns
KEPT = 12  # batches in memory
STEP_OVER_MEMORY = 1.05  # the aims
OVER_BARE = {
    "ours, training (crop_flip)": 1.2,
    "ours, evaluation (crop)": 1.3,
    "ours, evaluation (stretch: each is resized)": 1.3,
}


def photographs(data: Path, work: Path) -> Manifest:
    """Prepare the photographs, 960 of them for training."""
    (work / "lists").mkdir(parents=True)
    sample = (data / "imagenet_sample").resolve()
    lines = [f"{sample}/{line}\n" for line in (sample / "labels.txt").read_text().splitlines()]
    (work / "lists" / "labels.txt").write_text("".join(f"class {i}\n" for i in range(CLASSES)))
    for name, part in (("val", lines[:20]), ("test", lines[20:40]), ("train", lines[40:])):
        (work / "lists" / f"{name}_list.txt").write_text("".join(part))
    return prepare(Settings("photographs", "lists", work / "lists", 1, 1, 100, 4, 0.1, 1, CROP), work / "photographs")


def handwritten(work: Path) -> Manifest:
    """Prepare Fashion-MNIST, which must be installed."""
    return prepare(Settings("fashion", "idx", None, 5000, 1, 100, 4, 0.0, 1, PAD), work / "fashion", cores=2)


def bare(manifest: Manifest, batch: int, crop: bool) -> Any:
    """Return a loop as in TensorFlow's guides: it parses records and decodes JPEG on all cores.

    With `crop`, a random part is resized and mirrored by TensorFlow's own operations.
    """
    import tensorflow as tf

    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }

    def decoded(record: Any) -> tuple[Any, Any]:
        parsed = tf.io.parse_single_example(record, features)
        content, label = parsed["image/encoded"], parsed["image/class/label"]
        if not crop:
            return tf.image.resize_with_crop_or_pad(tf.io.decode_jpeg(content, channels=3), 256, 256), label
        shape = tf.io.extract_jpeg_shape(content)
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            shape, tf.zeros([1, 0, 4]), seed=[1, 2], area_range=(0.08, 1.0), use_image_if_no_bounding_boxes=True
        )
        window = [begin[0], begin[1], size[0], size[1]]
        part = tf.image.resize(tf.io.decode_and_crop_jpeg(content, window, channels=3), (SIZE, SIZE))
        return (tf.image.stateless_random_flip_left_right(part, seed=[3, 4]) - 127.5) / 127.5, label

    paths = [str(path) for path in manifest.shard_paths("train")]
    dataset = tf.data.TFRecordDataset(paths).map(decoded, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.batch(batch).prefetch(tf.data.AUTOTUNE)


@dataclass(frozen=True)
class Spent:
    """Seconds from start to end, and seconds of processor time of all threads."""

    wall: float
    processor: float


def taking_turns(loops: dict[str, Callable[[], Callable[[], int]]]) -> dict[str, Spent]:
    """Return the time of each loop per item: the median over the rounds, without the first.

    Each round makes a loop, times it and deletes it, so that no loop is still working while another runs.

    Args:
        loops: functions that make a loop, by name; a loop returns the number of its items.
    """
    times: dict[str, list[Spent]] = {name: [] for name in loops}
    for _ in range(ROUNDS + 1):
        for name, make in loops.items():
            loop = make()
            wall, processor = time.monotonic(), time.process_time()
            count = loop()
            del loop
            times[name].append(Spent((time.monotonic() - wall) / count, (time.process_time() - processor) / count))
    return {
        name: Spent(*(statistics.median(value) for value in zip(*map(astuple, values[1:]), strict=True)))
        for name, values in times.items()
    }


def over(dataset: Callable[[], Any]) -> Callable[[], Callable[[], int]]:
    """Return a function that makes a loop over a dataset; the loop returns the number of pictures."""
    return lambda: functools.partial(lambda batches: sum(len(labels) for _, labels in batches), dataset())


def steps(manifest: Manifest, alpha: float, batch: int, augmentation: Any) -> tuple[Spent, Spent]:
    """Return the time of a training step with the pipeline, and with batches kept in memory, measured in turns.

    A round is an epoch without its first step, so that every prepared batch is used. The batches in memory are batches
    of the pipeline.
    """
    import tensorflow as tf

    from imagenet_weights import training_step
    from qatflow.data.pipeline import training_data
    from qatflow.models.architectures import mobilenet_v1
    from qatflow.models.from_keras import graph_of
    from qatflow.training.keras_model import training_model

    spec = manifest.preprocessing
    graph = graph_of(mobilenet_v1(spec.shape, manifest.classes, alpha, 0.001), 0.9)
    step = training_step(training_model(graph, seed=1, step=tf.Variable(0, dtype=tf.int64)).keras)
    pictures = training_data(manifest, batch_size=batch, seed=1, augmentation=augmentation)

    epochs = itertools.count()

    def served() -> Iterator[Any]:
        """Start an epoch, and take its first batch."""
        batches = iter(pictures.epoch(next(epochs)))
        step(*next(batches))
        return batches

    count = pictures.steps - 1
    kept = list(itertools.islice(served(), KEPT))

    def trained(stream: Iterator[Any]) -> int:
        for images, labels in itertools.islice(stream, count):
            step(images, labels)
        return count

    times = taking_turns(
        {
            "real": lambda: functools.partial(trained, served()),
            "memory": lambda: functools.partial(trained, itertools.cycle(kept)),
        }
    )
    return times["real"], times["memory"]


def _print_steps(photos: Manifest, work: Path) -> None:
    """Print what a training step takes with the pipeline and with pictures in memory."""
    print("\n| step | pictures | ms | ms, in memory | ratio | processor ms | in memory | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    ratios: list[tuple[float, float]] = []
    for what, manifest, alpha, batch, augmentation in (
        ("MobileNetV1 0.75, 224×224×3, batch 16", photos, 0.75, 16, "crop_flip"),
        ("MobileNetV1 0.5, 32×32×1, batch 128", handwritten(work), 0.5, 128, "flip"),
    ):
        real, memory = steps(manifest, alpha, batch, augmentation)
        source = f"JPEG, {augmentation}" if manifest is photos else f"Fashion-MNIST, {augmentation}"
        cells = [f"{1000 * value:.1f}" for value in (real.wall, memory.wall, real.processor, memory.processor)]
        ratios.append((real.wall / memory.wall, real.processor / memory.processor))
        wall, processor = (f"{ratio:.3f}" for ratio in ratios[-1])
        print(f"| {what} | {source} | {' | '.join([*cells[:2], wall, *cells[2:], processor])} |", flush=True)
    print()
    for kind, worst in zip(("time", "processor time"), map(max, zip(*ratios, strict=True)), strict=True):
        met = "yes" if worst <= STEP_OVER_MEMORY else "no"
        print(f"* {kind} of a step over that in memory <= {STEP_OVER_MEMORY}: {met} (worst {worst:.3f})")


def main(argv: Sequence[str]) -> None:
    """Measure and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder that must not exist yet; removed afterwards")
    parser.add_argument("--loops-only", action="store_true", help="leave out the training steps, which take longest")
    arguments = parser.parse_args(argv)
    start(seed=1, threads=2)
    from qatflow.data.pipeline import evaluation_batches, training_data

    print("# Input pipeline of training: pictures per second, and its cost per step\n")
    print("\n".join(heading()))
    print("* photographs: imagenet_sample, JPEG files of 256×256 pixels, to 224×224×3; files in the page cache")
    print(f"* medians of {ROUNDS} rounds, the loops taking turns")
    print("* other jobs share the machine: they affect processor time (of all threads) least\n")
    with contextlib.redirect_stdout(sys.stderr):  # what it says of the data is no part of the table
        photos = photographs(arguments.data, arguments.work)
    ours = training_data(photos, batch_size=32, seed=1, augmentation="crop_flip", in_memory=0)
    evaluated = evaluation_batches(photos, "train", batch_size=32, in_memory=0)
    stretch = replace(photos, preprocessing=replace(CROP, resize="stretch", resize_short=None))
    resized = evaluation_batches(stretch, "train", batch_size=32, in_memory=0)
    epochs = itertools.count()
    spent = taking_turns(
        {
            "bare tf.data: parse, decode": over(lambda: bare(photos, 32, crop=False)),
            "bare tf.data: parse, decode and crop, resize, flip, normalise": over(lambda: bare(photos, 32, crop=True)),
            "ours, training (crop_flip)": over(lambda: ours.epoch(next(epochs))),
            "ours, evaluation (crop)": over(lambda: evaluated),
            "ours, evaluation (stretch: each is resized)": over(lambda: resized),
        }
    )
    _, whole, *_ = spent.values()
    to_bare = {name: spent[name].processor / whole.processor for name in OVER_BARE}
    print("| loop | pictures/s | processor ms per picture | / bare loop with crop |\n|---|---|---|---|")
    for name, times in spent.items():
        ratio = times.processor / whole.processor
        print(f"| {name} | {1 / times.wall:,.0f} | {1000 * times.processor:.2f} | {ratio:.2f} |", flush=True)
    print()
    for name, ratio in to_bare.items():
        met = "yes" if ratio <= OVER_BARE[name] else "no"
        print(f"* processor time of {name}, over the bare loop with crop, <= {OVER_BARE[name]}: {met} ({ratio:.2f})")
    if not arguments.loops_only:
        _print_steps(photos, arguments.work)
    print(f"* load of the machine at the end: {os.getloadavg()[1]:.0f} processes for {os.cpu_count()} cores")
    shutil.rmtree(arguments.work)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    entry(main)
