"""Without labels every figure of report, card, comparison and history is called agreement with float, none accuracy."""

import csv
import json
import platform
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml

from helpers.report_files import report_files
from helpers.scripts import load_script
from qatflow.base.errors import UserError
from qatflow.base.measure import AGREEMENT
from qatflow.base.metrics import paired_drop, wilson
from qatflow.base.right_answers import unpacked
from qatflow.base.sums import read_sealed, write_sealed
from qatflow.config.sections.config import Config
from qatflow.config.written import as_written, config_yaml
from qatflow.device.results.report import DeviceAccuracy, read_report
from qatflow.device.results.report import write_report as write_device_report
from qatflow.report.diff.results import read_pair
from qatflow.report.pages.write import write_report
from qatflow.report.summary import summarise
from qatflow.report.summary_schema import json_schema
from qatflow.training.history import EpochFigures, write_csv

ACCURACY = re.compile(
    r"top.?[15]\b|accura(?!cy[.](max_drop|worse_than_ptq)|cy is known)|\bright\b|wrong", re.IGNORECASE
)
"""What may not be said of pictures without labels; names of settings may, and that no accuracy is known."""
RECIPE = {"version": 1.0, "strategies": {"q": {"class": "QuantizationStrategy", "weight_bits": 8}}}


def without_labels(folder: Path) -> Path:
    """Write the files of `report_files` as they are without labels: all that agrees with float was right there."""
    sources = report_files(folder)
    results = sources.evaluation.parent
    content = read_sealed(sources.evaluation) | {"measure": "float_agreement"}
    for name, one in content["models"].items():
        del one["top1"], one["top5"]
        if name != "float":
            agrees = unpacked(one["right"], one["pictures"])
            drop = paired_drop(np.ones_like(agrees), agrees, np.ones_like(agrees))
            one |= AGREEMENT.figures(one["pictures"], float(agrees.mean()), 1.0)
            one["against_float"] = drop.figures(AGREEMENT)
    content["pictures"] = [shown for shown in content["pictures"] if shown["kind"] == "lost"]
    content["fake_quant"] = AGREEMENT.figures(300, 0.5, 1.0)
    write_sealed(sources.evaluation, content)
    loss = content["models"]["qat"]["against_float"]
    gate = read_sealed(sources.gate) | {"measure": "float_agreement", "against_float": loss, "against_ptq": loss}
    gate["said"] = [paired_drop(np.ones(4), np.arange(4) > 0, np.ones(4)).text(measure=AGREEMENT)]
    gate["comparisons"] = [one | loss for one in gate["comparisons"]]
    write_sealed(sources.gate, gate)
    assert sources.layers is not None
    layers = read_sealed(sources.layers)
    layers["sensitivities"]["float_top1"] = None
    write_sealed(sources.layers, layers)
    widths = read_sealed(results / "widths.json")
    widths["choice"]["float_top1"] = None
    write_sealed(results / "widths.json", widths)
    history = [EpochFigures(n, "int8", 0.1, 1.0, 0.25 + 0.1 * n, 1.0, 1.0, 0.5, 1.0) for n in range(3)]
    write_csv(history, sources.histories["int8"], AGREEMENT)
    write_sealed(results / "trained/manifest.json", {"exported_epoch": 2, "pruning": []}, files=["history.csv"])
    pretrained = sources.histories["float"]
    write_csv([], pretrained)
    write_sealed(pretrained.parent / "manifest.json", {"said": []}, files=["history.csv"])
    (path,) = sources.devices
    report = read_report(path)
    none = DeviceAccuracy("validation", 20, None, None, None, None)
    both = {
        "float": replace(report.models.float, accuracy=none),
        "int8": replace(report.models.int8, accuracy=replace(none, device_float_agreement=0.9)),
    }
    write_device_report(path, replace(report, models=replace(report.models, **both)))
    write_sealed(path.with_name("device_gate.json"), {"passed": True, "reason": None})
    summary = summarise(sources, results / "summary.json")
    write_report(summary, sources, results / "summary.json", results / "report", compared=True)
    values = as_written(Config(experiment="e"))
    (results / "config.yaml").write_text(config_yaml(values))
    (results / "compress.yaml").write_text(yaml.safe_dump(RECIPE))
    return results


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Path:
    return without_labels(tmp_path_factory.mktemp("unlabelled"))


@pytest.fixture(scope="module")
def agreement(experiment) -> float:
    """How often int8 answers as float does: from the bits of the pictures."""
    (one,) = [one for name, one in read_sealed(experiment / "evaluation.json")["models"].items() if name == "qat"]
    return float(unpacked(one["right"], one["pictures"]).mean())


