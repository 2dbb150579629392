"""The comparison in a browser: sorting, filtering, another baseline, narrow, dark, on paper, by its program's files."""

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

from helpers.report_files import results
from helpers.scripts import load_script
from qatflow.base.files import write_text
from qatflow.base.right_answers import packed
from qatflow.report.comparison import Difference, Line, difference
from qatflow.report.curves import Curve, Epoch
from qatflow.report.pages.comparison_page import Comparison, page

WIDE, NARROW = 1400, 420
NAMES = ("base", "quantised_after_training", "wide", "narrow", "seed_2", "four_bits", "three_bits", "slow")
RIGHT = (940, 900, 965, 880, 942, 936, 890, 941)
PICTURES = 1000


def several(number: int) -> Comparison:
    """Return experiments of a phone, with curves, of which the last is too slow; all tested on the same pictures."""
    rng = np.random.default_rng(3)
    evaluations, lines = [], []
    for at, (name, right) in enumerate(zip(NAMES[:number], RIGHT, strict=False)):
        answers = rng.permutation(np.arange(PICTURES) < right)
        evaluations.append(
            {"test_pictures": "same", "models": {"qat": {"pictures": PICTURES, "right": packed(answers)}}}
        )
        lines.append(
            Line(
                experiment=name, shipped="ptq" if at == 1 else "qat", test_pictures=PICTURES, float_top1=95.0,
                top1=right / 10, top1_low=right / 10 - 1.5, top1_high=right / 10 + 1.2, drop=0.4, drop_low=-0.2,
                drop_high=1.0, bytes=200_000 + 50_000 * at, host_ms=0.5 + 0.01 * at, device="phone",
                device_ms=4.0 + at, device_memory_bytes=(20 + at) * 10**6, instructions=None, training_s=60.0,
                 passed=at < 7, reason="too slow" * (at >= 7),
            )
        )  # fmt: skip
    pairs = permutations(range(len(lines)), 2)
    known: dict[tuple[str, str], Difference] = {
        (NAMES[a], NAMES[b]): difference(evaluations[a], "qat", evaluations[b], "qat") for a, b in pairs
    }
    epochs = tuple(Epoch(n, "int8", 0.1, 1 / (n + 1), 0.5 + 0.1 * n, 1 / (n + 1), 0.5 + 0.1 * n) for n in range(4))
    return Comparison(lines, known, {line.experiment: (Curve("int8", epochs, 3),) for line in lines})


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """A function that opens the page of so many experiments."""
    folder, shown = tmp_path_factory.mktemp("pages"), {}

    def open_page(number: int, width: int = WIDE, scheme: str = "light") -> Page:
        if (number, scheme) not in shown:
            write_text(folder / f"{number}.html", page(several(number)))
            shown[number, scheme] = browser.new_page(color_scheme=scheme)
            shown[number, scheme].on("pageerror", lambda error: pytest.fail(str(error)))
            shown[number, scheme].goto((folder / f"{number}.html").as_uri())
        shown[number, scheme].set_viewport_size({"width": width, "height": 900})
        return shown[number, scheme]

    return open_page


def column(page: Page, name: str) -> list[str]:
    return page.locator(f"td[data-name='{name}']:visible > span:first-child").all_inner_texts()


AGAINST = "against the baseline, points"


def test_rows_sort_are_chosen_and_found_by_words(opened):
    page = opened(8)
    assert column(page, "experiment") == list(NAMES)
    head = page.locator("th", has_text="top-1")
    head.locator("button").first.click()
    assert [float(text) for text in column(page, "top-1, %")] == sorted(right / 10 for right in RIGHT)
    page.select_option(".chooser >> nth=0", "ptq")
    assert column(page, "experiment") == ["quantised_after_training"]
    assert page.locator("#shown").inner_text() == "1 of 8 rows"
    page.select_option(".chooser >> nth=0", "")
    page.fill("#words", "bits QAT")
    assert set(column(page, "experiment")) == {"four_bits", "three_bits"}
    page.fill("#words", "")
    assert len(column(page, "experiment")) == 8
    page.select_option(".chooser >> nth=1", "closed")
    assert column(page, "experiment") == ["slow"]
    page.select_option(".chooser >> nth=1", "")
    page.select_option("#cost-column", label="memory, bytes")
    page.fill("#most", "21000000")
    assert set(column(page, "experiment")) == set(NAMES[:2])
    page.fill("#most", "")
    assert "slow: too slow" in page.locator(".warning").inner_text()


