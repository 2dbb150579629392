"""summary.json: the figures of an experiment, gathered from what each stage wrote."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from qatflow import provenance
from qatflow.device.report import DeviceReport, ModelReport
from qatflow.device.words import agreement
from qatflow.files import read_json, write_json
from qatflow.report.on_device import OnDevice, on_device

FORMAT = 3
NAMES = {"float": "float", "ptq": "PTQ int8", "ready": "ready int8"}


@dataclass(frozen=True)
class Row:
    """One model in the table.

    Attributes:
        model: what it is.
        top1: share of the test pictures, 0…1; None where there is no such model.
        top5: the same for the five best classes.
        bytes: of the .tflite file; None where there is no file for the device.
        host_ms: median latency of one picture on the host, in ms.
        device: what the device run found, in words; of a model that is not there, that it was not trained.
    """

    model: str
    top1: float | None
    top5: float | None
    bytes: int | None
    host_ms: float | None
    device: str


@dataclass(frozen=True)
class Summary:
    """The figures of an experiment.

    Attributes:
        experiment: its name.
        test_pictures: pictures the figures are of.
        rows: float, quantised after training, fake-quantised, and trained for int8; or the one that came quantised.
        gate: what the accuracy gate found on the validation pictures, in words, a line a comparison; before it, what is
            to be known of the float weights.
        on_device: what the device run found, of the float model, where there is one, and of the one that ships.
        demo: what the demo printed on the device.
    """

    experiment: str
    test_pictures: int
    rows: tuple[Row, ...]
    gate: tuple[str, ...]
    on_device: OnDevice
    demo: str


def summarise(
    experiment: str,
    shipped: str,
    evaluation: Path,
    gate: Path,
    device: DeviceReport,
    demo: Path,
    output: Path,
    inputs: Sequence[Path],
    pretrained: Path | None = None,
) -> Summary:
    """Gather the figures and write summary.json.

    Args:
        experiment: name of the experiment.
        shipped: which model went to the device: `ptq`, `qat` or `ready`.
        evaluation: evaluation.json.
        gate: gate.json.
        device: report.json of the device run, read.
        demo: output.txt of the device run.
        output: file to write.
        inputs: all files that the figures come from.
        pretrained: manifest.json of the float weights, which says what was done to them; None where there are none.
    """
    found = read_json(evaluation)
    models, fake_quant = found["models"], found["fake_quant"]
    there = {shipped: _device_result(device.models.int8)}
    if device.models.float is not None:
        there["float"] = _device_result(device.models.float)
    rows = [_row(name, models[key], there.get(key, "")) for key, name in NAMES.items() if key in models]
    if shipped == "ready":
        pass  # nothing is trained or quantised here
    elif "qat" in models:
        rows.append(Row("fake-quantised", fake_quant["top1"], fake_quant["top5"], None, None, ""))
        rows.append(_row("QAT int8", models["qat"], there.get("qat", "")))
    else:
        rows.append(Row("QAT int8", None, None, None, None, "not trained"))
    summary = Summary(
        experiment,
        models[shipped]["pictures"],
        tuple(rows),
        (*(read_json(pretrained)["said"] if pretrained is not None else ()), *read_json(gate)["said"]),
        on_device(device),
        demo.read_text(encoding="utf-8"),
    )
    made = provenance.record(inputs, {"shipped": shipped})
    write_json(output, {"format_version": FORMAT, "shipped": shipped, **asdict(summary), "provenance": made})
    return summary


def _row(name: str, measured: dict, device: str) -> Row:
    return Row(name, measured["top1"], measured["top5"], measured["bytes"], measured["host_ms"]["median"], device)


def _device_result(model: ModelReport) -> str:
    return f"{agreement(model)}; top-1 {100 * model.accuracy.device_top1:.1f} %"
