"""Rounds and candidates of a search, and what each recipe exports: known before anything runs."""

from pathlib import Path
from typing import Any

import pytest
from snakemake.exceptions import WorkflowError

from helpers.places import ROOT
from qatflow.config.load import load_experiments
from qatflow.workflow.exports import Exports
from qatflow.workflow.plan import Plan
from qatflow.workflow.searches import Searches


def plan_of(monkeypatch: pytest.MonkeyPatch, **experiments: dict[str, Any]) -> Plan:
    monkeypatch.chdir(ROOT)
    files = [Path("config/config.yaml"), Path("config/test.yaml")]
    return Plan.of(load_experiments(files, {"experiments": experiments}))


def searching(preset: str, **overrides: object) -> dict[str, Any]:
    return {"compress.config": f"config/compress/{preset}.yaml", "compress.overrides": overrides}


@pytest.fixture
def searches(monkeypatch) -> Searches:
    return Searches(
        plan_of(
            monkeypatch,
            prune=searching("auto_prune", search_steps=5, parallel=2),
            nas=searching("light_nas", search_steps=1, target_latency=1e9),
            none={},
        )
    )


def test_a_search_has_rounds_of_candidates(searches):
    job = {"experiment": "prune"}
    assert [searches.candidates_of(job | {"round": str(number)}) for number in (1, 2, 3)] == [[1, 2], [3, 4], [5]]
    with pytest.raises(WorkflowError, match="prune searches in 3 rounds, there is no 4"):
        searches.candidates_of(job | {"round": "4"})
    with pytest.raises(WorkflowError, match="prune searches in 3 rounds, there is no 9"):
        searches.round_before(job | {"round": "9"})
    assert searches.round_before(job | {"round": "1"}) == {}
    assert searches.round_before(job | {"round": "3"}) == {
        "before": "results/prune/search/round_2/candidates.json",
        "outcomes": [f"results/prune/search/round_2/candidate_{number}/outcome.json" for number in (3, 4)],
    }
    assert searches.all_rounds(job) == [f"results/prune/search/round_{number}/candidates.json" for number in (1, 2, 3)]
    files = searches.all_candidates(job)
    assert len(files) == 15 and files[-3:] == [
        f"results/prune/search/round_3/candidate_5/{file}" for file in ("outcome.json", "model", "weights")
    ]


def test_what_a_search_has_is_needed_where_the_recipe_searches(searches):
    prune, nas, none = ({"experiment": name} for name in ("prune", "nas", "none"))
    assert searches.best(prune) == ["results/prune/search/best/best.json"] and searches.best(none) == []
    assert searches.best_network(nas) == [f"results/nas/search/best/{file}" for file in ("model", "weights")]
    assert searches.best_network(prune) == searches.best_network(none) == []
    assert searches.latency_table(nas) == ["results/nas/search/latency_table.json"]
    assert searches.latency_table(prune) == searches.latency_table(none) == []
    assert searches.strategy_of(nas).search_steps == 1
    with pytest.raises(WorkflowError, match="none does not search"):
        searches.strategy_of(none)


def overrides(**keys: object) -> dict[str, Any]:
    return {"compress.overrides": keys}


def test_experiments_that_export_to_the_same_folders_have_one_rule(monkeypatch):
    exports = Exports(plan_of(monkeypatch, a={}, b=overrides(mobile_model_save_path=None), c={"seed": 2}))
    assert exports.folders("b") == {
        "float": "results/{experiment}/output/float",
        "int8": "results/{experiment}/output/int8",
    }
    (first, names), (second, other) = exports.rules()
    assert names == ["a", "c"] and other == ["b"]
    assert first[:3] == [
        f"results/{{experiment}}/output/float/{file}" for file in ("model", "weights", "manifest.json")
    ]
    assert len(first) == 9 and second == first[:6]
    assert exports.files("b") == [path.format(experiment="b") for path in second]
    assert exports.of(["b", "b"]) == 2 * exports.files("b")


def test_the_device_s_model_is_made_from_either_folder_with_its_integers(monkeypatch):
    exports = Exports(plan_of(monkeypatch, a={}, b=overrides(float_model_save_path=None)))
    assert exports.for_device("model")({"experiment": "a"}) == "results/{experiment}/output/float/model"
    assert exports.for_device("model")({"experiment": "b"}) == "results/{experiment}/output/int8/model"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"float_model_save_path": None, "int8_model_save_path": None},
            "float_model_save_path: the device's model is made from float/ or int8/, and neither is written. It is"
            " trained and exported to mobile only: ask for the target `export`",
        ),
        (
            {"activation_quantize_type": "abs_max", "mobile_model_save_path": None},
            "activation_quantize_type: 'abs_max'",
        ),
    ],
)
def test_what_cannot_be_deployed_ends_the_run_with_the_key_and_the_reason(monkeypatch, keys, message):
    exports = Exports(plan_of(monkeypatch, a=overrides(**keys)))
    with pytest.raises(SystemExit) as ended:
        exports.for_device("model")({"experiment": "a"})
    assert str(ended.value).startswith("error: config/compress/test.yaml: strategies.quantization_strategy.")
    assert message in str(ended.value)
