"""A data set of 100,000 pictures and 1,000 classes through preparation, quantisation, gate, evaluation and report.

    python benchmarks/at_scale.py --work /tmp/at_scale > benchmarks/at_scale.md

The pictures are synthetic: 3,000 different JPEG files of 500×375, hard-linked until there are 100,000. Each stage is
the program of its rule. What a stage took is kept in the work folder, so the same command continues where a run ended,
and at the end prints the table. The work folder takes about 13 GB, and may be removed afterwards.
"""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from heading import heading
from measured import Measured, run_measured
from qatflow.base.cli import entry
from qatflow.base.files import write_json
from qatflow.data.manifest import Manifest, SplitFiles, read_manifest
from qatflow.graph.graph import Graph

CLASSES = 1000
HEIGHT, WIDTH, QUALITY = 375, 500, 90
HELD_OUT = 0.25  # share of the pictures that are for validation, and for test
SIZE = 224
FEW, SOME, MANY = 0.04, 0.16, 0.8  # shares of the 25,000 held-out pictures that are compared: 1,000, 4,000 and 20,000
SHARDS = 25  # of validation, and of test
CALIBRATION = 1000
PREPROCESSING = {"size": SIZE, "resize": "crop", "channels": 3, "mean": [127.5], "std": [127.5]}
SCRIPTS = Path("workflow/scripts")
ILSVRC2012 = {"train": 1_281_167, "validation": 25_000, "test": 25_000}  # as in config/imagenet.yaml


@dataclass(frozen=True)
class Stage:
    """A program and what it is given.

    Attributes:
        name: of the stage.
        program: in workflow/scripts.
        arguments: its own.
        pictures: that it looks at.
        about: what it does, in words.
    """

    name: str
    program: str
    arguments: list[str]
    pictures: int
    about: str


