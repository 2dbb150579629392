"""What table, page and summary.json say of a device run."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.device_reports import description, report
from helpers.report_files import report_files
from qatflow.device.results.report import DeviceReport, read_report, write_report
from qatflow.report.on_device import on_device
from qatflow.report.pages.page import page
from qatflow.report.slowest import slowest
from qatflow.report.summary import Sources, Summary, summarise
from qatflow.report.table import text

SLOWER = report((4.0, 2.0, 2.0), (4.5, 1.0, 1.0), device=description(features=("fp",)))


def summary(*found: DeviceReport) -> Summary:
    results = tuple(on_device(one, "Output dim: 10\n") for one in found)
    return Summary("e", 360, (), (), results, slowest=slowest(found, {}))


def lines(found: DeviceReport) -> list[list[str]]:
    """The lines of the device's table: name, float, int8, and the ratio where there is one."""
    printed = text(summary(found)).splitlines()
    start = next(number for number, line in enumerate(printed) if line.startswith("on the device "))
    table = printed[start + 2 :]
    return [re.split(r"  +", line) for line in table[: table.index("")]]


def on_page(found: DeviceReport) -> str:
    return re.sub(r"\s+", " ", page(summary(found), [found]))


def rows(shown: str) -> list[list[str]]:
    """The texts of the rows of all tables in a page."""
    return [re.findall(r"<td[^>]*><span>([^<]*)</span>", row) for row in shown.split("<tr")[1:] if "<td" in row]


def test_float_and_int8_stand_side_by_side_with_their_ratio() -> None:
    assert lines(report((8.0, 5.0, 3.0), (4.0, 2.0, 2.0))) == [
        ["top-1 %, 200 validation pictures", "90.00", "90.00"],
        ["top-5 %", "99.00", "99.00"],
        ["bytes", "4,000", "1,000", "4.00"],
        ["load, ms", "160.0", "80.0", "2.00"],
        ["first run, ms", "16.000", "8.000"],
        ["median, 1 thread, ms", "8.000", "4.000", "2.00"],
        ["median, 2 threads, ms", "5.000", "2.000", "2.50"],
        ["median, 4 threads, ms", "3.000", "2.000", "1.50"],
        ["peak memory, MB", "8.0", "4.0", "2.00"],
    ]


def test_emulated_figures_are_marked_and_have_no_ratio() -> None:
    found = report(device=description(emulated=True), instructions=(3_000_000, 1_000_000))
    for name, *values in lines(found):
        timed = re.search("ms|MB", name)
        assert bool(timed) == name.endswith("(emulated)")
        assert len(values) == 2 + (name in ("bytes", "instructions per picture"))
    assert ["instructions per picture", "3,000,000", "1,000,000", "3.00"] in lines(found)
    assert "times are emulated, not from a real device" in text(summary(found))
    shown = on_page(found)
    for words in ("Emulated: times and memory", "<h3>Times (emulated)</h3>", "<h3>Slowest operators (emulated)</h3>"):
        assert words in shown
    assert "mulated" not in on_page(report()).split("</style>")[1].split("<script")[0]


@pytest.mark.parametrize("shown", [text(summary(SLOWER)), on_page(SLOWER)], ids=["text", "page"])
def test_warnings_and_conditions_are_shown(shown: str) -> None:
    assert re.search("arning: int8 is not faster than float on phone: 4.5 ms against 4 ms with 1 thread", shown)
    assert "no dot-product instructions" in shown
    assert "cores 0 1: governor performance, 300 to 1800 MHz allowed, 2400 MHz the hardware" in shown
    assert "cpu-0-0: 41.5 °C before the timing, 48.2 °C after" in shown


def test_the_page_has_all_statistics_and_the_slowest_operators_of_both() -> None:
    shown = on_page(report((8.0, 5.0, 3.0), (4.0, 2.0, 2.0)))
    said = "200 pictures, equal integers, outputs within 2e-07; difference allowed: 1e-06 of a probability (as asked)"
    assert f"<li>int8 against the host: {said}</li>" in shown
    figures = [f"{value:.3f}" for value in (10.0, 4.5, 5.0, 5.0, 5.5, 6.0, 0.01)]
    assert ["float", "2", "10", *figures] in rows(shown)
    int8 = rows(shown.split("<p>int8: 3 operators</p>")[1])
    assert int8[0] == ["no. 2", "Fully Connected (NC, QS8, QC8W) GEMM", "9.600", "96.0"]
    assert [row[1].split()[0] for row in int8[:3]] == ["Fully", "Convert", "Softmax"]


