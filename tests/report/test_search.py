"""What summary, table and page say of a search."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from helpers.device_reports import report
from qatflow.report.on_device import on_device
from qatflow.report.pages.page import Extras, page
from qatflow.report.search_picture import search_picture
from qatflow.report.summary import Summary
from qatflow.report.table import text
from qatflow.search.candidate import Candidate, Outcome, Size
from qatflow.search.result import SearchResult, read_result, search_result, write_result

REWARDS = (0.5, 0.75, 0.75, 0.25, *[0.1] * 10)


def search(latency: float | None = None, about: dict[str, Any] | None = None) -> SearchResult:
    outcomes = [
        Outcome(
            Candidate(
                n,
                (n, 2),
                Size(1_000_000 - 1000 * n, 50_000 - n, latency and latency + n, "ms" if latency else None),
                about or {"ratios": {"a": 0.1}},
            ),
            reward,
            reward,
        )
        for n, reward in enumerate(REWARDS, 1)
    ]
    return search_result("AutoPruneStrategy", "acc_top1", Size(2_000_000, 100_000), outcomes)


def cells(table: str) -> list[list[str]]:
    """The texts of a table's rows."""
    rows = table.split("<tbody")[1].split("</tr>")
    return [re.findall(r"<td[^>]*><span>([^<]*)</span>", row) for row in rows if "<td" in row]


def told(found: SearchResult | None) -> Summary:
    return Summary("e", 360, (), (), (on_device(report(), "Output dim: 10\n"),), search=found)


def test_the_first_of_equal_ones_is_the_best_and_the_file_keeps_all(tmp_path: Path):
    found = search()
    assert found.best.candidate.number == 2
    write_result(found, tmp_path / "best.json")
    assert read_result(tmp_path / "best.json") == found
    assert len(json.loads((tmp_path / "best.json").read_text())["outcomes"]) == len(REWARDS)


def test_table_and_page_have_the_best_and_those_that_did_well(tmp_path: Path):
    found = search()
    (line,) = [line for line in text(told(found)).splitlines() if line.startswith("AutoPruneStrategy")]
    assert "tried 14 candidates: the best is number 2, acc_top1 on the validation pictures 75.00 % (50.00 % for" in line
    assert "multiply-adds 2 M → 0.998 M (−50.1 %)" in line and "latency" not in line
    search_picture(found, tmp_path / "search.svg")
    shown = page(told(found), [report()], Extras(pictures={"Candidates of the search": tmp_path / "search.svg"}))
    table = shown[shown.index('<h3 id="search">Search</h3>') :]
    rows = cells(table[: table.index("</table>")])
    assert [row[:2] for row in rows[:4]] == [["2", "75.00"], ["3", "75.00"], ["1", "50.00"], ["4", "25.00"]]
    assert len(rows) == 10 and rows[0][2:] == ["998,000", "49,998", "2 2"]
    assert "<h3>Candidates of the search</h3>" in shown and "best so far" in shown


def test_a_latency_that_is_known_is_told(tmp_path: Path):
    found = search(latency=1.5)
    assert text(told(found)).count("3.5 ms by the latency table") == 1
    assert ">latency, ms</th>" in page(told(found), [report()])
    for name, one in (("with", found), ("without", search())):
        search_picture(one, tmp_path / name)
    drawn = [(tmp_path / name).read_text().count("latency by the table, ms") for name in ("with", "without")]
    assert drawn == [1, 0]
    search_picture(replace(found), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "with").read_bytes()


def test_without_a_search_nothing_is_said_of_it():
    assert "search" not in text(told(None)).lower()
    assert 'id="search"' not in page(told(None), [report()])


def test_the_network_found_is_told_in_words_and_its_latency_beside_the_measured_one():
    found = search(latency=1.5, about={"channels": {"conv/kernel": 6}, "windows": {"dw/depthwise_kernel": 5}})
    lines = text(told(found)).splitlines()
    assert "the network found: conv 6 channels, dw 5 × 5" in lines
    median = report().models.int8.timing[0].median_ms
    (line,) = [line for line in lines if line.startswith("its latency")]
    share = 100 * (3.5 / median - 1)
    assert line == f"its latency by the table 3.5 ms, measured on {report().device.name} {median:.6g} ({share:+.1f} %)"
    assert "<p>the network found: conv 6 channels, dw 5 × 5.</p>" in page(told(found), [report()])
    assert "the network found" not in text(told(search()))
