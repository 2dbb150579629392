"""Bits chosen by layer (`auto_bits`) against one width for all layers: bytes and top-1, untrained and trained.

    OPENBLAS_NUM_THREADS=1 PYTHONPATH=src:benchmarks python benchmarks/auto_bits.py --work /tmp/auto_bits --data DATA \\
        > benchmarks/auto_bits.md

MobileNetV1 0.75 has Keras' ImageNet weights; DATA is as for imagenet_weights.py. Bits are chosen on pictures of
imagenet_sample, and top-1 is on the 500 pictures of nips17. On Fashion-MNIST the configuration's network is trained in
float first, where WORK has no such model; bits are chosen on validation pictures, and top-1 is on all test pictures.
`--train 4 3` also trains its rows of 4 and 3 bits. What is finished is kept in WORK; `--table` only prints it.
"""

import argparse
import contextlib
import json
import os
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments import EPOCHS, Experiment, experiment, prepared
from heading import heading
from low_bits import FLOAT, Case
from qatflow.base.cli import entry
from qatflow.base.metrics import paired_drop
from qatflow.base.picture_size import square
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.data.manifest import FILE, Manifest, read_manifest
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing
from qatflow.data.reader import tensors
from qatflow.graph.graph import Graph
from qatflow.graph.never_negative import never_negative
from qatflow.graph.store import load
from qatflow.inference.pictures import PreparedPictures
from qatflow.mixed_precision.choose import choose_widths
from qatflow.mixed_precision.precision import Precision, exactly_pattern
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings, fits, quantised_kernels, quantised_tensors
from qatflow.quantisation.widths import kernel_bits
from qatflow.tflite.lower import convert
from qatflow.tflite.packing import pack
from qatflow.tflite.run import Model
from qatflow.trial.calibrated_ranges import calibrated_ranges

IMAGENET, FASHION = "MobileNetV1 0.75, 224, Keras' ImageNet weights", "Fashion-MNIST, the configuration's network"
UNIFORM, CANDIDATES = (8, 6, 5, 4, 3), [8, 6, 5, 4, 3, 2]
STRATEGY = {"weight_quantize_type": "channel_wise_abs_max", "calibration_method": "mse"}
CALIBRATION, SEED = 200, 1
PICTURES = {IMAGENET: 48, FASHION: 256}
"""On which the bits are chosen."""