def test_the_figures_are_kept_as_numbers() -> None:
    found = on_device(report((8.0, 5.0, 3.0), (4.0, 2.0, 2.0)), "")
    medians = [one for one in found.figures if one.name.startswith("median")]
    assert [(one.float_model, one.int8_model, one.ratio) for one in medians] == [(8, 4, 2), (5, 2, 2.5), (3, 2, 1.5)]


def test_several_devices_follow_one_another_each_with_its_name_and_figures() -> None:
    phone, board = report(int8_ms=(4.0, 2.0, 2.0)), report(int8_ms=(9.0, 5.0, 3.0))
    board = replace(board, device=replace(board.device, name="board"))
    printed = text(summary(phone, board))
    first, second = printed.split("\ndevice board (")
    assert "device phone (" in first
    for part, median in ((first, "4.000"), (second, "9.000")):
        assert re.search(rf"^median, 1 thread, ms .* {median} ", part, re.MULTILINE)
        assert part.count("Output dim: 10") == 1
    shown = page(summary(phone, board), [phone, board])
    first, second = shown.split("<h3>phone</h3>")[1].split("<h3>board</h3>")
    assert "<span>4.000<" in first and "<span>4.000<" not in second and "<span>9.000<" in second


def test_each_device_has_a_line_in_the_table_of_the_models(tmp_path: Path) -> None:
    one = report_files(tmp_path / "one", shipped="ptq")
    board = tmp_path / "board"
    board.mkdir()
    phone = read_report(one.devices[0])
    write_report(board / "report.json", replace(phone, device=replace(phone.device, name="board")))
    two = replace(
        one,
        devices=[*one.devices, board / "report.json"],
        demos=[*one.demos, *one.demos],
        limits=[*one.limits, *one.limits],
    )

    def table(sources: Sources) -> list[list[str]]:
        found = summarise(sources, tmp_path / "summary.json")
        kept = json.loads((tmp_path / "summary.json").read_text())
        assert [row["devices"] for row in kept["rows"]] == [list(row.devices) for row in found.rows]
        assert [device["name"] for device in kept["on_device"]] == ["phone", "board"][: len(sources.devices)]
        printed = text(found).splitlines()[4:]
        return [re.split(r"  +", line) for line in printed[: printed.index("")]]

    float_, ptq, _ = table(one)
    assert "pictures, " in float_[-1] and "phone" not in float_[-1]
    assert table(two) == [
        [*float_[:-1], f"phone: {float_[-1]}"],
        ["", f"board: {float_[-1]}"],
        [*ptq[:-1], f"phone: {ptq[-1]}"],
        ["", f"board: {ptq[-1]}"],
        ["QAT", "not trained"],
    ]


def test_top5_is_left_out_where_all_classes_are_among_the_five_best(tmp_path: Path) -> None:
    found = summarise(report_files(tmp_path / "e"), tmp_path / "summary.json")
    one = found.classes[0]
    for classes, shown in ((5, False), (6, True)):
        head = text(replace(found, classes=(one,) * classes)).splitlines()[2]
        assert ("top-5 %" in head) == shown


def test_where_the_accuracy_gate_is_closed_table_and_page_say_so(tmp_path: Path) -> None:
    reason = "the accuracy gate is closed: why"
    gate = {"said": ["int8 loses"], "passed": False, "reason": reason, "outcome": "closed"}
    found = summarise(report_files(tmp_path / "e", shipped="ptq", gate=gate), tmp_path / "summary.json")
    assert (found.outcome, found.on_device) == ("closed", ())
    assert found.gate == ("the float weights reach 97.00 %", "int8 loses", reason)
    told = "not run on the device: the gate before it is closed"
    assert [row.devices for row in found.rows] == [(), (told,), ("not trained",)]
    assert text(found).splitlines()[-3:] == ["int8 loses", reason, told]
    assert f'<p class="warning">{told.capitalize()}.</p>' in page(found, [])
