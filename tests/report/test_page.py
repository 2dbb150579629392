"""The report in a browser: the first screen, what can be clicked, narrow, dark, and for readers who do not see it."""

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.places import ROOT
from helpers.report_files import comparison, evaluation, report_files
from helpers.scripts import load_script
from qatflow.report.summary import Sources, Summary

WIDE, NARROW = 1400, 420
PAGES: dict[str, dict[str, Any]] = {
    "ten": {},
    "two": {"classes": 2, "each": 60},
    "thousand": {"classes": 1000, "each": 10},
    "ready": {"shipped": "ready"},
    "slow": {"max_latency_ms": 1.0},
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """The folder of each experiment's results; `closed` and `undecided` differ in the accuracy gate."""
    script, folders = load_script("report"), {}
    for name, settings in {**PAGES, "closed": {}, "undecided": {}}.items():
        folder = tmp_path_factory.mktemp(name)
        if name in ("closed", "undecided"):
            settings = {"gate": gate(name, evaluation(folder / "evaluation.json", 10, 30, "qat")["qat"])}
        results = folders[name] = folder / "results/e"
        script.main(arguments(report_files(folder, **settings), results))
    return folders


def gate(outcome: str, int8: dict[str, Any]) -> dict[str, Any]:
    """Return what differs in gate.json: a loss above the limit; or two comparisons that too few pictures decide."""
    drop, closes = int8["against_float"], outcome == "closed"
    values = {"verdict": "above" if closes else "undecided", "closes": closes, "more_pictures": None if closes else 700}
    compared = [comparison(key, drop, 1.0, **values) for key in ("max_drop", "worse_than_ptq")[: 2 - closes]]
    return {"outcome": outcome, "passed": not closes, "reason": "closed" if closes else None, "comparisons": compared}


def arguments(sources: Sources, results: Path) -> list[str]:
    """Return the program's arguments, as the rule gives them."""
    flags = {
        "experiment": sources.experiment, "shipped": sources.shipped, "evaluation": sources.evaluation,
        "gate": sources.gate, "model": sources.model, "data": sources.data, "layers": sources.layers,
        "devices": sources.devices, "demos": sources.demos, "device-limits": json.dumps(list(sources.limits)),
        "float-history": sources.histories.get("float"), "history": sources.histories.get("int8"),
        "pretrained": sources.pretrained, "trained": sources.trained, "stages": sources.stages,
        "widths": sources.widths,
        "summary": results / "summary.json", "output": results / "report",
    }  # fmt: skip
    listed = {name: value if isinstance(value, (list, tuple)) else [value] for name, value in flags.items() if value}
    return [word for name, values in listed.items() for word in (f"--{name}", *map(str, values))]


@pytest.fixture(scope="module")
def opened(browser, pages):
    """A function that opens an experiment's page, or shows it again; what it loads, and its errors, fail the test."""
    shown, strange = {}, []

    def open_page(name: str, width: int = WIDE, scheme: str = "light"):
        if (name, scheme) not in shown:
            page = shown[name, scheme] = browser.new_page(color_scheme=scheme)
            address = (pages[name] / "report/report.html").as_uri()
            own = (address, "data:")
            page.on("request", lambda request: None if request.url.startswith(own) else strange.append(request.url))
            page.on("pageerror", lambda error: strange.append(str(error)))
            page.goto(address)
        page = shown[name, scheme]
        page.set_viewport_size({"width": width, "height": 900})
        assert strange == []
        return page

    return open_page


def texts(page, selector: str) -> list[str]:
    return [" ".join(text.split()) for text in page.locator(selector).all_inner_texts()]


def column(page, table: str, name: str) -> list[str]:
    return page.locator(f"{table} td[data-name='{name}'] > span:first-child").all_inner_texts()


def test_the_first_screen_answers_before_it_explains(opened, pages):
    page = opened("ten")
    summary = json.loads((pages["ten"] / "summary.json").read_text())
    change = summary["verdict"]["sentence"].partition(", −")[2]
    assert texts(page, ".verdict.good") == [f"int8 ships: 3.4× smaller, 2.0× faster on phone, −{change}"]
    assert texts(page, ".tile .name") == ["top-1", "size", "latency", "device and host"]
    assert texts(page, ".tile .value")[1:] == ["320 kB", "4.000 ms", "same bits"]
    assert texts(page, ".gate.passed b") == ["accuracy against float", "accuracy against PTQ"]
    assert page.locator(".gate").last.bounding_box()["y"] < 900, "without scrolling"
    closed = opened("closed")
    assert texts(closed, ".verdict.bad")[0].startswith("int8 does not ship: −")
    assert "the limit is −1 point (accuracy.max_drop)" in texts(closed, ".verdict")[0]
    assert "What to do: Train longer." in texts(closed, ".gate.closed")[0]
    unsure = opened("undecided")
    assert texts(unsure, ".verdict.unsure")[0].startswith("int8 ships, but there are too few pictures to be sure: 3.4×")
    assert "What to do: About 700 more validation pictures" in texts(unsure, ".gate.undecided")[0]
    assert texts(unsure, ".gate .state") == ["undecided", "undecided", "not set"]
    slow = opened("slow")
    assert texts(slow, ".verdict") == [
        "int8 does not ship: 4.000 ms for one picture, and the limit is 1 ms (device.max_latency_ms)."
    ]
    assert "use a smaller model" in texts(slow, ".gate.closed")[0]


def test_changes_have_one_sign_and_are_those_of_the_pictures(pages):
    """int8 minus float, with the ends of the interval in order."""
    content = json.loads((pages["ten"] / "evaluation.json").read_text())["models"]
    tile = json.loads((pages["ten"] / "summary.json").read_text())["verdict"]["tiles"][0]
    points = 100 * (content["qat"]["top1"] - content["float"]["top1"])
    assert points < 0
    drop = content["qat"]["against_float"]
    assert tile["about"][2] == f"change −{-points:.2f} points (−{drop['high']:.2f} … −{drop['low']:.2f})"


@pytest.mark.parametrize("name", [*PAGES, "closed"])
def test_nothing_is_cut_off_on_any_screen(opened, pages, name):
    for width in (WIDE, NARROW):
        page = opened(name, width)
        beyond = page.evaluate(
            """() => [...document.querySelectorAll("main *, header *")]
            .filter(one => !one.closest(".scroll, pre, .skip"))
            .filter(one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
            .map(one => one.outerHTML)"""
        )
        assert beyond == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
    assert (pages[name] / "report/report.html").stat().st_size < 200_000
    targets = page.eval_on_selector_all(".contents a", "all => all.map(one => one.getAttribute('href'))")
    assert len(targets) >= 5 and all(page.locator(target).count() == 1 for target in targets)
    empty = page.evaluate(
        """() => [...document.querySelectorAll("table")].flatMap(table => [...table.tHead.rows[0].cells]
        .filter((_, place) => [...table.tBodies[0].rows].every(row =>
            !row.cells[place].innerText.trim() && !row.cells[place].querySelector("svg")))
        .map(cell => cell.innerText))"""
    )
    assert empty == []


@pytest.mark.parametrize(
    ("name", "width", "scheme"), [("ten", WIDE, "light"), ("ten", NARROW, "dark"), ("thousand", WIDE, "dark")]
)
def test_axe_has_nothing_to_say(opened, name, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(opened(name, width, scheme)).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found] == []


def test_layers_sort_and_come_in_the_order_of_execution_at_first(opened):
    page = opened("ten")
    table = "table[role=table]:has(caption:text-is('Layers in the order of execution'))"
    assert column(page, table, "no.") == [str(number) for number in range(1, 10)]
    assert column(page, table, "layer")[1:4] == ["conv", "dw", "left"]
    head = page.locator(f"{table} th", has_text="noise so far")
    head.locator("button").click()
    noise = [float(text) for text in column(page, table, "noise so far, dB") if text]
    assert noise == sorted(noise) and len(noise) == 7 and head.get_attribute("aria-sort") == "ascending"
    assert column(page, table, "noise so far, dB")[-2:] == ["", ""], "what was not measured comes last"
    head.locator("button").click()
    assert [float(text) for text in column(page, table, "noise so far, dB") if text] == noise[::-1]


def test_what_each_layer_costs_is_there_the_worst_first(opened):
    page = opened("ten")
    table = 'table[role=table]:has(caption:text-is("What each layer\'s quantisation costs"))'
    assert column(page, table, "layer") == ["logits", "pool", "sum", "left", "dw", "conv", "input"]
    assert column(page, table, "KL alone")[0] == "0.007" and column(page, table, "left in float, KL")[0] == "−0.007"
    assert column(page, table, "kernel")[4] == "float's kernel, rounded"
    assert page.locator("svg.sensitivity rect.bar").count() == 7
    page.locator("#measure").select_option("alone")
    assert texts(opened("ready"), "#sensitivity") == []


def test_the_chosen_widths_stand_beside_those_that_were_not_taken(opened):
    page = opened("ten")
    curve = "table[role=table]:has(caption:text-is('Choices that were compared'))"
    assert column(page, curve, "bytes of kernels") == ["44", "80", "304"] and column(page, curve, "taken")[1] == "taken"
    assert column(page, curve, "top-1, points") == ["−10.00", "+1.00", "0.00"]
    assert column(page, curve, "layers × bits") == ["2×4", "1×8, 1×4", "1×8, 1×float"]
    layers = 'table[role=table]:has(caption:text-is("Bits of the layers"))'
    assert column(page, layers, "bits") == ["8", "4"] and column(page, layers, "cost: 4") == ["0.25", "0.01"]
    assert column(page, layers, "cost: float") == ["−0.01", ""]
    assert page.locator("svg.widths circle").count() == 3


def test_the_network_shows_figures_by_pointer_tap_and_key_and_changes_its_colours(opened, pages):
    page = opened("ten")
    nodes, panel = page.locator(".node"), page.locator("#node-details")
    network = json.loads((pages["ten"] / "summary.json").read_text())["network"]
    assert nodes.count() == len(network) == 9
    nodes.nth(1).hover()
    assert "conv 3×3 + ReLU6" in panel.inner_text() and f"{network[1]['sqnr_db']:.1f} dB" in panel.inner_text()
    nodes.nth(3).click()
    page.mouse.move(0, 0)
    assert panel.locator("h3").inner_text() == "4. left"
    page.keyboard.press("ArrowDown")
    assert panel.locator("h3").inner_text() == "5. sum"
    page.select_option("#measure", "work")
    assert page.locator(".node .value").nth(1).text_content() == f"{3 * 3 * 2 * 4 * 8 * 8:,}"
    assert "heat6" in nodes.nth(1).get_attribute("class") and "none" in nodes.nth(5).get_attribute("class")
    assert [node["role"] for node in network] == ["convert", *["integer"] * 6, "convert", "float"]
    assert page.locator(".node.float .face").evaluate("one => getComputedStyle(one).strokeDasharray") != "none"
    ready = opened("ready")
    assert ready.locator("#measure option").all_inner_texts() == ["time", "multiply-adds", "bytes of weights"]


def test_two_ten_and_a_thousand_classes_can_be_read(opened):
    for name, cells in (("two", 2), ("ten", 10)):
        page = opened(name, NARROW)
        assert page.locator(".confusion rect").count() == cells**2
        counts = [one.bounding_box() for one in page.locator(".confusion .count").all()]
        assert all(box["width"] > 4 for box in counts)
    assert texts(opened("two"), "th:has-text('top-5')") == []
    page = opened("thousand")
    assert page.locator(".confusion").count() == 0
    pairs = page.locator("table:has(caption:text-is('The most confused pairs of classes')) tbody tr")
    assert (
        pairs.count() == 20 and page.locator("table:has(caption:text-is('Accuracy by class')) tbody tr").count() <= 60
    )


def test_pictures_stand_with_both_answers(opened):
    page = opened("ten")
    assert page.locator(".gallery img").count() == 4
    assert page.eval_on_selector_all(".gallery img", "all => all.every(one => one.naturalWidth === 8 && one.alt)")
    lost, _, won, _ = texts(page, ".gallery figcaption")
    assert lost == "class 0 ✓ float: class 0 0.75 ✗ int8: class 1 0.75"
    assert won == "class 0 ✗ float: class 1 0.75 ✓ int8: class 0 0.75"
    assert texts(opened("ready"), ".gallery figcaption b") == ["class 0"]


def test_dark_and_paper(opened):
    dark, light = (opened("two", WIDE, scheme) for scheme in ("dark", "light"))
    shade = "getComputedStyle(document.body).backgroundColor"
    assert dark.evaluate(shade) == "rgb(15, 20, 25)" and light.evaluate(shade) == "rgb(255, 255, 255)"
    dark.emulate_media(media="print", color_scheme="dark")
    assert dark.evaluate(shade) == "rgb(255, 255, 255)" and not dark.locator(".contents").is_visible()
    face = "getComputedStyle(document.querySelector('.verdict')).backgroundColor"
    assert dark.evaluate(face) == light.evaluate(face), "paper has the light colours whatever the screen has"
    paper = 794  # A4 at 96 dpi
    dark.set_viewport_size({"width": paper, "height": 1123})
    assert dark.evaluate("document.documentElement.scrollWidth") == paper


def test_what_each_layer_costs_can_be_read_on_a_phone(opened):
    """The picture keeps its size, and its box scrolls."""
    page = opened("ten", NARROW)
    assert page.locator("svg.sensitivity").bounding_box()["width"] > 500
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW


def test_curves_have_phases_the_rate_and_the_exported_epoch(opened):
    page = opened("ten")
    charts = page.locator(".curves .chart")
    assert charts.locator(".heading").all_text_contents() == ["top-1, %", "loss (cross entropy)", "learning rate"]
    assert charts.first.locator(".band").count() == 3 and charts.first.locator("text=exported").count() == 2
    assert "88.0" not in charts.first.get_attribute("aria-label")  # validation ends at 0.78 + 0.02 · 3
    assert "validation: 78 at first, 84 at the end" in charts.first.get_attribute("aria-label")


def test_rejected_pictures_and_stages_are_listed(opened):
    text = opened("ten").locator("main").inner_text()
    assert (
        "2 pictures were rejected" in text and "a/1.jpg: cannot be decoded" in text and "b/2.jpg: <too large>" in text
    )
    assert "3 min 05 s" in text and "train for int8" in text


def test_the_page_needs_the_summary_alone():
    assert Summary("e", 1, (), (), ()).network == ()
    assert (ROOT / "src/qatflow/report/templates/page.js").read_text().count("http") == 0