def log(line: str) -> None:
    """Print a line that is no part of the table."""
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Network:
    """A float network with its pictures.

    Attributes:
        name: of the network.
        graph: in float.
        data: prepared pictures; top-1 is on those of the split test.
        folder: of the results.
    """

    name: str
    graph: Graph
    data: Manifest
    folder: Path

    @property
    def kernels(self) -> dict[str, str]:
        """The name of each quantised kernel, by its layer."""
        return quantised_kernels(self.graph)

    def bits(self, row: str) -> dict[str, int]:
        """Return the width of each layer's weights: given by the row, or chosen within the bytes of the given ones."""
        kind, _, number = row.partition(" ")
        uniform = kernel_bits(self.graph, self.kernels, int(number))
        if kind == "uniform":
            return uniform
        pictures = PreparedPictures.of(self.data, "validation", PICTURES[self.name])
        limit = {"max_bytes": self.bytes(uniform), "widths": CANDIDATES}
        work = self.folder / "choosing"
        choice = choose_widths(self.graph, recipe(auto_bits=limit), (), pictures, work, equal=False)
        return {layer.name: Precision.of(layer.bits).weights for layer in choice.layers}

    def bytes(self, bits: Mapping[str, int]) -> int:
        """Return the bytes of all kernels, packed."""
        return sum(
            Precision(bits[name]).bytes(self.graph.weights[kernel].size) for name, kernel in self.kernels.items()
        )

    def after_training(self, bits: Mapping[str, int] | None) -> Graph:
        """Return the graph quantised without training; None: in float."""
        if bits is None:
            return self.graph
        settings = QuantSettings.of(recipe().quantization)
        tensors_bits = dict.fromkeys(quantised_tensors(self.graph, self.kernels), 8)
        by_tensor = fits(settings, tensors_bits, never_negative(self.graph))
        pictures = PreparedPictures.calibration(self.data)
        ranges = calibrated_ranges(self.graph, by_tensor, tensors_bits, settings.calibration_method, pictures)
        return as_if_quantised(self.graph, replace(settings, weight_bits=self.patterns(bits)), ranges)

    def patterns(self, bits: Mapping[str, int]) -> dict[str, int]:
        """Return the YAML's weight_bits."""
        return {exactly_pattern(kernel): bits[name] for name, kernel in self.kernels.items()}

    def file(self, row: str) -> Path:
        """Return the file of a row's results."""
        return self.folder / f"{row.replace(', ', '-').replace(' ', '_')}.json"

    def measure(self, row: str, trained: Experiment | None = None) -> None:
        """Make the model of a row, and keep its bits, bytes and predictions."""
        if self.file(row).is_file():
            return
        began = time.process_time()
        bits = None if row == FLOAT else self.bits(row.partition(",")[0])
        seconds = time.process_time() - began
        if trained is None:
            graph = self.after_training(bits)
        else:
            assert bits is not None
            graph = self._trained(row, bits, trained)
        content = convert(graph).content
        inputs, _ = tensors(self.data, "test")
        classes = Model(content, threads=1).outputs(inputs).argmax(axis=1)
        values = {
            "bits": bits, "kernels": None if bits is None else self.bytes(bits), "bytes": len(content),
            "packed": len(pack(content)), "deflated": len(zlib.compress(content, 9)), "choosing": seconds,
            "classes": classes.tolist(),
        }  # fmt: skip
        part = self.file(row).with_suffix(".part")
        part.write_text(json.dumps(values))
        part.rename(self.file(row))
        log(f"{self.name}: {row}: {time.process_time() - began:.0f} s")

    def _trained(self, row: str, bits: Mapping[str, int], asked: Experiment) -> Graph:
        from qatflow.compress.compressor import Compressor
        from qatflow.training.runtime import start

        start(SEED, threads=1)
        own = {**STRATEGY, "weight_bits": self.patterns(bits)}
        strategies = {name: s.model_copy(update=own) for name, s in asked.compress.strategies.items()}
        work = self.folder / "training" / self.file(row).stem
        work.mkdir(parents=True, exist_ok=True)
        changed = asked.compress.model_copy(update={"strategies": strategies})
        return Compressor(self.graph, self.data, asked.config.compress, changed, SEED).run(work).graph


def recipe(**strategy: Any) -> CompressConfig:
    """Return a recipe whose one strategy quantises so."""
    own = {"class": "QuantizationStrategy", "float_model_save_path": "float", **STRATEGY, **strategy}
    return CompressConfig.model_validate({"strategies": {"q": own}, "compressor": {"epoch": 1, "strategies": ["q"]}})


def imagenet(data: Path, work: Path) -> Network:
    """Return MobileNetV1 0.75 with its genuine weights; pictures are resized whole, as in imagenet_weights.py."""
    from after_training import Rows

    folder = work / "imagenet"
    if not (folder / "data" / FILE).is_file():
        for split, name in (("train", "imagenet_sample"), ("test", "nips17")):
            for number, line in enumerate((data / name / "labels.txt").read_text().splitlines()):
                file, label = line.split()
                set_aside = split == "train" and number % (1000 // PICTURES[IMAGENET]) == 0
                link = folder / "pictures" / ("val" if set_aside else split) / f"{int(label):04d}" / Path(file).name
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.exists():
                    os.link(data / name / file, link)
                if set_aside:  # each class has one picture, and must stay in training
                    mirrored = folder / "pictures" / "train" / link.parent.name / f"{link.stem}.png"
                    mirrored.parent.mkdir(parents=True, exist_ok=True)
                    Image.open(link).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored)
        spec = Preprocessing(square(224), "stretch", 3, (127.5,) * 3, (127.5,) * 3)
        settings = Settings(
            "imagenet", "folder", folder / "pictures", validation=0, test=0, calibration=CALIBRATION, shards=1,
            max_rejected=0.01, seed=SEED, preprocessing=spec,
        )  # fmt: skip
        prepare(settings, folder / "data")
    return Network(IMAGENET, Rows(data, work).graph, read_manifest(folder / "data" / FILE), folder)


