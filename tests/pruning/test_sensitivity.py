"""The sweep: what it measures, that it is kept and gone on with, and how it is drawn."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from helpers.chain import SIDE, chain
from helpers.graphs import with_weight
from helpers.numpy_network import execute
from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.pruning.candidates import Candidates, candidates
from qatflow.pruning.sensitivity import Sensitivity, measure, swept_ratios
from qatflow.report.pruning_picture import sensitivity_picture

PICTURES = np.random.default_rng(3).normal(0, 1, (64, SIDE, SIDE, 3))
ABOUT = {"data": "x"}


def network(seed: int = 0) -> Graph:
    """The chain, with the bias by which it says each class of about as many pictures."""
    logits = execute(chain(seed), PICTURES)["logits"]
    graph = with_weight(chain(seed), "logits/bias", -logits.mean(axis=0).astype(np.float32))
    assert len(set(execute(graph, PICTURES)["probabilities"].argmax(axis=1))) == 4
    return graph


def labels() -> np.ndarray:
    """What the network itself says, but of every eighth picture something else."""
    found = execute(network(), PICTURES)["probabilities"].argmax(axis=1)
    found[::8] = (found[::8] + 1) % 4
    return found


LABELS = labels()


def top1(graph: Graph) -> float:
    return float((execute(graph, PICTURES)["probabilities"].argmax(axis=1) == LABELS).mean())


class Counted:
    """An evaluation that counts, and is killed before its n-th."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.count, self.killed_at = 0, killed_at

    def __call__(self, graph: Graph) -> float:
        if self.count == self.killed_at:
            raise KeyboardInterrupt
        self.count += 1
        return top1(graph)


@pytest.fixture
def found() -> Candidates:
    return candidates(network(), "a/|c/", {"*": "l1_norm"})


def test_each_loss_is_that_of_the_thin_network(found: Candidates, tmp_path: Path):
    measured = measure(found, 0.3, top1, tmp_path / "s.json", ABOUT)
    assert list(measured) == ["a/kernel", "c/kernel"]
    assert measured["a/kernel"].ratios == (0.3, 0.6, 0.9)
    for name, sensitivity in measured.items():
        for ratio, loss in zip(sensitivity.ratios, sensitivity.losses, strict=True):
            assert loss == pytest.approx(top1(network()) - top1(found.thin({name: ratio})), abs=1e-12)
    assert max(measured["c/kernel"].losses) > 0.1
    stored = json.loads((tmp_path / "s.json").read_text())
    assert stored["groups"]["a/kernel"]["size"] == 24
    assert stored["groups"]["a/kernel"]["pruned_percent"] == [0.3, 0.6, 0.9]
    assert stored["baseline"] == pytest.approx(56 / 64)


@pytest.mark.parametrize("killed_at", [0, 1, 2, 4, 6])
def test_a_killed_sweep_goes_on(found: Candidates, tmp_path: Path, killed_at: int):
    whole, other = tmp_path / "whole.json", tmp_path / "other.json"
    expected = measure(found, 0.3, top1, whole, ABOUT)
    first, second = Counted(killed_at), Counted()
    with pytest.raises(KeyboardInterrupt):
        measure(found, 0.3, first, other, ABOUT)
    assert measure(found, 0.3, second, other, ABOUT) == expected
    assert other.read_bytes() == whole.read_bytes()
    # the baseline is kept with the first measurement
    assert first.count + second.count == 7 + (killed_at == 1)
    third = Counted()
    assert measure(found, 0.3, third, other, ABOUT) == expected and third.count == 0


def other_weights() -> Candidates:
    return candidates(network(seed=1), "a/|c/", {"*": "l1_norm"})


def other_criterion() -> Candidates:
    return candidates(network(), "a/|c/", {"*": "geometric_median"})


@pytest.mark.parametrize(("other", "about"), [(other_weights, ABOUT), (other_criterion, ABOUT), (None, {"data": "y"})])
def test_what_was_measured_on_something_else_is_not_used(
    found: Candidates, tmp_path: Path, capsys, other: Callable[[], Candidates] | None, about: dict[str, str]
):
    measure(found, 0.3, top1, tmp_path / "s.json", ABOUT)
    assert "measuring again" not in capsys.readouterr().out
    changed, counted = found if other is None else other(), Counted()
    again = measure(changed, 0.3, counted, tmp_path / "s.json", about)
    assert counted.count == 7 and "measuring again" in capsys.readouterr().out
    assert again == measure(changed, 0.3, top1, tmp_path / "fresh.json", about)


def test_what_is_known_is_not_measured(found: Candidates, tmp_path: Path):
    counted, known = Counted(), Sensitivity((0.5,), (0.25,))
    measured = measure(found, 0.3, counted, tmp_path / "s.json", ABOUT, {"c/kernel": known})
    assert counted.count == 1 + 3 and measured["c/kernel"] == known and list(measured) == ["a/kernel", "c/kernel"]
    with pytest.raises(UserError, match=r"'b/kernel' is not a group .*; these are a/kernel, c/kernel"):
        measure(found, 0.3, counted, tmp_path / "s.json", ABOUT, {"b/kernel": known})


def test_a_finer_sweep_measures_only_what_is_new(found: Candidates, tmp_path: Path):
    measure(found, 0.5, top1, tmp_path / "s.json", ABOUT)
    counted = Counted()
    finer = measure(found, 0.25, counted, tmp_path / "s.json", ABOUT)
    assert finer["a/kernel"].ratios == (0.25, 0.5, 0.75) and counted.count == 4
    assert finer == measure(found, 0.25, top1, tmp_path / "fresh.json", ABOUT)


def test_ratios_of_the_same_channels_are_measured_once(tmp_path: Path):
    found = candidates(network(), "a/", {"*": "l1_norm"})  # 24 channels
    counted = Counted()
    measured = measure(found, 0.01, counted, tmp_path / "s.json", ABOUT)["a/kernel"]
    assert len(measured.ratios) == 99 and counted.count == 1 + 23
    assert measured.losses[0] == 0.0  # 1 % of 24 is none


def test_the_swept_ratios_end_before_all_is_gone():
    assert swept_ratios(0.2) == [0.2, 0.4, 0.6, 0.8]
    assert swept_ratios(0.1) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert swept_ratios(0.5) == [0.5]
    assert swept_ratios(0.3) == [0.3, 0.6, 0.9]


def test_the_picture_names_every_group(found: Candidates, tmp_path: Path):
    measured = measure(found, 0.3, top1, tmp_path / "s.json", ABOUT)
    for name in ("first", "second"):
        sensitivity_picture(measured, {"a/kernel": 0.45}, tmp_path / f"{name}.svg")
    content = (tmp_path / "first.svg").read_text()
    assert content == (tmp_path / "second.svg").read_text()
    ElementTree.fromstring(content)
    for text in ("a/kernel", "c/kernel", "30 %", f"{100 * measured['c/kernel'].losses[-1]:.1f}"):
        assert f"<!-- {text} -->" in content