def shown(page: str) -> str:
    """The words of a page, without its styles, scripts and tags."""
    page = re.sub(r"<(style|script)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"<[^>]*>", " ", page)


def assert_no_accuracy(text: str) -> None:
    assert [match.group() for match in ACCURACY.finditer(text)] == [] and "agreement with float" in text.lower()


def test_page_and_table_speak_of_agreement_alone(experiment, agreement):
    page, table = (experiment / "report" / name for name in ("report.html", "summary.txt"))
    for text in (shown(page.read_text()), table.read_text(), (experiment / "report/learning_curves.svg").read_text()):
        assert_no_accuracy(text)
    low, high = wilson(round(300 * agreement), 300)
    figure = f"{100 * agreement:.1f} % agreement with float (95 %: {100 * low:.1f} … {100 * high:.1f})"
    assert f"int8 ships: 3.4× smaller, 2.0× faster on phone, {figure}." in shown(page.read_text()), "the verdict"
    rows = [line.split() for line in table.read_text().splitlines() if line.startswith(("float ", "QAT int8 "))]
    assert [f"{100 * agreement:.2f}" in row for row in rows] == [False, True]
    assert "100.00" not in table.read_text() and "no accuracy is known" in table.read_text()


def test_summary_and_page_name_the_processor_and_python(experiment):
    record = read_sealed(experiment / "summary.json")["provenance"]
    assert (record["python"], record["processor"]["machine"]) == (platform.python_version(), platform.machine())
    words = Path("/proc/cpuinfo").read_text().split()
    features = record["processor"]["features"]
    assert features and set(features) <= set(words)
    text = re.sub(r"\s+", " ", shown((experiment / "report/report.html").read_text()))
    assert f"Python {platform.python_version()}. Processor: " in text
    assert f"({', '.join([platform.machine(), *features])})" in text


def test_summary_and_history_have_no_top1(experiment, agreement):
    content = json.loads((experiment / "summary.json").read_text())
    assert [e.message for e in jsonschema.Draft202012Validator(json_schema()).iter_errors(content)] == []
    assert content["measure"] == "float_agreement" and list(filled_top1(content)) == []
    rows = {row["model"]: row["float_agreement"] for row in content["rows"]}
    assert rows == {"float": None, "PTQ int8": rows["PTQ int8"], "fake-quantised": 0.5, "QAT int8": agreement}
    with (experiment / "trained/history.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["train_float_agreement"]) for line in lines] == [0.25, 0.35, 0.45]
    assert not any("top" in name for name in lines[0])


def filled_top1(value: Any) -> Any:
    """Yield the keys named after top-1 or top-5 that have a value."""
    if isinstance(value, dict):
        yield from (key for key, inner in value.items() if re.search("top[15]", key) and inner is not None)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from filled_top1(inner)


def test_card_and_comparison_say_it_too(experiment, agreement, tmp_path):
    card = tmp_path / "MODEL_CARD.md"
    files = {"summary": "summary.json", "evaluation": "evaluation.json", "config": "config.yaml"}
    options = [word for name, file in files.items() for word in (f"--{name}", str(experiment / file))]
    options += ["--recipe", str(experiment / "compress.yaml"), "--model", str(experiment / "e_opt/model.tflite")]
    load_script("model_card").main([*options, "--output", str(card)])
    assert_no_accuracy(card.read_text().replace("How often it is right is not known", ""))
    (row,) = (line for line in card.read_text().splitlines() if line.startswith("| this model"))
    assert row.split("|")[2].strip() == f"{100 * agreement:.2f}"
    compared = tmp_path / "comparison"
    compared.mkdir()
    load_script("compare").main(
        ["--experiment", str(experiment), "shipped=qat", "devices=phone", "--output", str(compared)]
    )
    assert_no_accuracy(shown((compared / "comparison.html").read_text()).replace("A model with a closed accuracy", ""))
    assert_no_accuracy((compared / "comparison.txt").read_text())
    assert_no_accuracy((compared / "pareto.svg").read_text())
    with (compared / "comparison.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert float(line["float_agreement"]) == 100 * agreement and not any("top1" in name for name in line)


def test_it_is_not_compared_with_an_accuracy(experiment, tmp_path):
    labelled = report_files(tmp_path / "labelled")
    summarise(labelled, labelled.evaluation.with_name("summary.json"))
    with pytest.raises(UserError, match="has pictures without labels, so its figures are agreement with float"):
        read_pair(str(labelled.evaluation.parent), str(experiment))