def fashion(asked: Experiment, work: Path) -> Network:
    """Return the network of the default configuration, trained on Fashion-MNIST in float."""
    data = prepared(asked.config, work / "data" / "fashion")
    case = Case(asked, data, work / "fashion", SEED, 1)
    if not case.is_measured(FLOAT):
        case.folder.mkdir(parents=True, exist_ok=True)
        case.measure(FLOAT)
    folder = work / "fashion" / "bits"
    folder.mkdir(exist_ok=True)
    return Network(FASHION, load(case.folder / "pretrained"), data, folder)


def table(network: Network, rows: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a network's table: the rows that are measured."""
    _, labels = tensors(network.data, "test")
    results = {row: json.loads(network.file(row).read_text()) for row in rows if network.file(row).is_file()}
    yield f"## {network.name}"
    yield ""
    yield (
        "| weights | bytes of kernels | .tflite.packed | .tflite deflated | top-1 % | against float, points "
        "| against uniform, points | bits by layer |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    reference = np.array(results[FLOAT]["classes"])
    for row, one in results.items():
        classes = np.array(one["classes"])
        against = "" if row == FLOAT else _points(reference, classes, labels)
        other = row.replace("auto_bits", "uniform")
        gain = "" if other == row or other not in results else _points(results[other]["classes"], classes, labels)
        cells = ["" if row == FLOAT else f"{one['kernels']:,}", f"{one['packed']:,}", f"{one['deflated']:,}"]
        cells += [f"{100 * (classes == labels).mean():.2f}", against, gain]
        yield f"| {row} | {' | '.join(cells)} | {' '.join(map(str, (one['bits'] or {}).values()))} |"
    chosen = [one["choosing"] for row, one in results.items() if row.startswith("auto_bits")]
    yield ""
    if chosen:
        yield (
            f"Choosing took {chosen[0]:.0f} s of processor time on {PICTURES[network.name]} pictures, each further "
            f"limit {', '.join(f'{seconds:.0f}' for seconds in chosen[1:])} s."
        )
        yield ""


def _points(first: Any, second: Any, labels: np.ndarray) -> str:
    drop = paired_drop(np.array(first), np.array(second), labels)
    return f"{-drop.points:+.2f} ({-drop.high:+.2f} … {-drop.low:+.2f})"


def main(argv: Sequence[str]) -> None:
    """Measure what is missing, and print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of data, models and results; kept")
    parser.add_argument("--data", type=Path, help="folder of ImageNet weights and pictures; without it: Fashion-MNIST")
    parser.add_argument("--train", type=int, nargs="+", default=[], metavar="BITS", help="rows to train, too")
    parser.add_argument("--table", action="store_true", help="only print the table of the rows so far")
    arguments = parser.parse_args(argv)
    asked = experiment("fashion", None, None)
    rows = [FLOAT, "uniform 8", *(f"{kind} {bits}" for bits in UNIFORM[1:] for kind in ("uniform", "auto_bits"))]
    trained = [f"{kind} {bits}, trained" for bits in arguments.train for kind in ("uniform", "auto_bits")]
    with contextlib.redirect_stdout(sys.stderr):
        networks = [] if arguments.data is None else [imagenet(arguments.data, arguments.work)]
        networks.append(fashion(asked, arguments.work))
        for network in () if arguments.table else networks:
            for row in rows:
                network.measure(row)
            for row in trained if network.name == FASHION else ():
                network.measure(row, asked)
    print("# Bits chosen by layer against one width for all\n")
    print("\n".join(heading()))
    print(f"* weights {STRATEGY['weight_quantize_type']}, activations of 8 bits, calibrated by mse")
    print("* uniform: below 8 bits the first and the last layer have 8")
    print("* auto_bits N: the bytes of kernels of uniform N are the limit (max_bytes), any layer may have fewer bits")
    print("* rounded to the nearest integers, without any correction; no training but in the rows that say so")
    print(f"* trained: {EPOCHS['fashion'][1]} epochs for int8 with the configuration's defaults, seed {SEED}")
    print("* points of top-1 with their paired 95 % intervals; above 0 is a gain\n")
    for network in networks:
        print("\n".join(table(network, (*rows, *trained))), flush=True)


if __name__ == "__main__":
    entry(main)
