"""The files that a report is made from, with figures that a test chooses: no training, no device, milliseconds."""

import base64
import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from helpers import device_reports
from helpers.graphs import pictures, small_graph
from helpers.numpy_quantised import quantised
from qatflow.base.metrics import confusion, paired_drop
from qatflow.base.right_answers import packed
from qatflow.base.sums import write_sealed
from qatflow.device.results.report import write_report
from qatflow.evaluate.layers import inspect_layers
from qatflow.mixed_precision.record import ChosenLayer, ChosenWidths, Tried
from qatflow.report.summary import Sources, summarise
from qatflow.sensitivity.forms import layer_forms
from qatflow.sensitivity.measure import LayerSensitivity, Sensitivities
from qatflow.tflite.lower import convert
from qatflow.training.history import EpochFigures, write_csv

HOST = {"median": 0.25, "mean": 0.26, "min": 0.2, "max": 0.4, "p90": 0.3}


CHOICE = ChosenWidths(
    goal="the least divergence within 80 bytes of kernels",
    pictures=100,
    float_top1=0.9,
    latency_unit=None,
    widths=("8", "4", "float"),
    layers=(
        ChosenLayer("conv", "conv/kernel", 72, "8", (0.0, 0.25, -0.01)),
        ChosenLayer("left", "left/kernel", 16, "4", (0.0, 0.01, None)),
    ),
    curve=(
        Tried(44, None, 0.26, 0.3, 0.1, ("4", "4"), chosen=False),
        Tried(80, None, 0.01, 0.02, -0.01, ("8", "4"), chosen=True),
        Tried(304, None, -0.01, 0.01, 0.0, ("float", "8"), chosen=False),
    ),
)
"""A choice of widths."""


def report_files(
    folder: Path,
    classes: int = 10,
    each: int = 30,
    *,
    shipped: str = "qat",
    max_latency_ms: float | None = None,
    gate: dict[str, Any] | None = None,
) -> Sources:
    """Write the files of an experiment `e`; return where they are.

    Args:
        folder: gets them, as a run's working folder would.
        classes: number of classes.
        each: test pictures of each class, of which about a tenth is wrong.
        shipped: `qat`, or `ready` for a model without a float one.
        max_latency_ms: limit of the device gate.
        gate: values of gate.json that replace those of an open gate.
    """
    results = folder / "results/e"
    for name in ("device/phone", "e_opt"):
        (results / name).mkdir(parents=True)
    models = evaluation(results / "evaluation.json", classes, each, shipped)
    write_sealed(results / "gate.json", gate_file(models, shipped) | (gate or {}))
    float_model, int8_model = _networks()
    (results / "e_opt/model.tflite").write_bytes(int8_model)
    sources = Sources("e", shipped, results / "evaluation.json", results / "gate.json", results / "e_opt/model.tflite",
                      _data(folder, classes), stages=_stages(folder))  # fmt: skip
    if shipped != "ready":
        layers = [asdict(layer) for layer in inspect_layers(float_model, int8_model, pictures(4))]
        costs = asdict(sensitivities(float_model, int8_model))
        write_sealed(results / "layers.json", {"layers": layers, "sensitivities": costs})
        write_sealed(results / "widths.json", {"choice": asdict(CHOICE)})
        (results / "e_float_opt").mkdir()
        (results / "e_float_opt/model.tflite").write_bytes(float_model)
        sources = replace(sources, widths=results / "widths.json", float_model=results / "e_float_opt/model.tflite")
        sources = replace(sources, layers=results / "layers.json", **_trainings(folder, results))
    if gate and not gate["passed"]:
        return sources
    return replace(sources, **_device(results / "device/phone", shipped, max_latency_ms))


CLOSED = {"passed": False, "outcome": "closed", "reason": "too bad"}


