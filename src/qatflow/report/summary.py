"""summary.json: the figures of an experiment, gathered from what each stage wrote."""

from dataclasses import asdict, dataclass
from pathlib import Path

from qatflow import provenance
from qatflow.files import read_json, write_json

FORMAT = 1


@dataclass(frozen=True)
class Row:
    """One model in the table.

    Attributes:
        model: what it is.
        top1: share of the test pictures, 0…1.
        top5: the same for the five best classes.
        bytes: of the .tflite file; None where there is no file for the device.
        host_ms: median latency of one picture on the host, in ms.
        device: what the device run found, in words.
    """

    model: str
    top1: float
    top5: float
    bytes: int | None
    host_ms: float | None
    device: str


@dataclass(frozen=True)
class Summary:
    """The figures of an experiment.

    Attributes:
        experiment: its name.
        test_pictures: pictures the figures are of.
        rows: float, quantised after training where that was asked for, fake-quantised, and int8.
        gate: what the accuracy gate found on the validation pictures, in words.
        demo: what the demo printed on the device.
    """

    experiment: str
    test_pictures: int
    rows: tuple[Row, ...]
    gate: str
    demo: str


def summarise(experiment: str, evaluation: Path, gate: Path, device: Path, demo: Path, output: Path) -> Summary:
    """Gather the figures and write summary.json.

    Args:
        experiment: name of the experiment.
        evaluation: evaluation.json.
        gate: gate.json.
        device: report.json of the device run.
        demo: output.txt of the device run.
        output: file to write.
    """
    found = read_json(evaluation)
    models, fake_quant = found["models"], found["fake_quant"]
    rows = (
        _row("float", models["float"], ""),
        *([_row("PTQ int8", models["ptq"], "")] if "ptq" in models else []),
        Row("fake-quantised", fake_quant["top1"], fake_quant["top5"], None, None, ""),
        _row("QAT int8", models["int8"], _device_result(read_json(device))),
    )
    summary = Summary(
        experiment, models["int8"]["pictures"], rows, _gate(read_json(gate)), demo.read_text(encoding="utf-8")
    )
    made = provenance.record([evaluation, gate, device, demo], {})
    write_json(output, {"format_version": FORMAT, **asdict(summary), "provenance": made})
    return summary


def _gate(found: dict) -> str:
    return (
        f"int8 loses {found['points']:.2f} points of top-1 against float on {found['pictures']} validation pictures "
        f"(95 % interval {found['low']:.2f} to {found['high']:.2f})"
    )


def _row(name: str, measured: dict, device: str) -> Row:
    return Row(name, measured["top1"], measured["top5"], measured["bytes"], measured["host_ms"]["median"], device)


def _device_result(report: dict) -> str:
    agreement = report["agreement"]
    integers = agreement.get("integer_part")
    if agreement["bit_equal"] or (integers and integers["bit_equal"]):
        same = (
            "equal bits"
            if agreement["bit_equal"]
            else f"equal integers, softmax within {agreement['largest_difference']:.0e}"
        )
    else:
        same = f"within {agreement['largest_difference']:.1e}"
    accuracy = report["accuracy"]
    return f"{accuracy['pictures']} pictures, {same}; top-1 {100 * accuracy['device_top1']:.1f} %"
