"""`qatflow diff`: two folders, two revisions; what differs is what was changed, as text, JSON and page."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.report_files import results
from qatflow.base.errors import UserError
from qatflow.base.metrics import paired_interval
from qatflow.base.right_answers import packed, unpacked
from qatflow.base.sums import read_sealed, write_sealed
from qatflow.commands.diff import main
from qatflow.commands.table import COMMANDS
from qatflow.commands.table import main as program

CONFIG = "experiment: {name}\nseed: {seed}\nmodel:\n  alpha: 0.25\ncompress:\n  config: {name}/compress.yaml\n"
RECIPE = "strategies:\n  q:\n    weight_bits: {bits}\n    skip_pattern: [skip]\n"


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = read_sealed(path)
    change(content)
    write_sealed(path, content)


def worse(evaluation: dict[str, Any]) -> None:
    """Let int8 lose seven of the pictures that it got right, and win two."""
    model = evaluation["models"]["qat"]
    right = unpacked(model["right"], model["pictures"])
    lost, won = np.flatnonzero(right)[:7], np.flatnonzero(~right)[:2]
    right[lost], right[won] = False, True
    model |= {"right": packed(right), "top1": float(right.mean()), "bytes": 2 * model["bytes"]}


def narrower(summary: dict[str, Any]) -> None:
    """Another width of the second operator, another scale of its output, one operator less, and another name."""
    summary["quantised"] = "W4A8"
    summary["stages"] = [{"rule": "train_int8", "seconds": 3.0}]
    summary["network"][1]["weight_bits"] = 4
    layer = next(layer for layer in summary["layers"] if layer["name"] == summary["network"][1]["tensor"])
    layer["scale"] *= 2
    layer["sqnr_db"] -= 6
    del summary["network"][-1]


def settings(folder: Path, seed: int, bits: int) -> None:
    (folder / "config.yaml").write_text(CONFIG.format(name=folder.name, seed=seed))
    (folder / "compress.yaml").write_text(RECIPE.format(bits=bits))


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """A folder with results/one and results/other."""
    folder = tmp_path_factory.mktemp("two")
    one = results(folder, "one")
    other = folder / "results/other"
    shutil.copytree(one, other)
    settings(one, 1, 8)
    settings(other, 2, 4)
    edit(other / "evaluation.json", worse)
    edit(other / "summary.json", narrower)
    return folder


def as_json(capsys, *words: str) -> dict[str, Any]:
    main([*words, "--json", "-"])
    return json.loads(capsys.readouterr().out)


def test_what_differs_is_what_was_changed(two, monkeypatch, capsys):
    monkeypatch.chdir(two)
    found = as_json(capsys, "results/one", "results/other")
    assert {one["key"]: (one["first"], one["second"]) for one in found["settings"]} == {
        "config.yaml: experiment": ("one", "other"),
        "config.yaml: seed": (1, 2),
        "compress.yaml: strategies.q.weight_bits": (8, 4),
    }
    metrics = {one["name"]: one for one in found["metrics"]}
    top1 = metrics["shipped: top-1, %"]
    low, high = paired_interval(7, 2, 300)
    assert top1["change"] == pytest.approx(-100 * 5 / 300)
    assert (top1["interval"]["low"], top1["interval"]["high"]) == pytest.approx((-high, -low))
    assert top1["interval"]["paired"] and found["same_pictures"]
    assert metrics["float: top-1, %"]["change"] == 0
    assert metrics["shipped: bytes"]["ratio"] == 2
    assert metrics["training for int8 and W4A8, s"]["second"] == 3.0
    changed, removed = found["layers"]
    assert changed["changed"] == ["weight_bits", "scale", "sqnr_db"]
    assert changed["second"]["scale"] == 2 * changed["first"]["scale"]
    assert (removed["state"], removed["second"]) == ("removed", {})
    assert found["equal_layers"] == len(read_sealed(two / "results/one/summary.json")["network"]) - 2


def test_the_same_results_differ_in_nothing(two, monkeypatch, capsys):
    monkeypatch.chdir(two)
    found = as_json(capsys, "results/one", "results/one")
    assert (found["settings"], found["layers"], found["tools"], found["same_model"]) == ([], [], [], True)
    # by its name, as in the activated environment
    command = [Path(sys.executable).with_name("qatflow"), "diff", "results/one", "results/one"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "No setting differs." in printed and "No layer differs." in printed and "equal, byte by byte" in printed


def test_the_text_has_both_values_side_by_side(two, monkeypatch, capsys):
    monkeypatch.chdir(two)
    assert program(["diff", "results/one", "results/other", "--json", "found.json"]) is None
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "compress.yaml: strategies.q.weight_bits 8 4" in lines
    low, high = paired_interval(7, 2, 300)
    (top1,) = (line for line in lines if line.startswith("shipped: top-1"))
    assert top1.endswith(f"−1.67 −{high:.2f} … +{-low:.2f}")
    assert any(line.startswith("conv 8 → 4") for line in lines)
    assert json.loads(Path("found.json").read_text())["second"] == "results/other"


def test_the_page_shows_the_same_at_any_width(two, monkeypatch, browser):
    monkeypatch.chdir(two)
    main(["results/one", "results/other", "--html", "diff.html"])
    page = browser.new_page()
    page.goto((two / "diff.html").as_uri())
    for width in (1400, 420):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("table").count() == 3
    assert "8 → 4" in page.locator("td[data-name=bits]").first.inner_text()
    from axe_playwright_python.sync_playwright import Axe

    assert [one["id"] for one in Axe().run(page).response["violations"]] == []


def git(folder: Path, *words: str) -> None:
    about = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *about, *words], cwd=folder, check=True, capture_output=True)


def test_two_revisions_of_the_same_results(two, tmp_path, monkeypatch, capsys):
    git(tmp_path, "init", "--quiet")
    for place, tag in (("one", "before"), ("other", "after")):
        # with new times: git takes a file with the old time and size for the old one
        shutil.copytree(
            two / "results" / place, tmp_path / "results/e", copy_function=shutil.copyfile, dirs_exist_ok=True
        )
        git(tmp_path, "add", "--force", ".")
        git(tmp_path, "commit", "--quiet", "-m", tag)
        git(tmp_path, "tag", tag)
    monkeypatch.chdir(tmp_path)
    for words in (
        ["before", "after", "--results", "results/e"],
        ["before", "results/e"],
        ["before:results/e", "after:results/e"],
        ["HEAD~1:results/e", "results/e"],
    ):
        found = as_json(capsys, *words)
        assert len(found["layers"]) == 2 and len(found["settings"]) == 3, words
    with pytest.raises(UserError, match=r"before is a git revision, but of which results\? Write before:results"):
        main(["before", "after"])
    with pytest.raises(UserError, match=r"results/f of revision before has no summary.json: make the report"):
        main(["before:results/f", "after"])
    with pytest.raises(UserError, match=r"nowhere is neither a folder nor a git revision: give results/<experiment>"):
        main(["nowhere", "results/e"])


def test_other_pictures_have_an_interval_that_is_not_paired_and_an_old_summary_is_refused(two, tmp_path, capsys):
    for name in ("a", "b"):
        shutil.copytree(two / "results/one", tmp_path / name)
    edit(tmp_path / "b/evaluation.json", lambda content: content.update(test_pictures="others"))
    found = as_json(capsys, str(tmp_path / "a"), str(tmp_path / "b"))
    assert not found["same_pictures"] and not found["metrics"][-2]["interval"]
    assert not any(one["interval"]["paired"] for one in found["metrics"] if one["interval"])
    edit(tmp_path / "b/summary.json", lambda content: content.update(format_version=5))
    with pytest.raises(UserError, match=r"summary.json is of format 5, and 6 is needed: make the report again"):
        main([str(tmp_path / "a"), str(tmp_path / "b")])


def test_each_command_is_listed_and_an_unknown_one_is_refused(capsys):
    assert program(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)
    assert program(["dif"]) == 2 and "dif: no such command" in capsys.readouterr().err
