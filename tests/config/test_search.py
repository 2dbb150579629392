"""The compress YAML's sections for searches: what PaddleSlim's preset says, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.config.checks.search import check_search
from qatflow.config.read_recipe import load_compress
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.recipe.search import AutoPruneStrategySection, SAControllerSection

PRESET = ROOT / "config/compress/auto_prune.yaml"


def searching(**keys: Any) -> CompressConfig:
    strategy = {"class": "AutoPruneStrategy", "pruner": "p", "controller": "c", **keys}
    return CompressConfig.model_validate(
        {
            "pruners": {"p": {"class": "StructurePruner"}},
            "controllers": {"c": {"class": "SAController"}},
            "strategies": {"s": strategy},
            "compressor": {"epoch": 2, "strategies": ["s"]},
        }
    )


def messages(config: CompressConfig) -> list[str]:
    return [f"{'.'.join(map(str, p.keys[0]))}: {p.message}" for p in check_search(config)]


def test_the_defaults_are_paddleslims():
    controller = SAControllerSection.model_validate({"class": "SAController"})
    assert (controller.reduce_rate, controller.init_temperature, controller.max_iter_number) == (0.85, 1024, 300)
    strategy = searching().strategies["s"]
    assert isinstance(strategy, AutoPruneStrategySection)
    assert (strategy.start_epoch, strategy.end_epoch, strategy.min_ratio, strategy.max_ratio) == (0, 10, 0.5, 0.7)
    assert (strategy.retrain_epoch, strategy.uniform_range, strategy.init_tokens) == (0, None, None)
    assert strategy.token_values == 100
    assert messages(searching()) == []


def test_the_candidates_of_each_round_are_known():
    strategy = searching(search_steps=5, parallel=2).search
    assert strategy is not None and strategy.rounds == [[1, 2], [3, 4], [5]]
    one_by_one = searching(search_steps=3).search
    assert one_by_one is not None and one_by_one.rounds == [[1], [2], [3]]


def test_a_controller_that_is_not_there_is_named_with_the_nearest():
    first, second = messages(searching(controller="cc"))
    assert first == ("strategies.s.controller: 'cc' is not defined under controllers; defined: c; did you mean 'c'?")
    assert second == "controllers.c: is defined but no strategy names it as its controller"


def test_limits_that_no_ratio_keeps_and_tokens_out_of_range_are_said():
    assert messages(searching(min_ratio=0.6, max_ratio=0.6)) == []
    (found,) = messages(searching(min_ratio=0.7, max_ratio=0.6))
    assert found.startswith("strategies.s.min_ratio: must be at most max_ratio (0.6)")
    assert messages(searching(uniform_range=0.5, init_tokens=[0, 49])) == []
    (found,) = messages(searching(uniform_range=0.5, init_tokens=[0, 50]))
    assert found == (
        "strategies.s.init_tokens.1: must be at most 49: a token is a ratio in steps of 0.01, below uniform_range"
    )


def test_one_strategy_searches():
    config = searching()
    config.strategies["t"] = config.strategies["s"]
    assert messages(config) == [
        "strategies.t: only one strategy may search, and 's' does: search in two experiments, the second one with "
        "compressor.init_model"
    ]


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"search_steps": 0}, "search_steps"),
        ({"parallel": 0}, "parallel"),
        ({"max_ratio": 1.0}, "max_ratio"),
        ({"init_tokens": [-1]}, "init_tokens"),
        ({"uniform_range": 1.5}, "uniform_range"),
        ({"target_ratio": 0.5}, "target_ratio"),
        ({"metric_name": "top1_acc"}, "metric_name"),
    ],
)
def test_values_out_of_range_are_refused(keys: dict[str, Any], where: str):
    with pytest.raises(ValidationError, match=where):
        searching(**keys)


def test_problems_of_a_search_come_with_the_line_of_the_file(tmp_path: Path):
    config = load_compress(PRESET)
    assert config.search is not None and config.thins()
    text = PRESET.read_text(encoding="utf-8").replace("min_ratio: 0.45 ", "min_ratio: 0.75 ")
    (tmp_path / "quantization.yaml").write_text((PRESET.parent / "quantization.yaml").read_text(encoding="utf-8"))
    (tmp_path / "a.yaml").write_text(text)
    line = next(n for n, written in enumerate(text.splitlines(), 1) if "min_ratio: 0.75" in written)
    with pytest.raises(
        UserError, match=rf"a\.yaml:{line}: strategies\.auto_pruning_strategy\.min_ratio: must be at most"
    ):
        load_compress(tmp_path / "a.yaml")
    late = {"strategies.auto_pruning_strategy.start_epoch": 3, "strategies.quantization_strategy.start_epoch": 2}
    with pytest.raises(UserError, match="removes channels until then"):
        load_compress(PRESET, late)
