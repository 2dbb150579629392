"""summary.json: the figures of an experiment, gathered from the files of each stage."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qatflow.base import provenance
from qatflow.base.measure import MEASURES, Measure, MeasureKey, measure_in
from qatflow.base.sums import read_checked, read_sealed, write_sealed
from qatflow.device.results.device_gate import device_outcomes
from qatflow.device.results.report import DeviceAccuracy, DeviceReport, ModelReport, read_report
from qatflow.device.results.words import agreement
from qatflow.evaluate.gate import GateOutcome
from qatflow.evaluate.layers import InspectedLayer, read_layer_sensitivities, read_layers
from qatflow.mixed_precision.record import ChosenWidths, read_widths
from qatflow.report.at_fault import OperatorAtFault, at_fault, at_fault_words
from qatflow.report.classes import ClassFigures, ConfusedPair, class_figures, confused_pairs
from qatflow.report.curves import Curve, curves
from qatflow.report.data_facts import DataFacts, data_facts
from qatflow.report.gates import GateLine, gate_lines
from qatflow.report.handover import HandOver, hand_over
from qatflow.report.network import NetworkNode, network
from qatflow.report.on_device import OnDevice, on_device
from qatflow.report.picture_answers import PictureAnswer, shown
from qatflow.report.pruning import Pruning, read_pruning
from qatflow.report.slowest import SlowOperator, slowest
from qatflow.report.stages import Stage, stages
from qatflow.report.verdict import Verdict, verdict
from qatflow.search.result import SearchResult, read_result
from qatflow.sensitivity.measure import Sensitivities
from qatflow.tflite.precision import Precision

FORMAT = 10
NOT_RUN = "not run on the device: the gate before it is closed"
HOW = {"ptq": "PTQ", "ready": "ready", "qat": "QAT"}
"""How each quantised model was made."""


@dataclass(frozen=True)
class Row:
    """One model in the table.

    Attributes:
        model: its name.
        top1: fraction of the test pictures that it gets right, 0…1; None if there is no such model, or no label.
        top5: the same for the five best classes.
        bytes: size of the .tflite file; None if there is none.
        compressed_bytes: size of the file in a download or an app package: deflate at level 9.
        packed_bytes: size of the packed file, which the C++ program expands; None if there is none.
        host_ms: median latency of one picture on the host, in ms.
        devices: the result of each device run in words, with the device's name if there are several; for a model that
            does not exist, that it was not trained.
        float_agreement: without labels, the fraction of the test pictures that it answers as the float model does;
            None for that model itself.
    """

    model: str
    top1: float | None
    top5: float | None
    bytes: int | None
    compressed_bytes: int | None
    packed_bytes: int | None
    host_ms: float | None
    devices: tuple[str, ...]
    float_agreement: float | None = None


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
        widths: the choice of the layers' widths before training; None where they were given.
        outcome: outcome of the accuracy gate: `open`, `undecided` or `closed`.
        shipped: the model that goes to the device: `ptq`, `qat` or `ready`.
        quantised: what its integers are: `int8`, or by their bits, as `W8A16` (int8 weights, int16 activations).
        quantised_words: the same in words.
        multiply_adds: of the whole network that ships, for one picture.
        made: when the report was made: date and time in UTC.
        verdict: the answer in a sentence, and four figures.
        notes: on the float weights; a line each.
        gates: the gates of accuracy, size, latency, memory and instructions, with limits and advice.
        network: the operators of the model that ships.
        layers: what quantisation does to each layer, in the order of execution; none without a float model.
        sensitivities: what the quantisation of each layer costs; None if that was not measured.
        classes: accuracy (or agreement) by class, in the order of the labels.
        confused: the most confused pairs of classes.
        pictures: test pictures that float and int8 answer differently, and the most confident errors.
        curves: the trainings, epoch by epoch.
        data: the data set.
        stages: time and memory of the stages that take long.
        slowest: the operators of both models that take longest on each device.
        at_fault: the operators that take longer than float's, on each device where int8 is not faster.
        hand_over: the model that ships in LiteRT's own tools, on GPU and NPU.
        measure: `accuracy`; without labels `float_agreement`, and then no figure here is an accuracy.
    """

    experiment: str
    test_pictures: int
    rows: tuple[Row, ...]
    gate: tuple[str, ...]
    on_device: tuple[OnDevice, ...]
    pruning: tuple[Pruning, ...] = ()
    search: SearchResult | None = None
    widths: ChosenWidths | None = None
    outcome: GateOutcome = "open"
    shipped: str = "qat"
    quantised: str = "int8"
    quantised_words: str = "int8"
    multiply_adds: int = 0
    made: str = ""
    verdict: Verdict | None = None
    notes: tuple[str, ...] = ()
    gates: tuple[GateLine, ...] = ()
    network: tuple[NetworkNode, ...] = ()
    layers: tuple[InspectedLayer, ...] = ()
    sensitivities: Sensitivities | None = None
    classes: tuple[ClassFigures, ...] = ()
    confused: tuple[ConfusedPair, ...] = ()
    pictures: tuple[PictureAnswer, ...] = ()
    curves: tuple[Curve, ...] = ()
    data: DataFacts | None = None
    stages: tuple[Stage, ...] = ()
    slowest: tuple[SlowOperator, ...] = ()
    at_fault: tuple[OperatorAtFault, ...] = ()
    hand_over: tuple[HandOver, ...] = ()
    measure: MeasureKey = "accuracy"

    @property
    def what(self) -> Measure:
        """The measure of its figures."""
        return MEASURES[self.measure]


