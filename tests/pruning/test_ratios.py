"""Ratios that reach a target: against all there are, and by the definitions."""

import numpy as np
import pytest

from helpers.chain import CHANNELS, chain, multiply_adds, parameters
from qatflow.base.errors import UserError
from qatflow.graph.counts import total
from qatflow.pruning.candidates import candidates
from qatflow.pruning.ratios import PruningTarget, curve, sensitive_ratios, step_ratio, uniform_ratios
from qatflow.pruning.record import pruning_record
from qatflow.pruning.sensitivity import Sensitivity

BY_HAND = {"flops": multiply_adds, "params": parameters}
RATIOS = (0.2, 0.4, 0.6, 0.8)


def left(graph) -> list[int]:
    return [graph.weights[f"{name}/kernel"].shape[-1] for name in CHANNELS]


@pytest.mark.parametrize("of", BY_HAND)
@pytest.mark.parametrize("target", [0.1, 0.3, 0.5, 0.7])
def test_the_uniform_ratio_is_the_nearest_there_is(target: float, of):
    found = candidates(chain(), ".*", {"*": "l1_norm"})
    ratios = uniform_ratios(found, PruningTarget(target, of))
    assert len(set(ratios.by_group.values())) == 1

    def gone(ratio: float) -> float:
        return 1 - BY_HAND[of](*(n - round(n * ratio) for n in CHANNELS.values())) / BY_HAND[of](*CHANNELS.values())

    nearest = min(abs(gone(ratio) - target) for ratio in np.arange(0, 0.95, 0.0005))
    thin = found.thin(ratios.by_group)
    reached = 1 - BY_HAND[of](*left(thin)) / BY_HAND[of](*CHANNELS.values())
    assert abs(reached - target) == pytest.approx(nearest, abs=1e-12) and nearest < 0.01
    assert ratios.reached == pytest.approx(reached)


def test_what_cannot_be_reached_says_how_much_can():
    found = candidates(chain(), "a/", {"*": "l1_norm"})
    most = 1 - multiply_adds(1, CHANNELS["b"], CHANNELS["c"]) / multiply_adds(*CHANNELS.values())
    with pytest.raises(UserError, match=rf"target_ratio: 50 % of the multiply-adds cannot go.*hold {100 * most:.1f} %"):
        uniform_ratios(found, PruningTarget(0.5))


def test_steps_together_reach_the_target():
    for steps in (1, 2, 5):
        assert (1 - step_ratio(0.5, steps)) ** steps == pytest.approx(0.5)


def test_the_curve_rises_whatever_was_measured():
    shares, losses = curve(Sensitivity(RATIOS, (0.02, -0.01, 0.05, 0.03)))
    assert shares.tolist() == [0, *RATIOS]
    # isotonic regression by hand: 0.02 and −0.01 become their mean, and so do 0.05 and 0.03
    np.testing.assert_allclose(losses, [0, 0.005, 0.005, 0.04, 0.04], atol=2e-5)
    assert (np.diff(losses) > 0).all()


def test_what_costs_nothing_goes_first_and_all_others_cost_the_same():
    found = candidates(chain(), ".*", {"*": "l1_norm"})
    slopes = {"a/kernel": 0.5, "b/kernel": 0.1, "c/kernel": 0.0}
    measured = {name: Sensitivity(RATIOS, tuple(slope * r for r in RATIOS)) for name, slope in slopes.items()}
    ratios = sensitive_ratios(found, measured, PruningTarget(0.7))
    by_group = ratios.by_group
    assert by_group["c/kernel"] == 0.8  # the last that was measured
    assert by_group["a/kernel"] * 0.5 == pytest.approx(by_group["b/kernel"] * 0.1, rel=1e-3)
    assert abs(ratios.reached - 0.7) < 0.015
    thin = found.thin(by_group)
    assert 1 - multiply_adds(*left(thin)) / multiply_adds(*CHANNELS.values()) == pytest.approx(ratios.reached)


@pytest.mark.parametrize("losses", [(0.0, 0.0, 0.0, 0.0), (-0.1, -0.2, 0.0, 0.0)])
def test_layers_that_cost_nothing_reach_any_target_too(losses: tuple[float, ...]):
    found = candidates(chain(), ".*", {"*": "l1_norm"})
    measured = dict.fromkeys(found.order, Sensitivity(RATIOS, losses))
    for target in (0.05, 0.3, 0.6):
        assert abs(sensitive_ratios(found, measured, PruningTarget(target)).reached - target) < 0.015


def test_no_layer_goes_beyond_what_was_measured():
    found = candidates(chain(), ".*", {"*": "l1_norm"})
    measured = dict.fromkeys(found.order, Sensitivity((0.2, 0.4), (0.0, 0.01)))
    with pytest.raises(UserError, match="cannot go"):
        sensitive_ratios(found, measured, PruningTarget(0.9))


def test_the_report_has_each_layer_before_and_after():
    graph = chain()
    found = candidates(graph, "a/|c/", {"*": "l1_norm"})
    ratios = {"a/kernel": 0.5, "c/kernel": 0.25}
    thin = found.thin(ratios)
    report = pruning_record(found, ratios, thin).to_json()
    assert [(layer["layer"], layer["channels_before"], layer["channels_after"]) for layer in report["layers"]] == [
        ("a", 24, 12), ("b", 40, 40), ("c", 60, 45), ("logits", 4, 4),
    ]  # fmt: skip
    assert report["before"] == {
        "multiply_adds": multiply_adds(24, 40, 60),
        "parameters": parameters(24, 40, 60),
    }
    assert report["after"] == {"multiply_adds": multiply_adds(12, 40, 45), "parameters": parameters(12, 40, 45)}
    assert report["layers"][1]["after"]["multiply_adds"] == 36 * 9 * 12 * 40
    assert report["layers"][3]["fixed"].startswith("the softmax")
    gone = 1 - multiply_adds(12, 40, 45) / total(graph).multiply_adds
    assert (
        f"2 of 4 layers thinner, {100 * gone:.1f} % of the multiply-adds" in pruning_record(found, ratios, thin).text()
    )
