"""summary.json: the figures of an experiment, gathered from the files of each stage."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qatflow.base import provenance
from qatflow.base.sums import read_sealed, write_sealed
from qatflow.device.results.report import DeviceReport, ModelReport
from qatflow.device.results.words import agreement
from qatflow.evaluate.gate import GateOutcome
from qatflow.report.on_device import OnDevice, on_device
from qatflow.report.pruning import Pruning, read_pruning
from qatflow.search.result import SearchResult, read_result

FORMAT = 5
NOT_RUN = "not run on the device: the accuracy gate is closed"
NAMES = {"float": "float", "ptq": "PTQ int8", "ready": "ready int8"}


@dataclass(frozen=True)
class Row:
    """One model in the table.

    Attributes:
        model: its name.
        top1: fraction of the test pictures that it gets right, 0…1; None if there is no such model.
        top5: the same for the five best classes.
        bytes: size of the .tflite file; None if there is none.
        compressed_bytes: size of the file in a download or an app package: deflate at level 9.
        host_ms: median latency of one picture on the host, in ms.
        devices: the result of each device run in words, with the device's name if there are several; for a model that
            does not exist, that it was not trained.
    """

    model: str
    top1: float | None
    top5: float | None
    bytes: int | None
    compressed_bytes: int | None
    host_ms: float | None
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """The figures of an experiment.

    Attributes:
        experiment: its name.
        test_pictures: number of test pictures that the figures are from.
        rows: float, quantised after training, fake-quantised, and trained for int8; or the model that was quantised
            elsewhere.
        gate: notes on the float weights, the accuracy gate's comparisons on the validation pictures, one line each, and
            why it is closed.
        on_device: the results of each device run, for the float model, if there is one, and the one that ships; none
            if the gate is closed.
        pruning: what filter pruning did to the network, step by step.
        search: the result of a search before training; None if there was none.
        outcome: outcome of the accuracy gate: `open`, `undecided` or `closed`.
    """

    experiment: str
    test_pictures: int
    rows: tuple[Row, ...]
    gate: tuple[str, ...]
    on_device: tuple[OnDevice, ...]
    pruning: tuple[Pruning, ...] = ()
    search: SearchResult | None = None
    outcome: GateOutcome = "open"


def summarise(
    experiment: str,
    shipped: str,
    evaluation: Path,
    gate: Path,
    devices: Sequence[tuple[DeviceReport, str]],
    output: Path,
    inputs: Sequence[Path],
    pretrained: Path | None = None,
    trained: Path | None = None,
    search: Path | None = None,
) -> Summary:
    """Gather the figures and write summary.json.

    Args:
        experiment: name of the experiment.
        shipped: the model that went to the device: `ptq`, `qat` or `ready`.
        evaluation: evaluation.json.
        gate: gate.json.
        devices: the report.json of each device run, with the text of its output.txt; none if the gate is closed.
        output: file to write.
        inputs: all files that the figures come from.
        pretrained: manifest.json of the float weights, which has notes on them; None if there are none.
        trained: manifest.json of the trained graph, which describes its pruning; None if none was trained.
        search: best.json of the search before training; None if there was none.
    """
    evaluated, gated = read_sealed(evaluation), read_sealed(gate)
    models, fake_quant = evaluated["models"], evaluated["fake_quant"]
    there = {shipped: _device_results({run.device.name: run.models.int8 for run, _ in devices})}
    if not gated["passed"]:
        there[shipped] = (NOT_RUN,)
    there["float"] = _device_results({run.device.name: run.models.float for run, _ in devices})
    rows = [_row(name, models[key], there.get(key, ())) for key, name in NAMES.items() if key in models]
    if shipped == "ready":
        pass  # nothing is trained or quantised here
    elif "qat" in models:
        rows.append(Row("fake-quantised", fake_quant["top1"], fake_quant["top5"], None, None, None, ()))
        rows.append(_row("QAT int8", models["qat"], there.get("qat", ())))
    else:
        rows.append(Row("QAT int8", None, None, None, None, None, ("not trained",)))
    summary = Summary(
        experiment,
        models[shipped]["pictures"],
        tuple(rows),
        tuple(_gate_lines(gated, pretrained)),
        tuple(on_device(run, demo) for run, demo in devices),
        read_pruning(trained) if trained is not None else (),
        read_result(search) if search is not None else None,
        gated["outcome"],
    )
    record = provenance.record(inputs, {"shipped": shipped})
    write_sealed(output, {"format_version": FORMAT, "shipped": shipped, **asdict(summary), "provenance": record})
    return summary


def _gate_lines(gated: Mapping[str, Any], pretrained: Path | None) -> Iterator[str]:
    """Yield notes on the float weights, the gate's comparisons, and why it is closed."""
    if pretrained is not None:
        yield from read_sealed(pretrained)["said"]
    yield from gated["said"]
    if gated["reason"] is not None:
        yield gated["reason"]


def _row(name: str, measured: dict, devices: tuple[str, ...]) -> Row:
    size, packed = measured["bytes"], measured["compressed_bytes"]
    return Row(name, measured["top1"], measured["top5"], size, packed, measured["host_ms"]["median"], devices)


def _device_results(models: Mapping[str, ModelReport | None]) -> tuple[str, ...]:
    """Return the results of a model in words, one per device, with its name if there are several."""
    return tuple(
        f"{f'{name}: ' if len(models) > 1 else ''}{agreement(model)}; top-1 {100 * model.accuracy.device_top1:.1f} %"
        for name, model in models.items()
        if model is not None
    )
