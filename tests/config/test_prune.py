"""The compress YAML's sections for pruning: what PaddleSlim's presets say, and what is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from qatflow.config.checks.pruning import check_pruning, last_pruned
from qatflow.config.recipe.pruning import (
    SensitivePruneStrategySection,
    StructurePrunerSection,
    UniformPruneStrategySection,
)

PRUNERS = {"pruner_1": StructurePrunerSection.model_validate({"class": "StructurePruner"})}


def uniform(**keys: Any) -> UniformPruneStrategySection:
    return UniformPruneStrategySection.model_validate({"class": "UniformPruneStrategy", "pruner": "pruner_1", **keys})


def sensitive(**keys: Any) -> SensitivePruneStrategySection:
    return SensitivePruneStrategySection.model_validate(
        {"class": "SensitivePruneStrategy", "pruner": "pruner_1", **keys}
    )


def messages(strategy: Any, pruners: Any = PRUNERS, epoch: int = 4) -> list[str]:
    return [f"{'.'.join(map(str, p.keys[0]))}: {p.message}" for p in check_pruning({"s": strategy}, pruners, epoch)]


def test_paddleslims_presets_are_taken_as_they_stand():
    pruner = {"class": "StructurePruner", "pruning_axis": {"*": 0}, "criterions": {"*": "l1_norm"}}
    assert StructurePrunerSection.model_validate(pruner) == PRUNERS["pruner_1"]
    found = sensitive(
        start_epoch=0, delta_rate=0.1, target_ratio=0.5, num_steps=1, eval_rate=0.2, pruned_params=".*_sep_weights",
        sensitivities_file="mobilenet_acc_top1_sensitive.data", metric_name="acc_top1",
    )  # fmt: skip
    assert found.delta_rate == 0.1 and messages(found, epoch=200) == []
    found = uniform(start_epoch=0, target_ratio=0.5, pruned_params=".*_sep_weights", metric_name="acc_top1")
    assert messages(found, epoch=142) == []


def test_the_defaults_are_paddleslims():
    found = sensitive()
    defaults = (found.start_epoch, found.end_epoch, found.target_ratio, found.delta_rate, found.num_steps)
    assert defaults == (0, 0, 0.5, 0.2, 1)
    assert (found.sensitivities_file, found.sensitivities, found.eval_rate) == ("./sensitivities.data", {}, None)
    assert found.target == uniform().target == "flops"


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"target_ratio": 1.0}, "target_ratio"),
        ({"target_ratio": 0.0}, "target_ratio"),
        ({"pruned_params": "conv(.*"}, "pruned_params"),
        ({"metric_name": "top_1"}, "metric_name"),
        ({"delta_rate": 0.6}, "delta_rate"),
        ({"eval_rate": 0.0}, "eval_rate"),
        ({"num_steps": 0}, "num_steps"),
        ({"sensitivities": {"conv1/kernel": {"pruned_percent": [1.5], "loss": [0.1]}}}, "pruned_percent"),
        ({"min_ratio": 0.5}, "min_ratio"),
    ],
)
def test_values_out_of_range_are_refused(keys: dict[str, Any], where: str):
    with pytest.raises(ValidationError, match=where):
        sensitive(**keys)


def test_an_unknown_criterion_and_another_axis_are_refused():
    for keys in ({"criterions": {"*": "l2_norm"}}, {"pruning_axis": {"*": 1}}):
        with pytest.raises(ValidationError, match=next(iter(keys))):
            StructurePrunerSection.model_validate({"class": "StructurePruner", **keys})


def test_a_pruner_that_is_not_there_is_named_with_the_nearest():
    found = messages(uniform(pruner="pruner1"))
    assert found[0].startswith("strategies.s.pruner: 'pruner1' is not defined under pruners; defined: pruner_1")
    assert "did you mean 'pruner_1'?" in found[0]
    assert found[1] == "pruners.pruner_1: is defined but no pruning strategy names it as its pruner"


def test_epochs_that_are_never_reached_are_said():
    assert "epoch 4 is never reached and nothing would be pruned" in messages(uniform(start_epoch=4))[0]
    assert messages(uniform(start_epoch=3)) == []
    assert "the last is 3" in messages(sensitive(num_steps=2, end_epoch=4))[0]


def test_several_steps_need_as_many_epochs():
    few = messages(sensitive(start_epoch=1, num_steps=3, end_epoch=2))
    assert len(few) == 1 and few[0].startswith("strategies.s.end_epoch: must be at least 3: 3 steps from start_epoch 1")
    assert messages(sensitive(start_epoch=1, num_steps=3, end_epoch=3)) == []


def test_the_last_epoch_before_which_channels_go():
    assert last_pruned(uniform(start_epoch=2)) == last_pruned(sensitive(start_epoch=2, end_epoch=5)) == 2
    assert last_pruned(sensitive(start_epoch=2, end_epoch=5, num_steps=2)) == 5


def test_given_sensitivities_have_a_loss_for_each_ratio_and_rise():
    given = {"pruned_percent": [0.4, 0.2], "loss": [0.1]}
    found = messages(sensitive(sensitivities={"conv1/kernel": given}))
    assert len(found) == 2
    assert found[0] == (
        "strategies.s.sensitivities.conv1/kernel.loss: has 1 values for 2 of pruned_percent; give one for each"
    )
    assert "must rise" in found[1]
