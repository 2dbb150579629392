"""Several experiments side by side: intervals, the unbeaten ones, the files."""

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from helpers.device_reports import report
from qatflow.base.files import write_json
from qatflow.base.metrics import wilson
from qatflow.device.results.report import write_report
from qatflow.report.comparison import Line, as_csv, lines, pareto
from qatflow.report.comparison_page import HEAD, page, panels, pareto_picture, text

LINE = Line(
    experiment="base", shipped="qat", test_pictures=360, float_top1=97.5, top1=96.25, top1_low=93.7, top1_high=97.8,
    drop=-0.5, drop_low=-1.25, drop_high=0.25, bytes=283_472, host_ms=0.0304, device="emulator", device_ms=None,
    instructions=497_650, training_s=58.9, passed=True, reason="",
)  # fmt: skip


@pytest.mark.parametrize(("right", "count"), [(0, 10), (10, 10), (7, 10), (346, 360), (9151, 10_000), (1, 1)])
def test_the_interval_of_a_share_is_wilsons(right, count):
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson(right, count) == pytest.approx((expected.low, expected.high), abs=2e-5)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_unbeaten_are_those_that_no_other_beats(points):
    lines = [replace(LINE, experiment=str(i), bytes=cost, top1=top1) for i, (cost, top1) in enumerate(points)]
    best = {
        (a, top1)
        for a, top1 in points
        if not any((b <= a and other >= top1 and (b, other) != (a, top1)) for b, other in points)
    }
    front = pareto(lines, "bytes")
    assert [(line.bytes, line.top1) for line in front] == sorted(best)


def test_the_csv_has_every_figure_as_it_is_and_a_gap_where_there_is_none():
    lines = [LINE, replace(LINE, experiment="ptq", shipped="ptq", training_s=None, device_ms=1.5)]
    rows = list(csv.DictReader(io.StringIO(as_csv(lines))))
    assert [row["experiment"] for row in rows] == ["base", "ptq"]
    assert [(row["device_ms"], row["training_s"], row["bytes"]) for row in rows] == [
        ("", "58.9", "283472"),
        ("1.5", "", "283472"),
    ]
    assert float(rows[0]["drop"]) == -0.5


def test_the_table_has_a_line_an_experiment_with_its_intervals():
    head, rule, first, second = text([LINE, replace(LINE, experiment="longer_name", device_ms=2.25)]).splitlines()
    assert re.split(r"  +", head) == list(HEAD)
    assert set(rule) == {"-", " "}
    assert re.split(r"  +", first) == [
        "base", "qat", "97.50", "96.25", "93.70 … 97.80", "-0.50", "-1.25 … 0.25", "283,472", "0.030", "497,650", "59",
        "open", "emulator",
    ]  # fmt: skip
    assert "2.250" in second


def words(lines: list[Line]) -> list[str]:
    return [panel.words for panel in panels(lines)]


def test_a_picture_has_a_panel_for_each_cost_and_each_device_that_tells_its_time(tmp_path):
    emulated = [LINE, replace(LINE, experiment="other", bytes=100, top1=90.0, top1_low=88.0, top1_high=91.0)]
    host = ["bytes of the .tflite file", "host latency, ms"]
    assert words(emulated) == host
    real = [replace(line, device="phone", device_ms=time) for line, time in zip(emulated, (3.0, 2.0), strict=True)]
    assert words(real) == [*host, "latency on phone, ms"]
    for shown in (emulated, real, [LINE]):
        pareto_picture(shown, tmp_path / "pareto.svg")
        svg = (tmp_path / "pareto.svg").read_text()
        assert len(re.findall(r'id="axes_\d+"', svg)) == len(panels(shown))
        before = svg
        pareto_picture(shown, tmp_path / "pareto.svg")
        assert (tmp_path / "pareto.svg").read_text() == before


def test_each_device_has_a_line_of_its_own_and_a_panel_and_counts_its_experiment_once(tmp_path):
    lines = [
        replace(LINE, experiment=name, device=device, device_ms=time)
        for name, times in (("base", (3.0, 9.0, None)), ("small", (2.0, 5.0, None)), ("late", (None, 4.0, None)))
        for device, time in zip(("phone", "board", "emulator"), times, strict=True)
        if name != "late" or device == "board"
    ]
    bytes_, host, phone, board = panels(lines)
    assert [line.experiment for line in bytes_.lines] == [line.experiment for line in host.lines]
    assert [line.experiment for line in host.lines] == ["base", "small", "late"]
    assert (phone.words, [line.device_ms for line in phone.lines]) == ("latency on phone, ms", [3.0, 2.0])
    assert (board.words, [line.device_ms for line in board.lines]) == ("latency on board, ms", [9.0, 5.0, 4.0])
    pareto_picture(lines, tmp_path / "pareto.svg")
    html = page(lines, tmp_path / "pareto.svg")
    assert "<h1>3 experiments</h1>" in html and html.count("<tr>") == 1 + len(lines)
    assert len(text(lines).splitlines()) == 2 + len(lines)
    rows = list(csv.DictReader(io.StringIO(as_csv(lines))))
    assert [(row["experiment"], row["device"], row["device_ms"]) for row in rows][:4] == [
        ("base", "phone", "3.0"), ("base", "board", "9.0"), ("base", "emulator", ""), ("small", "phone", "2.0"),
    ]  # fmt: skip


