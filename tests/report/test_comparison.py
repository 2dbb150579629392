"""Several experiments side by side: intervals, the unbeaten ones, the files."""

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from helpers.device_reports import report
from qatflow.base.files import write_json
from qatflow.base.metrics import unpaired_interval, wilson
from qatflow.base.right_answers import packed, unpacked
from qatflow.device.results.report import write_report
from qatflow.report.comparison import Difference, Line, as_csv, by_more_than_noise, difference, lines, pareto
from qatflow.report.comparison_table import HEAD, text
from qatflow.report.drawing.labels import Box, place
from qatflow.report.drawing.pareto import panels, pareto_pictures

LINE = Line(
    experiment="base", shipped="qat", test_pictures=360, float_top1=97.5, top1=96.25, top1_low=93.7, top1_high=97.8,
    drop=-0.5, drop_low=-1.25, drop_high=0.25, bytes=283_472, host_ms=0.0304, device="emulator", device_ms=None,
    device_memory_bytes=None, instructions=497_650, training_s=58.9, passed=True, reason="",
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
    front = pareto(lines, "bytes", lambda line, other: line.top1 > other.top1)
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


def test_a_panel_for_each_cost_that_is_known_and_each_experiment_once_where_the_device_plays_no_part():
    lines = [
        replace(LINE, experiment=name, device=device, device_ms=time, instructions=None if time else 5000)
        for name, times in (("base", (3.0, 9.0, None)), ("small", (2.0, 5.0, None)), ("late", (None, 4.0, None)))
        for device, time in zip(("phone", "board", "emulator"), times, strict=True)
        if name != "late" or device == "board"
    ]
    bytes_, host, phone, board, emulator = panels(lines)
    assert words(lines) == [
        "size of the .tflite file", "latency on the host", "latency on phone", "latency on board",
        "instructions on emulator",
    ]  # fmt: skip
    assert (
        [line.experiment for line in bytes_.lines]
        == ["base", "small", "late"]
        == [line.experiment for line in host.lines]
    )
    assert [line.device_ms for line in phone.lines] == [3.0, 2.0]
    assert [line.device_ms for line in board.lines] == [9.0, 5.0, 4.0]
    assert (emulator.unit, bytes_.unit, phone.unit) == ((1e3, "thousand"), (1e3, "kB"), (1.0, "ms"))


def test_bits_come_back_as_they_were():
    right = np.random.default_rng(1).random(37) < 0.5
    assert (unpacked(packed(right), 37) == right).all() and len(packed(right)) == 8


def evaluated(right: list[int], pictures: str = "these") -> dict:
    """Return what evaluation.json says of a model `qat`."""
    measured = {"pictures": len(right), "top1": sum(right) / len(right), "right": packed(np.array(right))}
    return {"test_pictures": pictures, "models": {"qat": measured}}


def test_a_difference_is_paired_where_the_pictures_are_the_same():
    """Values of the published formulas, in NumPy: Agresti and Min 2005; Newcombe 1998, whose first example is below."""
    better, base = [1] * 80 + [0] * 20, [1] * 70 + [0] * 20 + [1] * 5 + [0] * 5
    one = difference(evaluated(better), "qat", evaluated(base), "qat")
    lost, won, count = 5, 10, 102
    middle = (won - lost) / count
    half = 1.96 * np.sqrt(won + lost + 1 - (won - lost) ** 2 / count) / count
    assert (one.points, one.paired, one.sign) == (5.0, True, 0)
    assert (one.low, one.high) == pytest.approx((100 * (middle - half), 100 * (middle + half)))
    turned = difference(evaluated(base), "qat", evaluated(better), "qat")
    assert (turned.points, turned.low, turned.high) == (-one.points, -one.high, -one.low)
    other = difference(evaluated(better), "qat", evaluated(base, "others"), "qat")
    assert (other.points, other.paired) == (pytest.approx(5.0), False)
    assert other.high - other.low > one.high - one.low
    assert unpaired_interval(56, 70, 48, 80) == pytest.approx((5.24, 33.39), abs=0.01)
    assert not difference({"models": evaluated(better)["models"]}, "qat", evaluated(base), "qat").paired


def known(lines: list[Line], noise: float) -> dict[tuple[str, str], Difference]:
    """Return the differences of experiments, each with the same noise, in points."""
    return {
        (one.experiment, other.experiment): Difference(
            one.top1 - other.top1, one.top1 - other.top1 - noise, one.top1 - other.top1 + noise, True
        )
        for one in lines
        for other in lines
        if one.experiment != other.experiment
    }


def test_the_front_climbs_only_where_the_gain_is_larger_than_the_noise():
    """Each is a little better than the one before: from the first on, only a gain of more than the noise counts."""
    lines = [replace(LINE, experiment=f"e{i}", bytes=100 + i, top1=90.0 + 0.4 * i) for i in range(6)]
    front = pareto(lines, "bytes", by_more_than_noise(known(lines, 1.0)))
    assert [line.experiment for line in front] == ["e0", "e3"]
    front = pareto(lines, "bytes", by_more_than_noise(known(lines, 5.0)))
    assert [line.experiment for line in front] == ["e0"]
    ((_, picture), *_) = pareto_pictures(lines, known(lines, 5.0))
    assert re.findall(r'class="front" d="M[\d. ]+H456\.0"', picture), "no step"


@given(st.lists(st.tuples(st.floats(60, 400), st.floats(30, 300)), min_size=1, max_size=14))
def test_names_overlap_neither_each_other_nor_a_point_and_stay_in_the_picture(points):
    frame = Box(46, 28, 456, 286)
    labels = place(points, [f"experiment_{n}" for n in range(len(points))], [], frame)
    boxes = [label.box for label in labels if label is not None]
    assert boxes
    for number, box in enumerate(boxes):
        assert box.within(frame) and not any(box.meets(other) for other in boxes[:number])
        assert not any(box.meets(Box(x - 5, y - 5, x + 5, y + 5)) for x, y in points)


def test_many_experiments_are_named_only_where_unbeaten():
    lines = [
        replace(LINE, experiment=f"e{i}", bytes=100 + i, top1=90.0 - i, top1_low=10.0, top1_high=99.0, host_ms=1.0 + i)
        for i in range(20)
    ]
    for _, picture in pareto_pictures(lines, known(lines, 0.1))[:2]:
        assert re.findall(r">(e\d+)</text>", picture) == ["e0"]


CLOSED = replace(LINE, experiment="bad", device="", instructions=None, passed=False, reason="the gate is closed: <why>")


def test_one_whose_gate_is_closed_is_marked_and_its_reason_stands_below():
    late = replace(LINE, device="phone", device_ms=4.0, passed=False, reason="too slow")
    *table, gap, first, second = text([CLOSED, late]).splitlines()
    rows = [dict(zip(re.split(r"  +", table[0]), re.split(r"  +", row), strict=False)) for row in table[2:]]
    assert (rows[0]["experiment"], "closed" in table[2], "closed" in table[3]) == ("bad", True, True)
    assert (gap, first, second) == ("", "bad: the gate is closed: <why>", "base: too slow")
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
    int8 = figures | {"quantised": {"weights": [8], "activations": [8]}}
    write_json(folder / "evaluation.json", {"models": {"float": figures, "ptq": int8}})
    reason = None if passed else "the accuracy gate is closed: why"
    write_json(
        folder / "gate.json", {"passed": passed, "outcome": "undecided", "reason": reason, "against_float": None}
    )
    for name, opened in latency.items():
        write_report(folder / "device" / name / "report.json", report(int8_ms=(4.0, 2.0, 2.0)))
        found = {"passed": opened, "reason": None if opened else "the device gate is closed: why"}
        write_json(folder / "device" / name / "device_gate.json", found)
    return folder


def test_lines_have_the_gate_of_their_device_and_a_closed_one_has_no_figures_of_devices(tmp_path):
    found = list(lines(measured(tmp_path / "a", True, phone=True, board=False), "ptq", ["phone", "board"], None))
    assert [(one.device, one.device_ms, one.device_memory_bytes, one.passed, one.reason) for one in found] == [
        ("phone", 4.0, 4_000_000, True, ""),
        ("board", 4.0, 4_000_000, False, "the device gate is closed: why"),
    ]
    # those of an earlier run are not its own
    (only,) = lines(measured(tmp_path / "b", False, phone=True), "ptq", [], None)
    assert (only.experiment, only.top1, only.bytes, only.device, only.device_ms, only.instructions) == (
        "b", 50.0, 1000, "", None, None,
    )  # fmt: skip
    assert (only.passed, only.reason) == (False, "the accuracy gate is closed: why")