def results(folder: Path, name: str, gate: dict[str, Any] | None = CLOSED, shipped: str = "qat") -> Path:
    """Write the files of an experiment, with summary.json; its accuracy gate keeps it from the device, or is open.

    Returns:
        folder/results/<name>, of a model in <name>_<opt or ready>.
    """
    sources = report_files(folder / name, gate=gate, shipped=shipped)
    place, before = folder / "results" / name, sources.evaluation.parent
    place.parent.mkdir(exist_ok=True)
    before.rename(place)
    ending = {"qat": "opt", "ready": "ready"}[shipped]
    (place / "e_opt").rename(place / f"{name}_{ending}")

    def moved(path: Path) -> Path:
        if not path.is_relative_to(before):
            return path
        inner = path.relative_to(before)
        return place / (f"{name}_{ending}/model.tflite" if inner.parts[0] == "e_opt" else inner)

    fields = ("evaluation", "gate", "model", "float_model", "layers", "trained", "widths")
    one: dict[str, Any] = {field: moved(path) for field in fields if (path := getattr(sources, field)) is not None}
    several: dict[str, Any] = {
        field: [moved(path) for path in getattr(sources, field)] for field in ("devices", "demos")
    }
    histories = {key: moved(path) for key, path in sources.histories.items()}
    sources = replace(sources, experiment=name, histories=histories, **one, **several)
    summarise(sources, place / "summary.json")
    return place


def sensitivities(float_model: bytes, int8_model: bytes) -> Sensitivities:
    """What each layer costs: the later, the more; `dw` was trained."""
    layers = tuple(
        LayerSensitivity(
            form.name, form.operator, form.name == "dw", 0.001 * n, 0.01 * n - 0.02, 0.02 - 0.001 * n, 0.03
        )
        for n, form in enumerate(layer_forms(float_model, int8_model), 1)
    )
    return Sensitivities(pictures=100, float_top1=0.9, kl=0.02, drop=0.04, layers=layers)


def evaluation(path: Path, classes: int, each: int, shipped: str) -> dict[str, Any]:
    """Write evaluation.json; return the models in it."""
    rng = np.random.default_rng(classes)
    labels = np.repeat(np.arange(classes), each)
    answers = {}
    for name, share in (("float", 0.08), ("ptq", 0.14), (shipped, 0.1)):
        wrong = rng.random(len(labels)) < share
        answers[name] = np.where(
            wrong, (labels + 1 + rng.integers(0, min(3, classes - 1), len(labels))) % classes, labels
        )
    if shipped == "ready":
        answers = {"ready": answers["ready"]}
    models = {}
    for name, predicted in answers.items():
        size = 1_100_000 if name == "float" else 320_000
        right = float((predicted == labels).mean())
        models[name] = {
            "pictures": len(labels), "top1": right, "top5": min(1.0, right + 0.05), "bytes": size,
            "compressed_bytes": size - 40_000, "host_ms": HOST, "confusion": confusion(predicted, labels),
            "right": packed(predicted == labels),
        }  # fmt: skip
        if name != "float":
            models[name]["quantised"] = {"weights": [8], "activations": [8]}
        if name != "float" and "float" in answers:
            models[name]["against_float"] = asdict(paired_drop(answers["float"], predicted, labels))
    shown = [
        {
            "kind": kind, "position": position, "key": f"test/{position}", "label": 0,
            "thumbnail": _thumbnail(position),
            "guesses": {
                name: {"label": int(kind == "confident" or (name == "float") is (kind == "won")), "confidence": 0.75}
                for name in answers
            },
        }
        for position, kind in enumerate(("lost", "lost", "won", "confident"))
        if kind == "confident" or shipped != "ready"
    ]  # fmt: skip
    names = [f"class {number}" for number in range(classes)]
    content = {
        "labels": names, "test_pictures": f"{classes} {each}", "models": models, "pictures": shown,
        "fake_quant": None if shipped == "ready" else {"top1": 0.9, "top5": 0.95},
    }  # fmt: skip
    write_sealed(path, content)
    return models


def gate_file(models: dict[str, Any], shipped: str) -> dict[str, Any]:
    """Return the content of gate.json: open, by the models' figures on the test pictures."""
    if "float" not in models:
        said = ["top-1 90.00 %, with no float model and no figure to compare with"]
        drop, compared = None, []
    else:
        drop = models[shipped]["against_float"]
        compared = [comparison("max_drop", drop, limit=1.0), comparison("worse_than_ptq", drop, limit=0.0)]
        said = [f"int8 loses {drop['points']:.2f} points"]
    return {
        "outcome": "open", "passed": True, "reason": None, "said": said, "against_float": drop, "against_ptq": drop,
        "comparisons": compared, "published": None, "sizes": [],
    }  # fmt: skip


