"""A row of the zoo's table: one network, measured in a process of its own."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Row:
    """What was measured of a network.

    Attributes:
        network: its name.
        size: height and width of its pictures.
        parameters: of the float graph.
        multiply_adds: for one picture.
        float_difference: greatest difference of the float .tflite's outputs from those of Keras, divided by the largest
            output if that is above 1: RegNet's are logits.
        loss: of a training step with fake quantisation; its gradients were finite.
        int8_layers: convolutions, depthwise convolutions and dense layers that run in int8, whose integers are those
            of the training step's end.
        weighted_layers: all such layers.
        in_float: how many layers of each kind have no int8 form.
        float_bytes: of the float .tflite.
        int8_bytes: of the int8 .tflite.
        layers_compared: number of int8 tensors.
        layer_steps: greatest difference of such a tensor from training's fake quantisation of its inputs, in steps.
        worst_layer: where that is.
        end_steps: the same of the logits, from the picture on: the random network makes differences grow.
        pictures: number of random pictures compared.
        emulated: number of pictures run in the emulator.
        emulated_equal: how many of them have equal integer logits there and here.
        emulated_steps: greatest difference of an integer logit.
        seconds: of processor time for everything.
        peak_memory: of the process, in bytes.
        commit: at which it was measured.
    """

    network: str
    size: int
    parameters: int
    multiply_adds: int
    float_difference: float
    loss: float
    int8_layers: int
    weighted_layers: int
    in_float: dict[str, int]
    float_bytes: int
    int8_bytes: int
    layers_compared: int
    layer_steps: float
    worst_layer: str
    end_steps: float
    pictures: int
    emulated: int
    emulated_equal: int
    emulated_steps: int
    seconds: float
    peak_memory: int
    commit: str


@dataclass(frozen=True)
class Problem:
    """Why a network does not go through, and at which commit."""

    network: str
    problem: str
    commit: str


def write(folder: Path, row: Row | Problem) -> None:
    """Write a row into its own file of the folder."""
    path = folder / f"{row.network.replace(' ', '_')}.json"
    path.write_text(json.dumps(asdict(row), indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> dict[str, Row | Problem]:
    """Return the rows of a folder by the networks' names."""
    rows: dict[str, Row | Problem] = {}
    for path in sorted(folder.glob("*.json")):
        values = json.loads(path.read_text("utf-8"))
        rows[values["network"]] = Problem(**values) if "problem" in values else Row(**values)
    return rows


def differences(host: np.ndarray, device: np.ndarray) -> tuple[int, int]:
    """Return how many rows of two arrays of integers are equal, and the greatest difference of an element."""
    distance = np.abs(host.astype(int) - device.astype(int))
    return int((distance.max(axis=1) == 0).sum()), int(distance.max())


def kinds(layers: Iterable[str]) -> dict[str, int]:
    """Return how often each kind occurs, by its name."""
    return dict(sorted(Counter(layers).items()))
