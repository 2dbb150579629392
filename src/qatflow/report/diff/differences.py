"""What differs between two results: settings, tools, figures with intervals, and layers."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qatflow.base.measure import measure_in, share, share_if_any
from qatflow.report.comparison import Difference, difference
from qatflow.report.diff.results import Results
from qatflow.sensitivity.forms import layer_name

MODELS = {"float": "float", "ptq": "PTQ"}
FACTS = ("operator", "shape", "type", "activation", "weight_bits")
MEASURES = (*("weight_scale_low", "weight_scale_high", "scale", "zero_point", "sqnr_db", "rounding_db", "clipped"),)
"""Of layers.json; the rest of it follows from these."""


@dataclass(frozen=True)
class Setting:
    """A setting, or the version of a tool, that differs: its key and both values; None where it is not there."""

    key: str
    first: Any
    second: Any


@dataclass(frozen=True)
class Metric:
    """A figure of both.

    Attributes:
        name: with its unit.
        digits: digits shown behind the decimal point.
        first: its value; None where it is not known.
        second: likewise.
        change: second minus first; None where one is not known.
        ratio: second divided by first, of figures that have a zero.
        interval: of top-1, with its 95 % interval; None for other figures.
    """

    name: str
    digits: int
    first: float | None
    second: float | None
    change: float | None
    ratio: float | None
    interval: Difference | None = None


@dataclass(frozen=True)
class Layer:
    """An operator of the model that ships, in which something differs.

    Attributes:
        name: of the layer.
        state: `changed`, `added` or `removed`.
        first: its facts, by name; empty where it was added.
        second: likewise; empty where it was removed.
        changed: names of the facts that differ.
    """

    name: str
    state: str
    first: Mapping[str, Any]
    second: Mapping[str, Any]
    changed: tuple[str, ...]


@dataclass(frozen=True)
class Differences:
    """Two results compared.

    Attributes:
        first: name of the first.
        second: name of the second.
        same_pictures: whether both were tested on the same pictures, so that intervals are paired.
        same_model: whether the models that ship are equal byte by byte.
        settings: those that differ.
        tools: versions and commit that differ.
        metrics: the figures of both.
        layers: the operators in which something differs, in the order of execution; of the first if removed.
        equal_layers: number of the others.
    """

    first: str
    second: str
    same_pictures: bool
    same_model: bool
    settings: tuple[Setting, ...]
    tools: tuple[Setting, ...]
    metrics: tuple[Metric, ...]
    layers: tuple[Layer, ...]
    equal_layers: int


def differences(first: Results, second: Results) -> Differences:
    """Return what differs."""
    pictures = first.evaluation.get("test_pictures")
    layers, equal = _layers(_facts(first), _facts(second))
    return Differences(
        first=first.name,
        second=second.name,
        same_pictures=pictures is not None and pictures == second.evaluation.get("test_pictures"),
        same_model=_model(first) == _model(second),
        settings=_settings(first.settings, second.settings),
        tools=_settings(_tools(first), _tools(second)),
        metrics=tuple(_metrics(first, second)),
        layers=layers,
        equal_layers=equal,
    )


def _settings(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Setting, ...]:
    keys = dict.fromkeys((*first, *second))
    return tuple(Setting(key, first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key))


def _tools(results: Results) -> dict[str, Any]:
    record = results.summary["provenance"]
    return {"qatflow": record["commit"], **record["versions"]}


def _model(results: Results) -> str:
    """Return the SHA-256 of the model that ships."""
    folder = {"qat": "_opt", "ptq": "_ptq", "ready": "_ready"}[results.shipped]
    inputs = results.summary["provenance"]["inputs"]
    return next(digest for path, digest in inputs.items() if path.endswith(f"{folder}/model.tflite"))


def _metrics(first: Results, second: Results) -> Iterator[Metric]:
    models, others = first.evaluation["models"], second.evaluation["models"]
    for key, name in MODELS.items():
        known = key in models and key in others and share_if_any(models[key]) is not None
        if known and key not in (first.shipped, second.shipped):
            yield _top1(name, first, key, second, key)
    one, other = models[first.shipped], others[second.shipped]
    yield _top1("shipped", first, first.shipped, second, second.shipped)
    if measure_in(first.evaluation).best5:
        yield _metric("shipped: top-5, %", 2, 100 * one["top5"], 100 * other["top5"], scaled=False)
    yield _metric("shipped: bytes", 0, one["bytes"], other["bytes"])
    yield _metric("shipped: bytes, deflated", 0, one["compressed_bytes"], other["compressed_bytes"])
    yield _metric("shipped: latency on the host, ms", 3, one["host_ms"]["median"], other["host_ms"]["median"])
    devices = [{device["name"]: device for device in run.summary["on_device"]} for run in (first, second)]
    for device in [name for name in devices[0] if name in devices[1]]:
        figures = [{line["name"]: line for line in by_name[device]["figures"]} for by_name in devices]
        for name in [name for name in figures[0] if name in figures[1]]:
            values = [of_run[name]["int8_model"] for of_run in figures]
            if values != [None, None]:
                yield _metric(f"on {device}: {name}", figures[0][name]["digits"], *values, scaled="%" not in name)
    times = [{stage["rule"]: stage["seconds"] for stage in run.summary["stages"]} for run in (first, second)]
    both = zip((first, second), times, strict=True)
    trained = dict.fromkeys(run.summary["quantised"] for run, of_run in both if "train_int8" in of_run)
    if trained:
        yield _metric(f"training for {' and '.join(trained)}, s", 1, *(of_run.get("train_int8") for of_run in times))


def _top1(name: str, first: Results, model: str, second: Results, other: str) -> Metric:
    change = difference(second.evaluation, other, first.evaluation, model)
    one, two = (100 * share(run.evaluation["models"][key]) for run, key in ((first, model), (second, other)))
    return Metric(f"{name}: {measure_in(first.evaluation).name}, %", 2, one, two, change.points, None, change)


def _metric(name: str, digits: int, first: float | None, second: float | None, *, scaled: bool = True) -> Metric:
    if first is None or second is None:
        return Metric(name, digits, first, second, None, None)
    return Metric(name, digits, first, second, second - first, second / first if scaled and first else None)


def _facts(results: Results) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the facts of each operator, in the order of execution, by its layer's name and how often that came."""
    measured = {layer["name"]: layer for layer in results.summary["layers"]}
    seen: Counter[str] = Counter()
    facts = {}
    for node in results.summary["network"]:
        layer = measured.get(layer_name(node["tensor"]), {}) if node["type"] != "float32" else {}
        entry = {name: node[name] for name in FACTS} | {name: layer.get(name) for name in MEASURES}
        facts[node["name"], seen[node["name"]]] = entry
        seen[node["name"]] += 1
    return facts


def _layers(
    first: Mapping[tuple[str, int], dict[str, Any]], second: Mapping[tuple[str, int], dict[str, Any]]
) -> tuple[tuple[Layer, ...], int]:
    """Return the operators that differ, and the number of the others."""
    layers, equal = [], 0
    for key in dict.fromkeys((*first, *second)):
        one, other = first.get(key, {}), second.get(key, {})
        changed = tuple(name for name in (*FACTS, *MEASURES) if one.get(name) != other.get(name))
        state = "changed" if one and other else "added" if other else "removed"
        if changed or state != "changed":
            layers.append(Layer(key[0], state, one, other, changed))
        else:
            equal += 1
    return tuple(layers), equal