@dataclass(frozen=True)
class Sources:
    """The files that a report is made from.

    Attributes:
        experiment: name of the experiment.
        shipped: the model that goes to the device: `ptq`, `qat` or `ready`.
        evaluation: evaluation.json.
        gate: gate.json.
        model: the .tflite file that ships.
        float_model: the float .tflite file; None if there is none.
        packed: its packed form; None if there is none.
        data: manifest.json of the data.
        devices: report.json of each device run; none if the gate is closed.
        demos: output.txt of each, in the same order.
        limits: of each, in the same order: by their keys of `device`, None for no limit.
        layers: layers.json; None if there is no float model.
        histories: history.csv of each training, by its name.
        stages: Snakemake's benchmark files.
        pretrained: manifest.json of the float weights, which has notes on them; None if there are none.
        trained: manifest.json of the trained graph, which describes its pruning; None if none was trained.
        search: best.json of the search before training; None if there was none.
        widths: widths.json of the choice of widths; None if there was none.
    """

    experiment: str
    shipped: str
    evaluation: Path
    gate: Path
    model: Path
    data: Path
    devices: Sequence[Path] = ()
    demos: Sequence[Path] = ()
    limits: Sequence[Mapping[str, float | None]] = ()
    float_model: Path | None = None
    packed: Path | None = None
    layers: Path | None = None
    histories: Mapping[str, Path] = field(default_factory=dict)
    stages: Sequence[Path] = ()
    pretrained: Path | None = None
    trained: Path | None = None
    search: Path | None = None
    widths: Path | None = None

    def files(self) -> list[Path]:
        """Return all files but those of Snakemake, whose content differs from run to run."""
        several = (*self.devices, *self.demos, *self.histories.values())
        perhaps = (self.float_model, self.packed, self.layers, self.pretrained, self.trained, self.search, self.widths)
        return [self.evaluation, self.gate, self.model, self.data, *several, *filter(None, perhaps)]


def summarise(sources: Sources, output: Path) -> Summary:
    """Gather the figures and write summary.json.

    Raises:
        UserError: a file is damaged, has changed since it was written, or is of another version.
    """
    evaluated, gated = read_sealed(sources.evaluation), read_sealed(sources.gate)
    devices = [read_report(path) for path in sources.devices]
    demos = [read_checked(path).decode() for path in sources.demos]
    limited = zip(devices, sources.limits, sources.devices, strict=False)  # behind a closed gate there are no devices
    limits = {run.device.name: device_outcomes(run, limit, path) for run, limit, path in limited}
    layers = tuple(read_layers(sources.layers)) if sources.layers is not None else ()
    sensitivities = read_layer_sensitivities(sources.layers) if sources.layers is not None else None
    gates = gate_lines(gated, limits)
    trained = read_sealed(sources.trained) if sources.trained is not None else {}
    pretrained = read_sealed(sources.pretrained) if sources.pretrained is not None else {}
    content = read_checked(sources.model)
    quantised = Precision.of_json(evaluated["models"][sources.shipped]["quantised"])
    profile = devices[0].models.int8.profile.operators if devices else ()
    nodes = network(content, layers, profile, sensitivities)
    contents = {"int8": content}
    if sources.float_model is not None:
        contents["float"] = read_checked(sources.float_model)
    culprits = at_fault(devices, contents)
    packed_bytes = None if sources.packed is None else sources.packed.stat().st_size
    summary = Summary(
        experiment=sources.experiment,
        test_pictures=evaluated["models"][sources.shipped]["pictures"],
        rows=_rows(evaluated, gated, sources.shipped, devices, packed_bytes),
        gate=tuple(_gate_lines(gated, sources.pretrained)),
        on_device=tuple(
            on_device(run, demo, tuple(at_fault_words(culprits, run.device.name, quantised.short)))
            for run, demo in zip(devices, demos, strict=True)
        ),
        pruning=read_pruning(sources.trained) if sources.trained is not None else (),
        search=read_result(sources.search) if sources.search is not None else None,
        widths=read_widths(sources.widths) if sources.widths is not None else None,
        outcome=gated["outcome"],
        shipped=sources.shipped,
        quantised=quantised.short,
        quantised_words=quantised.words,
        multiply_adds=sum(node.multiply_adds for node in nodes),
        made=datetime.now(UTC).isoformat(timespec="minutes"),
        verdict=verdict(
            sources.shipped,
            evaluated["models"],
            gates,
            devices,
            packed_bytes,
            quantised,
            measure_in(evaluated),
            culprits,
        ),
        notes=tuple(pretrained.get("said", ())),
        gates=gates,
        network=nodes,
        layers=layers,
        sensitivities=sensitivities,
        classes=class_figures(evaluated, sources.shipped),
        confused=confused_pairs(evaluated, sources.shipped),
        pictures=shown(evaluated),
        curves=curves(
            sources.histories,
            {name: of.get("exported_epoch") for name, of in (("float", pretrained), ("int8", trained))},
            quantised.short,
        ),
        data=data_facts(sources.data),
        stages=stages(sources.stages),
        slowest=slowest(devices, contents),
        at_fault=culprits,
        hand_over=hand_over(content, str(sources.model)),
        measure=measure_in(evaluated).key,
    )
    record = provenance.record_of_run(sources.files(), {"shipped": sources.shipped})
    write_sealed(output, {"format_version": FORMAT, **asdict(summary), "provenance": record})
    return summary


