"""Pictures of two classes, and quantised models with one value for them: a sigmoid or a logit."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from helpers.pictures import save
from helpers.small_data import DIGITS
from qatflow.base.picture_size import square
from qatflow.data.manifest import Manifest
from qatflow.data.preparation.prepare import prepare
from qatflow.data.preprocess import Preprocessing
from qatflow.device.run.cut import cut_at
from qatflow.graph.families import FIXED_GRID
from qatflow.graph.graph import ActivationScale, Graph, Node, WeightScale
from qatflow.graph.operations import Conv2D, GlobalAveragePool, Input, Operation, Relu, Sigmoid
from qatflow.tflite.lower import convert

SIDE = 8
COUNTS = {"train": 12, "val": 40, "test": 40}
ENDS: dict[str, Operation] = {"sigmoid": Sigmoid(), "relu": Relu()}


def dark_and_light(folder: Path) -> Manifest:
    """Prepare 12 training, 40 validation and 40 test pictures of noise around two greys that overlap."""
    random = np.random.default_rng(5)
    for split, count in COUNTS.items():
        lines = []
        for number in range(count):
            grey = random.normal((110, 145)[number % 2], 25)
            pixels = np.clip(random.normal(grey, 20, (SIDE, SIDE)), 0, 255).astype(np.uint8)
            save(folder / "pictures" / split / f"{number}.png", pixels)
            lines.append(f"pictures/{split}/{number}.png {number % 2}\n")
        (folder / f"{split}_list.txt").write_text("".join(lines))
    (folder / "labels.txt").write_text("dark\nlight\n")
    spec = Preprocessing(square(SIDE), "stretch", 1, (127.5,), (127.5,))
    settings = replace(DIGITS, name="greys", source="lists", path=folder, calibration=10, shards=1, preprocessing=spec)
    return prepare(settings, folder / "prepared")


def one_value(end: Literal["sigmoid", "logit", "relu"], output: Literal["float32", "int8"]) -> bytes:
    """A quantised .tflite whose logit grows with the grey: with a float output the sigmoid is in float, too."""
    nodes: tuple[Node, ...] = (
        Node("input", Input((SIDE, SIDE, 1))),
        Node("conv", Conv2D((2, 2), "same"), ("input",)),
        Node("mean", GlobalAveragePool(keepdims=False), ("conv",)),
    )
    scales = {"input": ActivationScale(8, 1 / 127), "conv": ActivationScale(8, 0.03), "mean": ActivationScale(8, 0.02)}
    if end != "logit":
        nodes = (*nodes, Node("out", ENDS[end], ("mean",)))
    if output == "int8" and end != "logit":
        scales["out"] = ActivationScale(8, *FIXED_GRID.get(type(ENDS[end]), (0.02, 0)))
    kernel = np.random.default_rng(0).integers(10, 100, (3, 3, 1, 1)).astype(np.int8)
    graph = Graph(
        nodes,
        (nodes[-1].name,),
        {"conv/kernel": kernel},
        {"conv/kernel": WeightScale(8, np.asarray([0.02], np.float32))},
        scales,
        in_float=frozenset({"out"} if output == "float32" and end != "logit" else ()),
    )
    content = convert(graph).content
    if output == "float32":
        return content
    operators = schema.ModelT.InitFromPackedBuf(content, 0).subgraphs[0].operators
    return cut_at(content, int(operators[-1].inputs[0]))  # before DEQUANTIZE
