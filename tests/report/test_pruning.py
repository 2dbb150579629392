"""What summary, table and page say of filter pruning, of a manifest.json with two steps."""

import json
import re
from pathlib import Path

import pytest

from helpers.chain import chain
from helpers.device_reports import report
from qatflow.pruning.candidates import candidates
from qatflow.pruning.record import pruning_record
from qatflow.report.on_device import on_device
from qatflow.report.pages.page import Extras, page
from qatflow.report.pruning import read_pruning, whole
from qatflow.report.pruning_picture import sensitivity_pictures
from qatflow.report.summary import Summary
from qatflow.report.table import text


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    graph, steps = chain(), []
    for epoch, ratio in ((1, 0.25), (3, 0.5)):
        found = candidates(graph, "b/", {"*": "l1_norm"})
        thinner = found.thin({"b/kernel": ratio})
        of_step = {"epoch": epoch, "metric": "acc_top1", "metric_before": 0.9, "metric_after": 0.625}
        sensitivities = {
            "b/kernel": {"pruned_percent": [0.3, 0.6], "loss": [0.0123, 0.4567]},
            "given/kernel": {"pruned_percent": [0.1], "loss": [0.0789]},
        }
        report_ = pruning_record(found, {"b/kernel": ratio}, thinner).to_json()
        steps.append({**of_step, "sensitivities": sensitivities if epoch == 1 else {}, **report_})
        graph = thinner
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"pruning": steps}))
    return path


def test_the_table_has_a_line_a_step_and_the_page_each_layer_before_and_after_all(manifest: Path, tmp_path: Path):
    before = chain().weights["b/kernel"].shape
    assert before[-1] == 40
    steps = read_pruning(manifest)
    summary = Summary("e", 360, (), (), (on_device(report(), "Output dim: 10\n"),), steps)
    lines = [line for line in text(summary).splitlines() if line.startswith("pruned before epoch ")]
    assert [line.split(":")[0] for line in lines] == ["pruned before epoch 1", "pruned before epoch 3"]
    for line, step in zip(lines, steps, strict=True):
        gone = 100 * (1 - step.after.multiply_adds / step.before.multiply_adds)
        assert f"(−{gone:.1f} %)" in line
        assert line.endswith("acc_top1 on the validation pictures 90.00 → 62.50 %, before training")
    shown = re.sub(r"\s+", " ", page(summary, [report()], Extras(pictures=sensitivity_pictures(steps, tmp_path))))
    assert '<h3 id="pruning">Filter pruning</h3>' in shown
    row = next(row for row in shown.split("<tr") if "<span>b</span>" in row)
    assert re.findall(r"<span>(\d+)</span>", row)[:2] == ["40", "15"], (
        "40, 30 after the first step, 15 after the second"
    )
    (layer,) = [one for one in whole(steps) if one.layer == "b"]
    assert (layer.before, layer.after) == (steps[0].layers[1].before, steps[1].layers[1].after)
    titles = re.findall(r"<h3>(Sens.+?)</h3>", shown)
    assert titles == ["Sensitivities before epoch 1", "Sensitivities before epoch 1, given (1)"]
    assert "<!-- 45.7 -->" in shown and "<!-- 7.9 -->" in shown


def test_without_pruning_nothing_is_said_of_it(tmp_path: Path):
    (tmp_path / "manifest.json").write_text('{"pruning": []}')
    summary = Summary(
        "e", 360, (), (), (on_device(report(), "Output dim: 10\n"),), read_pruning(tmp_path / "manifest.json")
    )
    assert "pruned" not in text(summary) and whole(summary.pruning) == ()
    assert "pruning" not in page(summary, [report()]).lower()
