"""`model.keep_in_float` on the whole road: the programs of the rules, from a float graph to trained integers."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from helpers.two_classes import dark_and_light
from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Conv2D, Dense, GlobalAveragePool, Input, LayerNorm, Relu, Softmax
from qatflow.graph.store import load, save
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators

pytestmark = pytest.mark.tensorflow

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
QAT = {"class": "QuantizationStrategy", "float_model_save_path": "out"}
SEARCH = {
    "class": "AutoPruneStrategy", "pruner": "p", "controller": "c", "min_ratio": 0.1, "max_ratio": 0.9,
    "pruned_params": "second/.*", "retrain_epoch": 1,
}  # fmt: skip
TRAINING = {"learning_rate": 0.01, "augmentation": "none"}


def recipe(*searches: str) -> str:
    """Return a compress YAML as JSON: training for int8, behind a search for channels to remove if it is named."""
    pruning = {"pruners": {"p": {"class": "StructurePruner"}}, "controllers": {"c": {"class": "SAController"}}}
    strategies = {**({"prune": SEARCH} if searches else {}), "int8": QAT}
    compressor = {"epoch": 1, "strategies": list(strategies)}
    return json.dumps({**(pruning if searches else {}), "strategies": strategies, "compressor": compressor})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of grey pictures, and a network with a LayerNorm between two convolutions."""
    folder = tmp_path_factory.mktemp("layer_norm")
    dark_and_light(folder / "greys")
    nodes = (
        Node("input", Input((8, 8, 1))),
        Node("first", Conv2D((2, 2), "same"), ("input",)),
        Node("norm", LayerNorm(1e-3), ("first",)),
        Node("second", Conv2D((1, 1), "same"), ("norm",)),
        Node("relu", Relu(), ("second",)),
        Node("mean", GlobalAveragePool(keepdims=False), ("relu",)),
        Node("logits", Dense(), ("mean",)),
        Node("p", Softmax(), ("logits",)),
    )
    random = np.random.default_rng(2)
    sizes = {
        "first/kernel": (3, 3, 1, 4), "norm/gamma": (4,), "norm/beta": (4,), "second/kernel": (3, 3, 4, 8),
        "logits/kernel": (8, 2),
    }  # fmt: skip
    weights = {name: random.normal(0, 0.5, size).astype(np.float32) for name, size in sizes.items()}
    save(Graph(nodes, ("p",), weights), folder / "float")
    return folder


def call(folder: Path, script: str, keep: object, **options: object) -> None:
    given = {
        "pretrained": folder / "float",
        "model": json.dumps({"keep_in_float": keep}),
        **options,
    }
    runpy.run_path(str(SCRIPTS / f"{script}.py"))["main"]([f"--{name}={value}" for name, value in given.items()])


def train_int8(folder: Path, output: Path, keep: object) -> None:
    options = {"experiment": output.parent, "compress": json.dumps(TRAINING), "recipe": recipe()}
    call(folder, "compress", keep, data=folder / "greys/prepared/manifest.json", output=output, **options)


@pytest.mark.parametrize("keep", ["auto", ["norm"]], ids=["auto", "by name"])
def test_a_layer_without_an_int8_form_runs_in_float_between_trained_integers(folder: Path, tmp_path: Path, keep):
    train_int8(folder, tmp_path / "trained", keep)
    graph = load(tmp_path / "trained")
    assert {name: graph.weights[name].dtype.name for name in graph.weights if name.endswith(("kernel", "gamma"))} == {
        "first/kernel": "int8", "norm/gamma": "float32", "second/kernel": "int8", "logits/kernel": "int8",
    }  # fmt: skip
    found = operators(convert(graph).content)
    computing = [operator for operator in found if operator.name not in ("QUANTIZE", "DEQUANTIZE")]
    norm = {one.outputs[0].dtype for one in computing if one.outputs[0].name.startswith("norm")}
    assert norm == {"FLOAT32"}
    layers = [operator for operator in found if operator.name in ("CONV_2D", "FULLY_CONNECTED")]
    assert [operator.outputs[0].dtype for operator in layers] == ["INT8"] * 3


def test_a_layer_without_an_int8_form_that_is_not_to_run_in_float_stops_training_and_search(folder: Path, tmp_path):
    message = r"cannot be quantised: norm \(LayerNorm\)\. Set model\.keep_in_float to auto"
    with pytest.raises(UserError, match=message):
        train_int8(folder, tmp_path / "trained", ["first"])
    with pytest.raises(UserError, match=message):
        call(folder, "propose_candidates", [], recipe=recipe("prune"), count=1, output=tmp_path / "round.json")


def test_a_search_trains_candidates_with_such_a_layer(folder: Path, tmp_path: Path):
    candidates = tmp_path / "round.json"
    call(folder, "propose_candidates", "auto", recipe=recipe("prune"), count=1, output=candidates)
    options = {"recipe": recipe("prune"), "candidates": candidates, "number": 1, "compress": json.dumps(TRAINING)}
    data, work = folder / "greys/prepared/manifest.json", tmp_path / "work"
    call(folder, "evaluate_candidate", "auto", data=data, work=work, output=tmp_path / "1", **options)
    kept = load(tmp_path / "1")
    assert isinstance(kept.node("norm").operation, LayerNorm) and 0 < kept.weights["second/kernel"].shape[-1] < 8
