"""A search over channels to remove: its limits, its rounds of candidates, and that a killed one goes on."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.compression import STEPS, KilledError, compressed, device_kernels
from helpers.small_data import prepared_digits
from helpers.small_networks import network
from qatflow.base.errors import UserError
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.recipe.search import AutoPruneStrategySection
from qatflow.config.sections.compress import CompressSection
from qatflow.data.manifest import Manifest
from qatflow.graph.counts import total
from qatflow.graph.graph import Graph
from qatflow.graph.store import load
from qatflow.pruning.ratios import searched_ratios
from qatflow.search.candidate import read_outcomes
from qatflow.search.conclude import conclude
from qatflow.search.propose import propose
from qatflow.search.pruning import PruningSpace
from qatflow.search.result import read_result
from qatflow.search.rounds import read_round
from qatflow.search.space import SearchSetup

pytestmark = pytest.mark.tensorflow

LIMITS = {"min_ratio": 0.4, "max_ratio": 0.5}


def setup(seed: int = 1, graph: Graph | None = None, **keys: Any) -> SearchSetup:
    strategy = {"class": "AutoPruneStrategy", "pruner": "p", "controller": "c", **LIMITS, **keys}
    config = CompressConfig.model_validate(
        {
            "pruners": {"p": {"class": "StructurePruner"}},
            "controllers": {"c": {"class": "SAController", "init_temperature": 0.1}},
            "strategies": {"s": strategy},
            "compressor": {"epoch": 2, "strategies": ["s"]},
        }
    )
    return SearchSetup(config, graph or network("small ResNet"), seed)


def space(**keys: Any) -> PruningSpace:
    found = setup(**keys)
    strategy = found.config.strategies["s"]
    assert isinstance(strategy, AutoPruneStrategySection)
    return PruningSpace(found, strategy)


def multiply_adds(graph: Graph) -> int:
    """Counted from Keras' own layers, independently of `graph.counts`."""
    from qatflow.training.keras_model import training_model

    total = 0
    for layer in training_model(graph, seed=0, step=0).keras.layers:
        kernels = [w for w in layer.weights if w.name.split(":")[0].endswith("kernel")]
        total += sum(int(np.prod(w.shape)) * int(np.prod(layer.output_shape[1:-1])) for w in kernels)
    return total


def test_a_token_is_a_ratio_of_a_group_and_the_first_are_all_the_same():
    found = space()
    assert set(found.range_table) == {100} and len(set(found.initial)) == 1
    thin = found.graph(found.initial)
    removed = 1 - multiply_adds(thin) / multiply_adds(network("small ResNet"))
    assert removed == pytest.approx(0.45, abs=0.05)
    assert not found.refused(found.initial)
    assert found.size(found.initial).multiply_adds == multiply_adds(thin)
    ratios = found.ratios((7,) * len(found.names))
    assert set(ratios.values()) == {0.07}
    nothing, much = ((token,) * len(found.names) for token in (0, 80))
    assert found.refused(nothing).startswith("0.0 % of the multiply-adds go, which is not from min_ratio (0.4)")
    assert found.refused(much)


def test_limits_that_cannot_be_reached_and_tokens_of_another_network_are_said():
    with pytest.raises(UserError, match=r"min_ratio: 40 % of the multiply-adds cannot go.*hold \d+\.\d % within"):
        space(uniform_range=0.1)
    with pytest.raises(UserError, match=r"init_tokens: has 2 tokens for \d groups of layers; give one for each of"):
        space(init_tokens=[1, 2])


def test_given_first_tokens_must_keep_the_limits(tmp_path: Path):
    groups = len(space().names)
    with pytest.raises(UserError, match=r"init_tokens: 0\.0 % of the multiply-adds go.*leave the key out"):
        propose(setup(init_tokens=[0] * groups), 1, None, [], tmp_path / "candidates.json")
    given = [*space().initial[:-1], space().initial[-1] + 1]
    propose(setup(init_tokens=given), 1, None, [], tmp_path / "candidates.json")
    assert list(read_round(tmp_path / "candidates.json").candidates[0].tokens) == given


def test_a_round_follows_from_the_outcomes_of_the_one_before(tmp_path: Path):
    first, files = tmp_path / "candidates.json", []
    propose(setup(), 3, None, [], first)
    this = read_round(first)
    whole = total(network("small ResNet"))
    assert (this.whole.multiply_adds, this.whole.parameters) == (whole.multiply_adds, whole.parameters)
    for candidate, metric in zip(this.candidates, (0.5, 0.9, 0.2), strict=True):
        about = json.loads(first.read_text())["candidates"][candidate.number - 1]
        files.append(tmp_path / f"{candidate.number}.json")
        files[-1].write_text(json.dumps({**about, "metric": metric, "reward": metric}))
        gone = 1 - candidate.size.multiply_adds / whole.multiply_adds
        assert 0.4 <= gone <= 0.5
    for name in ("second.json", "again/second.json"):  # its own sum is kept under its name
        propose(setup(), 2, first, files[::-1], tmp_path / name)  # the numbers say the order
    second = read_round(tmp_path / "second.json")
    assert (tmp_path / "second.json").read_bytes() == (tmp_path / "again/second.json").read_bytes()
    assert second.state.iteration == 3 and [one.number for one in second.candidates] == [4, 5]
    assert second.state.tried == tuple(one.tokens for one in this.candidates)
    known = {thin(one.tokens) for one in this.candidates} | {thin(one.tokens) for one in second.candidates}
    assert len(known) == 5, "other ratios of a layer with few channels may remove as many"
    with pytest.raises(UserError, match="there is no candidate 3 in this round, but 4, 5"):
        second.candidate(3)
    propose(setup(seed=2), 3, None, [], tmp_path / "other.json")
    other = [one.tokens for one in read_round(tmp_path / "other.json").candidates]
    assert other[0] == this.candidates[0].tokens and other[1:] != [one.tokens for one in this.candidates[1:]]