def _rows(
    evaluated: Mapping[str, Any],
    gated: Mapping[str, Any],
    shipped: str,
    devices: Sequence[DeviceReport],
    packed_bytes: int | None,
) -> tuple[Row, ...]:
    models, fake_quant = evaluated["models"], evaluated["fake_quant"]
    there = {shipped: _device_results({run.device.name: run.models.int8 for run in devices})}
    if not gated["passed"]:
        there[shipped] = (NOT_RUN,)
    there["float"] = _device_results({run.device.name: run.models.float for run in devices})
    quantised = {key: Precision.of_json(model["quantised"]).short for key, model in models.items() if key in HOW}
    names = {"float": "float"} | {key: f"{HOW[key]} {short}" for key, short in quantised.items()}
    packed = {shipped: packed_bytes}
    untrained = [key for key in ("float", "ptq", "ready") if key in models]
    rows = [_row(names[key], models[key], there.get(key, ()), packed.get(key)) for key in untrained]
    if shipped == "ready":
        pass  # nothing is trained or quantised here
    elif "qat" in models:
        rows.append(_shares(Row("fake-quantised", None, None, None, None, None, None, ()), fake_quant))
        rows.append(_row(names["qat"], models["qat"], there.get("qat", ()), packed.get("qat")))
    else:
        rows.append(Row("QAT", None, None, None, None, None, None, ("not trained",)))
    return tuple(rows)


def _gate_lines(gated: Mapping[str, Any], pretrained: Path | None) -> Iterator[str]:
    """Yield notes on the float weights, the gate's comparisons, and why it is closed."""
    if pretrained is not None:
        yield from read_sealed(pretrained)["said"]
    yield from gated["said"]
    if gated["reason"] is not None:
        yield gated["reason"]


def _row(name: str, measured: dict, devices: tuple[str, ...], packed_bytes: int | None = None) -> Row:
    sizes = (measured["bytes"], measured["compressed_bytes"], packed_bytes)
    return _shares(Row(name, None, None, *sizes, measured["host_ms"]["median"], devices), measured)


def _shares(row: Row, measured: Mapping[str, Any]) -> Row:
    """Return the row with its share of the test pictures."""
    keys = ("top1", "top5", "float_agreement")
    return replace(row, **{key: measured[key] for key in keys if key in measured})


def _device_results(models: Mapping[str, ModelReport | None]) -> tuple[str, ...]:
    """Return the results of a model in words, one per device, with its name if there are several."""
    return tuple(
        f"{f'{name}: ' if len(models) > 1 else ''}{agreement(model)}{_on_device(model.accuracy)}"
        for name, model in models.items()
        if model is not None
    )


def _on_device(accuracy: DeviceAccuracy) -> str:
    """Return the share of the pictures on the device in words; nothing for a float model without labels."""
    if accuracy.device_top1 is not None:
        return f"; top-1 {100 * accuracy.device_top1:.1f} %"
    if accuracy.device_float_agreement is not None:
        return f"; agreement with float {100 * accuracy.device_float_agreement:.1f} %"
    return ""