def source(folder: Path, count: int) -> None:
    """Write one JPEG for each class and split, and link it until there are `count` pictures."""
    held_out = round(count * HELD_OUT / CLASSES)
    parts = {"train": count // CLASSES - 2 * held_out, "val": held_out, "test": held_out}
    for number, (split, links) in enumerate(parts.items()):
        for label in range(CLASSES):
            place = folder / split / f"class_{label:04d}"
            place.mkdir(parents=True)
            _picture(np.random.default_rng([number, label])).save(place / "0.jpg", quality=QUALITY)
            for link in range(1, links):
                (place / f"{link}.jpg").hardlink_to(place / "0.jpg")


def _picture(random: np.random.Generator) -> Image.Image:
    """Return shapes with noise, which take about as many bytes as a photograph."""
    coarse = random.integers(0, 256, (12, 16, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.float32)
    fine = random.normal(0, 14, (HEIGHT, WIDTH, 1)).astype(np.float32)
    return Image.fromarray(np.clip(smooth + fine, 0, 255).astype(np.uint8))


def models(work: Path, alpha: float) -> None:
    """Write the float .tflite of MobileNetV1 with random weights, and what training for int8 exports of it."""
    from calibrated import calibrated
    from qatflow.graph.store import save
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.tflite.lower import convert

    graph = random_graph(alpha)
    path = work / "float/model.tflite"
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = np.random.default_rng(0).uniform(-1, 1, (8, SIZE, SIZE, 3)).astype(np.float32)
    quantisers, model = calibrated(graph, QuantSettings.default(), [pictures])
    save(quantisers.quantised_graph(model)[0], work / "trained", "float")
    path.write_bytes(convert(graph).content)


def random_graph(alpha: float) -> Graph:
    """Return MobileNetV1 with random weights, in the range of trained ones (He et al. 2015)."""
    from qatflow.models.architectures import mobilenet_v1
    from qatflow.models.from_keras import graph_of

    graph = graph_of(mobilenet_v1((SIZE, SIZE, 3), CLASSES, alpha, 0.001), 0.9)
    random = np.random.default_rng(0)
    weights = dict(graph.weights)
    for name, values in weights.items():
        if name.endswith("kernel"):
            inputs = values.size // values.shape[2 if name.endswith("depthwise_kernel") else -1]
            weights[name] = random.normal(0, (2 / inputs) ** 0.5, values.shape).astype(np.float32)
    return replace(graph, weights=weights)


def part(manifest: Manifest, share: float, folder: Path) -> Manifest:
    """Return data with the first shards alone of the validation and the test pictures; the files are linked."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = dict(manifest.splits)
    for name in ("validation", "test"):
        every = splits[name]
        shards = every.shards[: round(share * len(every.shards))]
        splits[name] = SplitFiles(sum(shard.count for shard in shards), every.class_counts, shards)
    for path in manifest.folder.iterdir():
        if path.name != "manifest.json" and not (folder / path.name).exists():
            (folder / path.name).hardlink_to(path)
    replace(manifest, folder=folder, splits=splits).write()
    return read_manifest(folder)


class Kept:
    """What the stages took, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.took: dict[str, Measured] = {}
        if path.exists():
            self.took = {name: Measured(**value) for name, value in json.loads(path.read_text()).items()}

    def measure(self, name: str, program: Callable[[], Measured]) -> Measured:
        """Return what a stage took; it runs only if it has not run before."""
        if name not in self.took:
            self.took[name] = program()
            write_json(self._path, {stage: asdict(measured) for stage, measured in self.took.items()})
        return self.took[name]


def prepare_stage(work: Path, count: int, cores: int) -> Stage:
    """Return the preparation of all pictures."""
    section = {
        "source": "folder", "path": str(work / "source"), "name": "scale", "calibration": CALIBRATION,
        "shards": round(SHARDS * (1 / HELD_OUT - 2)), "preprocessing": PREPROCESSING,
    }  # fmt: skip
    arguments = ["--data", json.dumps(section), "--cores", str(cores), "--output", str(work / "data")]
    return Stage("prepare", "prepare_data", arguments, count, "shards, with every picture decoded once")


def later_stages(work: Path, manifest: Manifest, cores: int) -> list[Stage]:
    """Return the stages after the preparation."""
    models = {"float": work / "float/model.tflite", "ptq": work / "ptq/model.tflite"}
    data = ["--data", str(manifest.folder / "manifest.json")]
    all_cores = ["--cores", str(cores)]
    both = ["--float", str(models["float"]), "--int8", str(models["ptq"])]
    counts = {name: split.count for name, split in manifest.splits.items()}
    report = [
        *("--experiment", "scale", "--shipped", "ptq", "--evaluation", f"{work}/evaluation.json"),
        *("--gate", f"{work}/gate.json", "--layers", f"{work}/layers.json", "--model", str(models["ptq"]), *data),
        *("--summary", f"{work}/summary.json", "--output", f"{work}/report"),
    ]
    return [
        Stage("quantise after training", "ptq",
              ["--float", str(models["float"]), *data, *all_cores, "--output", f"{work}/ptq"],
              CALIBRATION, "ranges of all tensors, by ai-edge-quantizer"),
        Stage("gate", "gate", [*both, *data, *all_cores, "--output", f"{work}/gate.json"],
              counts["validation"], "float and int8"),
        Stage("inspect", "inspect_layers", [*both, *data, *all_cores, "--output", f"{work}/layers.json"],
              50, "every tensor of float and int8, without XNNPACK"),
        Stage("evaluate", "evaluate", ["--float", str(models["float"]), "--ptq", str(models["ptq"]), *data, *all_cores,
              "--output", f"{work}/evaluation.json"], counts["test"], "float and int8, and latency at the end"),
        Stage("report", "report", report, 0, "table, page and pictures of 1,000 classes"),
    ]  # fmt: skip


def gates(work: Path, manifest: Manifest, cores: int) -> dict[tuple[float, int], Stage]:
    """Return the gate on few and on many pictures, by all cores and by one: memory, and what cores are good for."""
    stages = {}
    for share, used in ((FEW, cores), (MANY, cores), (SOME, cores), (SOME, 1)):
        own = part(manifest, share, work / f"part_{share}")
        count = own.splits["validation"].count
        arguments = [
            *("--float", f"{work}/float/model.tflite", "--int8", f"{work}/ptq/model.tflite"),
            *("--data", str(own.folder / "manifest.json"), "--cores", str(used)),
            *("--output", f"{work}/gate_{share}_{used}.json"),
        ]
        stages[share, used] = Stage(f"gate of {count:,} by {used}", "gate", arguments, count, "")
    return stages


def fake_quantised(work: Path, manifest: Manifest, cores: int) -> list[Stage]:
    """Return the evaluation of the fake-quantised model on few and on many pictures."""
    stages = []
    for share in (FEW, MANY):
        own = part(manifest, share, work / f"part_{share}")
        count = own.splits["test"].count
        arguments = [
            *("--model", f"{work}/trained", "--data", str(own.folder / "manifest.json")),
            *("--threads", str(cores), "--output", f"{work}/fake_quant_{share}.json"),
        ]
        stages.append(Stage(f"fake-quantised on {count:,}", "evaluate_fake_quant", arguments, count, ""))
    return stages


def main(argv: Sequence[str]) -> None:
    """Run the stages that have not run, and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the pictures and of what was measured")
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--alpha", type=float, default=0.25, help="width of MobileNetV1")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    arguments = parser.parse_args(argv)
    work, cores, kept = arguments.work, arguments.cores, Kept(arguments.work / "took.json")
    if not (work / "source/done").exists():
        source(work / "source", arguments.pictures)
        (work / "source/done").touch()

    def took(stage: Stage) -> Measured:
        return kept.measure(stage.name, lambda: run_measured(SCRIPTS / f"{stage.program}.py", stage.arguments))

    preparation = prepare_stage(work, arguments.pictures, cores)
    rows = [(preparation, took(preparation))]
    if not (work / "float/model.tflite").exists():
        models(work, arguments.alpha)
    manifest = read_manifest(work / "data")
    rows += [(stage, took(stage)) for stage in later_stages(work, manifest, cores)]
    compared = {key: (stage, took(stage)) for key, stage in gates(work, manifest, cores).items()}
    trained = [(stage, took(stage)) for stage in fake_quantised(work, manifest, cores)]
    counts = ", ".join(f"{split.count:,} {name}" for name, split in manifest.splits.items())
    bytes_each = sum(s.bytes for split in manifest.splits.values() for s in split.shards) / arguments.pictures
    print("# At scale: 100,000 pictures of 1,000 classes through the stages, and what ILSVRC2012 would take\n")
    print("\n".join(heading()))
    print(
        f"* pictures: synthetic JPEG files of {WIDTH}×{HEIGHT}, {bytes_each / 1000:.0f} kB each, hard-linked; {counts}"
    )
    print(
        f"* network: MobileNetV1 {arguments.alpha} at {SIZE}×{SIZE}×3, {CLASSES:,} classes, random weights; "
        f"{cores} processes"
    )
    print("* memory: of all processes together, with shared memory counted once (PSS), in MB")
    print("* processor time is that of all processes; other jobs share the machine, and affect it least\n")
    print("| stage | what | pictures | seconds | processor seconds | processor ms per picture | MB |")
    print("|---|---|---|---|---|---|---|")
    for stage, cost in rows:
        each = f"{1000 * cost.processor / stage.pictures:.2f}" if stage.pictures else ""
        cells = [stage.name, stage.about, f"{stage.pictures:,}" if stage.pictures else "", f"{cost.seconds:.1f}"]
        print(f"| {' | '.join([*cells, f'{cost.processor:.1f}', each, f'{cost.largest / 1e6:.0f}'])} |")
    print("\n## The gate by pictures and processes\n")
    print("| pictures | processes | seconds | processor seconds | MB |\n|---|---|---|---|---|")
    for (_, used), (stage, cost) in compared.items():
        cells = [f"{stage.pictures:,}", str(used), f"{cost.seconds:.1f}", f"{cost.processor:.1f}"]
        print(f"| {' | '.join([*cells, f'{cost.largest / 1e6:.0f}'])} |")
    few, many, both, alone = (compared[key][1] for key in ((FEW, cores), (MANY, cores), (SOME, cores), (SOME, 1)))
    print(f"\n* memory of many pictures over that of few: {(many.largest - few.largest) / 1e6:+.0f} MB")
    print(
        f"* time by {cores} processes over that by one: {both.seconds / alone.seconds:.2f}; without the time in which "
        f"they waited for a processor that other jobs had: {both.unhindered / alone.unhindered:.2f}"
    )
    equal = _figures(work, SOME, cores) == _figures(work, SOME, 1)
    print(f"* figures by {cores} processes and by one: {'equal' if equal else 'NOT equal'}")
    sizes = {
        path.name: path.stat().st_size for path in [work / "evaluation.json", *sorted((work / "report").iterdir())]
    }
    print(f"* sizes in kB: {', '.join(f'{name} {size / 1000:,.0f}' for name, size in sizes.items())}")
    print("\n## The fake-quantised model by pictures, in TensorFlow\n")
    print("| pictures | seconds | processor seconds | processor ms per picture | MB |\n|---|---|---|---|---|")
    for stage, cost in trained:
        cells = [f"{stage.pictures:,}", f"{cost.seconds:.1f}", f"{cost.processor:.1f}"]
        each = f"{1000 * cost.processor / stage.pictures:.2f}"
        print(f"| {' | '.join([*cells, each, f'{cost.largest / 1e6:.0f}'])} |")
    (_, few), (_, many) = trained
    print(f"\n* memory of many pictures over that of few: {(many.largest - few.largest) / 1e6:+.0f} MB")
    print("\n## Extrapolated to ILSVRC2012, not measured\n")
    print(
        f"Processor time per picture as above, on {cores} such cores with nothing else running, for pictures of this\n"
        "size and this network; a wider one takes longer by its multiply-adds, apart from decoding.\n"
    )
    print("| stage | pictures | minutes |\n|---|---|---|")
    total = sum(ILSVRC2012.values())
    for name, count in (("prepare", total), ("gate", ILSVRC2012["validation"]), ("evaluate", ILSVRC2012["test"])):
        stage, cost = next(row for row in rows if row[0].name == name)
        print(f"| {name} | {count:,} | {count * cost.processor / stage.pictures / cores / 60:.0f} |")


def _figures(work: Path, share: float, cores: int) -> dict:
    """Return gate.json without where and when."""
    gate = json.loads((work / f"gate_{share}_{cores}.json").read_text())
    return {key: gate[key] for key in ("against_float", "verdicts", "said")}


if __name__ == "__main__":
    entry(main)