def thin(tokens: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of a candidate's weights."""
    return tuple(values.shape for values in space().graph(tokens).weights.values())


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


def evaluated(digits: Manifest, folder: Path, candidates: Path, number: int, epochs: int = 1) -> dict[str, bytes]:
    """Evaluate a candidate; return what was written."""
    from qatflow.search.evaluate import Evaluation, evaluate

    section = CompressSection.model_validate({"learning_rate": 0.05, "checkpoint_steps": 4, "augmentation": "none"})
    how = Evaluation(digits.folder / "manifest.json", section, threads=2)
    evaluate(setup(retrain_epoch=epochs), candidates, number, how, folder / "work", folder / f"out{number}")
    return {path.name: path.read_bytes() for path in sorted((folder / f"out{number}").iterdir())}


def test_a_killed_candidate_goes_on_and_the_best_is_what_training_applies(
    digits: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    candidates = tmp_path / "candidates.json"
    propose(setup(), 2, None, [], candidates)
    uninterrupted = [evaluated(digits, tmp_path, candidates, number) for number in (1, 2)]
    assert not list((tmp_path / "work").glob("*/checkpoint*")), "the state of a candidate that is done is removed"

    from qatflow.training.loop import Trainer

    save, steps = Trainer._save, []

    def killed(self: Trainer) -> None:
        save(self)
        steps.append(self.step)
        if self.step == 8:
            raise KilledError

    monkeypatch.setattr(Trainer, "_save", killed)
    (tmp_path / "killed").mkdir()
    with pytest.raises(KilledError):
        evaluated(digits, tmp_path / "killed", candidates, 2)
    assert steps == [4, 8] and not (tmp_path / "killed/out2").exists()
    steps.clear()
    assert evaluated(digits, tmp_path / "killed", candidates, 2) == uninterrupted[1]
    assert steps == [0] and STEPS == 10, "of 10 steps the last two, and the end of the epoch"
    monkeypatch.undo()

    folders = [tmp_path / "out2", tmp_path / "out1"]
    conclude("AutoPruneStrategy", "acc_top1", [candidates], folders, tmp_path / "best")
    outcomes = read_outcomes([folder / "outcome.json" for folder in folders])
    found = read_result(tmp_path / "best/best.json")
    assert found.best == max(outcomes, key=lambda one: one.reward) and list(found.outcomes) == outcomes
    with (tmp_path / "best/history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["best_reward"]) for row in rows] == [outcomes[0].reward, found.best.reward]
    kept = load(tmp_path / "best")
    assert total(kept).multiply_adds == found.best.candidate.size.multiply_adds
    assert top1_of(kept, digits) == pytest.approx(found.best.metric, abs=1e-6)

    pruning = {"class": "AutoPruneStrategy", "pruner": "p", "controller": "c", "start_epoch": 1, **LIMITS}
    ratios = searched_ratios(tmp_path / "best/best.json")
    strategies = {"prune": pruning, "quantise": {"class": "QuantizationStrategy", "start_epoch": 2, "end_epoch": 2}}
    graph, history = compressed(digits, tmp_path / "trained", strategies, 3, searched=ratios)
    assert len(history) == 3
    assert multiply_adds(graph.in_real_values()) == found.best.candidate.size.multiply_adds
    assert all(kernel.dtype == np.int8 for kernel in device_kernels(graph, digits, tmp_path).values())
    with pytest.raises(UserError, match="other groups of layers than the network has at start_epoch"):
        compressed(digits, tmp_path / "wrong", strategies, 3, searched={"none/kernel": 0.5})
    with pytest.raises(UserError, match="there is no result of its search"):
        compressed(digits, tmp_path / "none", strategies, 3)


def test_without_training_a_candidate_is_its_weights_as_they_are(digits: Manifest, tmp_path: Path):
    candidates = tmp_path / "candidates.json"
    propose(setup(), 1, None, [], candidates)
    written = evaluated(digits, tmp_path, candidates, 1, epochs=0)
    kept, expected = load(tmp_path / "out1"), space().graph(read_round(candidates).candidates[0].tokens)
    for name, values in expected.weights.items():
        np.testing.assert_array_equal(kept.weights[name], values, err_msg=name)
    assert json.loads(written["outcome.json"])["metric"] == pytest.approx(top1_of(expected, digits), abs=1e-6)


def top1_of(graph: Graph, digits: Manifest) -> float:
    """By the prediction of Keras itself."""
    from qatflow.data.pipeline import evaluation_batches
    from qatflow.training.keras_model import training_model

    keras, right, seen = training_model(graph, seed=0, step=0).keras, 0, 0
    for pictures, labels in evaluation_batches(digits, "validation"):
        right += int((np.argmax(keras(pictures, training=False), axis=1) == np.asarray(labels)).sum())
        seen += len(labels)
    return right / seen