def test_another_baseline_changes_differences_intervals_colours_and_multiples(opened):
    page, comparison = opened(8), several(8)
    for baseline in ("wide", "base"):
        page.select_option("#baseline", baseline)
        for row in page.locator("tbody tr").all():
            name = row.locator("td >> nth=0").inner_text()
            cell = row.locator(f"td[data-name='{AGAINST}']")
            size = row.locator("td[data-name='bytes']").inner_text().split("\n")
            if name == baseline:
                assert cell.inner_text() == "baseline" and len(size) == 1
                continue
            one = comparison.differences[name, baseline]
            first, second = cell.inner_text().replace("−", "-").split("\n")
            ends = [float(end) for end in second.split(" … ")]
            assert float(first) == pytest.approx(one.points, abs=0.005)
            assert ends == pytest.approx([one.low, one.high], abs=0.005)
            kinds = {1: "better", -1: "worse", 0: ""}
            assert cell.locator("span").first.get_attribute("class") in (kinds[one.sign], None)
            sizes = {line.experiment: line.bytes for line in comparison.lines}
            assert size[1] == f"{sizes[name] / sizes[baseline]:.2f}×"


@pytest.mark.parametrize("number", [2, 8])
def test_nothing_is_cut_off_and_names_do_not_overlap(opened, number):
    for width in (WIDE, NARROW):
        page = opened(number, width)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for panel in page.locator(".pareto").all():
            names = [one.bounding_box() for one in panel.locator(".halo").all()]
            assert len(names) == number
            frame = panel.bounding_box()
            for at, a in enumerate(names):
                assert a["x"] >= frame["x"] and a["x"] + a["width"] <= frame["x"] + frame["width"] + 1
                for b in names[:at]:
                    apart = (
                        a["x"] + a["width"] <= b["x"] + 1 or b["x"] + b["width"] <= a["x"] + 1
                        or a["y"] + a["height"] <= b["y"] + 3 or b["y"] + b["height"] <= a["y"] + 3
                    )  # fmt: skip
                    assert apart, "names overlap"
    assert page.locator(".compared .chart").count() == 2 * number


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
def test_axe_has_nothing_to_say(opened, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(opened(8, width, scheme)).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found] == []


def test_on_paper_there_is_the_table_without_controls(opened):
    page = opened(2)
    page.emulate_media(media="print")
    assert not page.locator(".controls").is_visible() and page.locator("tbody tr").count() == 2
    page.emulate_media(media="screen")


def test_the_program_writes_table_picture_and_a_page_whose_links_lead_to_the_reports(tmp_path: Path, browser):
    """By the files of real summaries: the curves of each, and paired intervals, since the pictures are the same."""
    folders = [results(tmp_path, name) for name in ("one", "other")]
    for folder in folders:
        write_text(folder / "report/report.html", "<h1>a report</h1>")
    options = [word for one in folders for word in ("--experiment", str(one), "shipped=qat")]
    load_script("compare").main([*options, "--output", str(tmp_path / "results/comparison")])
    assert (
        (tmp_path / "results/comparison/pareto.svg").read_text().startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    )
    page = browser.new_page()
    page.goto((tmp_path / "results/comparison/comparison.html").as_uri())
    assert page.locator(".compared .chart").count() == 4
    against = json.loads(page.locator("#compared").text_content())["against"]["one"]["other"]
    assert (against["text"], against["sign"]) == ("0.00", 0) and "other pictures" not in against["second"]
    page.locator("tbody a").nth(1).click()
    assert page.locator("h1").inner_text() == "a report"