def comparison(key: str, drop: dict[str, Any], limit: float, **values: Any) -> dict[str, Any]:
    """Return a comparison of gate.json."""
    about = {"key": key, "verdict": "within", "limit": limit, "allowed": False, "closes": False, "more_pictures": None}
    return {**about, "remedy": "train longer", **drop, **values}


def _networks() -> tuple[bytes, bytes]:
    graph = small_graph()
    return convert(graph).content, convert(quantised(graph, per_channel=True)).content


def _data(folder: Path, classes: int) -> Path:
    """Write a manifest with files of its own, and two rejected pictures."""
    from qatflow.base.files import sha256
    from qatflow.base.picture_size import square
    from qatflow.data.manifest import File, Manifest, SplitFiles
    from qatflow.data.preprocess import Preprocessing

    place = folder / "data/d"
    place.mkdir(parents=True)
    texts = {
        "labels.txt": "".join(f"class {number}\n" for number in range(classes)),
        "calibration.json": "{}",
        "rejected.csv": "key,reason\na/1.jpg,cannot be decoded\nb/2.jpg,<too large>\n",
    }
    files = {}
    for name, text in texts.items():
        (place / name).write_text(text)
        files[name] = File(name, sha256(place / name), len(text))
    splits = {name: SplitFiles(100, (100,), ()) for name in ("train", "validation", "test")}
    Manifest(
        place, "d", "folder", "pictures of a test", "none", tuple(texts["labels.txt"].split("\n")[:-1]),
        Preprocessing(square(32), "pad", 1, (127.5,), (127.5,)), splits, files["labels.txt"],
        files["calibration.json"], files["rejected.csv"], 2, 0, {},
    ).write()  # fmt: skip
    return place / "manifest.json"


def _trainings(folder: Path, results: Path) -> dict[str, Any]:
    """Write the histories, and the manifests of the float weights and the trained graph."""
    float_, int8 = folder / "pretrain/m_pretrained", results / "trained"
    for place, phases in ((float_, ["float"] * 5), (int8, ["float"] + ["int8"] * 3)):
        place.mkdir(parents=True)
        history = [
            EpochFigures(
                n, phase, 0.01 / (n + 1), 1 / (n + 1), 0.8 + 0.02 * n, 1.0, 1.2 / (n + 1), 0.78 + 0.02 * n, 1.0
            )
            for n, phase in enumerate(phases)
        ]
        write_csv(history, place / "history.csv")
    said = ["the float weights reach 97.00 %"]
    write_sealed(float_ / "manifest.json", {"said": said, "exported_epoch": 3}, files=["history.csv"])
    write_sealed(int8 / "manifest.json", {"exported_epoch": 2, "pruning": []}, files=["history.csv"])
    return {
        "histories": {"float": float_ / "history.csv", "int8": int8 / "history.csv"},
        "pretrained": float_ / "manifest.json",
        "trained": int8 / "manifest.json",
    }


def _stages(folder: Path) -> list[Path]:
    paths = [folder / "logs" / name for name in ("train_int8/e.jsonl", "evaluate_tflite/e.jsonl")]
    for path, seconds in zip(paths, (185.0, 2.5), strict=True):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"s": seconds, "max_rss": 100.0, "cpu_time": seconds}) + "\n")
    return paths


def _device(place: Path, shipped: str, max_latency_ms: float | None) -> dict[str, Any]:
    found = device_reports.report()
    if shipped == "ready":
        found = replace(found, models=replace(found.models, float=None), ratio=None)
    (place / "output.txt").write_text("Output dim: 10\nOutput[0]: 0.5\n")
    write_report(place / "report.json", found)
    return {
        "devices": [place / "report.json"],
        "demos": [place / "output.txt"],
        "limits": [{"max_latency_ms": max_latency_ms}],
    }


def _thumbnail(number: int) -> str:
    content = io.BytesIO()
    Image.new("L", (8, 8), 60 * number).save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