def test_many_experiments_are_named_only_where_unbeaten(tmp_path):
    lines = [
        replace(LINE, experiment=f"e{i}", bytes=100 + i, top1=90.0 - i, top1_low=10.0, top1_high=99.0, host_ms=1.0 + i)
        for i in range(20)
    ]
    pareto_picture(lines, tmp_path / "pareto.svg")
    named = set(re.findall(r"<!-- (e\d+) -->", (tmp_path / "pareto.svg").read_text()))
    assert named == {"e0"}


def test_the_page_holds_the_table_the_picture_and_a_link_to_each_report(tmp_path):
    lines = [LINE, replace(LINE, experiment="other")]
    pareto_picture(lines, tmp_path / "pareto.svg")
    html = page(lines, tmp_path / "pareto.svg")
    assert "2 experiments" in html
    assert html.count("<svg") == 1
    assert re.findall(r'href="([^"]+)"', html.split("<svg")[0]) == [
        "../base/report/report.html",
        "../other/report/report.html",
    ]
    assert "93.70 … 97.80" in html


CLOSED = replace(LINE, experiment="bad", device="", instructions=None, passed=False, reason="the gate is closed: <why>")


def test_one_whose_gate_is_closed_is_marked_and_its_reason_stands_below(tmp_path):
    late = replace(LINE, device="phone", device_ms=4.0, passed=False, reason="too slow")
    *table, gap, first, second = text([CLOSED, late]).splitlines()
    rows = [dict(zip(re.split(r"  +", table[0]), re.split(r"  +", row), strict=False)) for row in table[2:]]
    assert (rows[0]["experiment"], "closed" in table[2], "closed" in table[3]) == ("bad", True, True)
    assert (gap, first, second) == ("", "bad: the gate is closed: <why>", "base: too slow")
    pareto_picture([CLOSED, late], tmp_path / "pareto.svg")
    html = page([CLOSED, late], tmp_path / "pareto.svg")
    assert html.count('<tr class="closed">') == 2 and "bad: the gate is closed: &lt;why&gt;" in html
    assert "../bad/report/report.html" in html and "../base/report/report.html" in html
    rows = list(csv.DictReader(io.StringIO(as_csv([CLOSED, LINE]))))
    assert [(row["passed"], row["reason"], row["device"]) for row in rows] == [
        ("False", "the gate is closed: <why>", ""),
        ("True", "", "emulator"),
    ]


def test_an_open_gate_that_could_not_decide_says_so():
    assert re.split(r"  +", text([replace(LINE, undecided=True)]).splitlines()[2])[-2:] == ["undecided", "emulator"]


def measured(folder: Path, passed: bool, **latency: bool) -> Path:
    """Write what the stages leave of an experiment: its figures, its gate, and of devices by whether theirs is open."""
    figures = {"pictures": 360, "top1": 0.5, "bytes": 1000, "host_ms": {"median": 0.25}}
    write_json(folder / "evaluation.json", {"models": {"float": figures, "ptq": figures}})
    reason = None if passed else "the accuracy gate is closed: why"
    write_json(
        folder / "gate.json", {"passed": passed, "outcome": "undecided", "reason": reason, "against_float": None}
    )
    for name, opened in latency.items():
        write_report(folder / "device" / name / "report.json", report(int8_ms=(4.0, 2.0, 2.0)))
        found = {"passed": opened, "reason": None if opened else "the latency gate is closed: why"}
        write_json(folder / "device" / name / "latency_gate.json", found)
    return folder


def test_lines_have_the_gate_of_their_device_and_a_closed_one_has_no_figures_of_devices(tmp_path):
    found = list(lines(measured(tmp_path / "a", True, phone=True, board=False), "ptq", ["phone", "board"], None))
    assert [(one.device, one.device_ms, one.passed, one.reason) for one in found] == [
        ("phone", 4.0, True, ""),
        ("board", 4.0, False, "the latency gate is closed: why"),
    ]
    # those of an earlier run are not its own
    (only,) = lines(measured(tmp_path / "b", False, phone=True), "ptq", [], None)
    assert (only.experiment, only.top1, only.bytes, only.device, only.device_ms, only.instructions) == (
        "b", 50.0, 1000, "", None, None,
    )  # fmt: skip
    assert (only.passed, only.reason) == (False, "the accuracy gate is closed: why")
