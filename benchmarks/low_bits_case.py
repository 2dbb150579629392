"""A network with one seed in the benchmark of few bits: its float model, and the rows trained from it."""

import json
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import EPOCHS, Experiment
from qatflow.base.files import whole_file
from qatflow.base.provenance import commit
from qatflow.config.read_recipe import load_compress
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.data.manifest import Manifest
from qatflow.data.reader import tensors
from qatflow.graph.graph import Graph

FLOAT = "float"
WIDTHS = (8, 4, 3, 2)
TYPES = {
    "default": ("abs_max", "moving_average_abs_max"),
    "channel_wise_lsq": ("channel_wise_lsq", "moving_average_abs_max"),
    "channel_wise_lsq, lsq": ("channel_wise_lsq", "lsq"),
    "channel_wise_abs_max": ("channel_wise_abs_max", "moving_average_abs_max"),
    "lsq": ("lsq", "lsq"),
    "channel_wise_lsq, pact": ("channel_wise_lsq", "pact"),
}
"""weight_quantize_type and activation_quantize_type, by the name in the table; `default` is the configuration's."""
DEPTHWISE = {".*/depthwise_kernel": 8}
"""Kernels of so few weights that 8 bits each hardly cost bytes; a bias has steps of their scale."""
ROWS: dict[str, tuple[int | dict[str, int], str, str]] = {
    f"W{bits}A8, {name}": (bits, *types) for bits in WIDTHS for name, types in TYPES.items()
} | {
    f"W{bits}A8, {name}, depthwise 8": ({"default": bits, **DEPTHWISE}, *TYPES[name])
    for bits in WIDTHS[1:]
    for name in ("channel_wise_lsq",)
}
PLAIN, DISTILLING = (Path(f"config/compress/{name}.yaml") for name in ("quantization", "quantization_distillation"))


def width(row: str) -> int:
    """Return the width of a row's weights, but for those of a `depthwise 8`."""
    bits, *_ = ROWS[row]
    return bits if isinstance(bits, int) else bits["default"]


def is_mixed(row: str) -> bool:
    """Return whether a row's depthwise kernels keep 8 bits."""
    return isinstance(ROWS[row][0], dict)


@dataclass(frozen=True)
class Recipe:
    """How all rows are trained.

    Attributes:
        epochs: of training for int8.
        learning_rate: at its first step; None: the configuration's default.
        distilled: whether the float model is also a teacher.
    """

    epochs: int = EPOCHS["fashion"][1]
    learning_rate: float | None = None
    distilled: bool = False

    @property
    def folder(self) -> str:
        """Name of the folder of the rows that are trained so."""
        rate = "" if self.learning_rate is None else f"-rate-{self.learning_rate:g}"
        return f"{self.epochs}-epochs{rate}{'-distilled' if self.distilled else ''}"

    def compress(self, row: str) -> CompressConfig:
        """Return the compress YAML of a row."""
        bits, weights, activations = ROWS[row]
        overrides: dict[str, Any] = {
            "weight_bits": bits,
            "weight_quantize_type": weights,
            "activation_quantize_type": activations,
            "epoch": self.epochs,
            "strategies.quantization_strategy.end_epoch": self.epochs - 1,
        }
        if self.distilled:
            overrides["strategies.distillation_strategy.end_epoch"] = self.epochs
        return load_compress(DISTILLING if self.distilled else PLAIN, overrides)


@dataclass(frozen=True)
class Figures:
    """What a row of one seed takes.

    Attributes:
        bytes: of the .tflite.
        deflated: its bytes, compressed by zlib.
        packed: bytes of `model.tflite.packed`.
        seconds: of the training, as far as one process did it.
        commit: at which it was measured.
    """

    bytes: int
    deflated: int
    packed: int
    seconds: float
    commit: str


@dataclass(frozen=True)
class Case:
    """A network with one seed: where its models and their predictions are kept.

    Attributes:
        experiment: configuration, with the epochs of float training.
        data: prepared pictures.
        folder: of the float model.
        seed: of all trainings.
        threads: of TensorFlow and LiteRT.
        recipe: how the rows are trained.
    """

    experiment: Experiment
    data: Manifest
    folder: Path
    seed: int
    threads: int
    recipe: Recipe = Recipe()

    def is_measured(self, row: str) -> bool:
        """Return whether nothing is left to do."""
        return self.predictions(row).is_file()

    def predictions(self, row: str) -> Path:
        """Return the file of the predicted classes of the test pictures, int32 [n]; it is written last."""
        return self._file(row, "npy")

    def model(self, row: str) -> Path:
        """Return the .tflite file."""
        return self._file(row, "tflite")

    def figures(self, row: str) -> Figures:
        """Return what a measured row takes."""
        return Figures(**json.loads(self._file(row, "json").read_text()))

    def measure(self, row: str) -> None:
        """Train what is missing of a row, and run the model on all test pictures."""
        from qatflow.graph.store import load
        from qatflow.tflite.lower import convert
        from qatflow.tflite.packing import pack
        from qatflow.tflite.run import Model

        self._file(row, "npy").parent.mkdir(parents=True, exist_ok=True)
        self._train_float()
        began = time.monotonic()
        graph = load(self.folder / "pretrained") if row == FLOAT else self._trained(row)
        seconds = time.monotonic() - began
        content = convert(graph).content
        self.model(row).write_bytes(content)
        inputs, _ = tensors(self.data, "test")
        predicted = Model(content, self.threads).outputs(inputs).argmax(axis=1).astype(np.int32)
        packed = len(content) if row == FLOAT else len(pack(content))
        figures = Figures(len(content), len(zlib.compress(content, 9)), packed, round(seconds, 1), str(commit()))
        self._file(row, "json").write_text(json.dumps(asdict(figures)))
        with whole_file(self.predictions(row)) as temporary, temporary.open("wb") as file:
            np.save(file, predicted)

    def _file(self, row: str, ending: str) -> Path:
        folder = self.folder if row == FLOAT else self.folder / self.recipe.folder
        return folder / f"{row.replace(', ', '-')}.{ending}"

    def _train_float(self) -> None:
        """Do the same as the rule make_pretrained, once for all rows."""
        from qatflow.data.manifest import FILE
        from qatflow.pretrained.prepare import WeightsSource, prepare

        if (self.folder / "pretrained").is_dir():
            return
        config, source = self.experiment.config, WeightsSource(None, own=False, train=True)
        data, output, state = self.data.folder / FILE, self.folder / "pretrained", self.folder / "state"
        prepare(source, config.model, config.pretrained.train, data, output, state, self.seed, self.threads)

    def _trained(self, row: str) -> Graph:
        from qatflow.compress.compressor import Compressor
        from qatflow.graph.store import load
        from qatflow.training.runtime import start

        start(self.seed, self.threads)
        work = self.folder / self.recipe.folder / "training" / row.replace(", ", "-")
        work.mkdir(parents=True, exist_ok=True)
        graph = load(self.folder / "pretrained")
        section = self.experiment.config.compress.model_copy(update={"learning_rate": self.recipe.learning_rate})
        return Compressor(graph, self.data, section, self.recipe.compress(row), self.seed).run(work).graph
