"""Filter pruning within a training for int8: the model gets thinner, and a killed run ends with the same bytes."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helpers.compression import assert_as_before
from helpers.small_data import prepared_digits
from helpers.small_networks import network
from helpers.trained_integers import assert_kept
from qatflow.base.errors import UserError
from qatflow.graph.operations import BatchNorm

pytestmark = pytest.mark.tensorflow

EPOCHS = 4
QUANTIZATION = {"class": "QuantizationStrategy", "start_epoch": 3, "end_epoch": 3, "float_model_save_path": "./float"}
UNIFORM = {"class": "UniformPruneStrategy", "pruner": "p", "start_epoch": 1}
SENSITIVE = {
    "class": "SensitivePruneStrategy", "pruner": "p", "start_epoch": 1, "end_epoch": 2, "num_steps": 2,
    "delta_rate": 0.4, "eval_rate": 0.5,
}  # fmt: skip


class KilledError(Exception):
    """Stands for a process that ends without a word."""


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


def settings(epochs: int):
    from qatflow.training.settings import TrainingSettings

    return TrainingSettings(
        epochs=epochs, batch_size=128, learning_rate=0.05, warmup_epochs=0.0, momentum=0.9, weight_decay=0.0,
        label_smoothing=0.0, augmentation="none", freeze_batch_norm=False, seed=1, checkpoint_steps=4,
    )  # fmt: skip


@pytest.fixture(scope="module")
def learnt(digits, tmp_path_factory):
    """The small ResNet, trained in float: what pruning a layer costs can be measured."""
    from qatflow.training.loop import Trainer

    graph = network("small ResNet")
    # statistics that a training of 40 steps can move
    nodes = [
        replace(node, operation=replace(node.operation, momentum=0.8))
        if isinstance(node.operation, BatchNorm)
        else node
        for node in graph.nodes
    ]
    graph = replace(graph, nodes=tuple(nodes))
    trainer = Trainer(graph, digits, settings(4), tmp_path_factory.mktemp("float"))
    trainer.run()
    return trainer.float_graph()


def compressed(digits, graph, folder, prune: dict, **changes):
    """Run the Compressor with a pruning strategy before quantisation; return its graph and history as bytes."""
    from qatflow.compress.compressor import Compressor
    from qatflow.config.recipe.recipe import CompressConfig
    from qatflow.config.sections.compress import CompressSection
    from qatflow.graph.store import save

    config = CompressConfig.model_validate(
        {
            "pruners": {"p": {"class": "StructurePruner"}},
            "strategies": {"prune": prune, "quantise": QUANTIZATION},
            "compressor": {"epoch": EPOCHS, "strategies": ["prune", "quantise"]},
        }
    )
    section = CompressSection(augmentation="none", learning_rate=0.02, checkpoint_steps=4, **changes)
    (folder / "work").mkdir(parents=True, exist_ok=True)
    compressor = Compressor(graph, digits, section, config, seed=3)
    made = compressor.run(folder / "work", folder)
    save(made.graph, folder / "trained")
    files = {path.name: path.read_bytes() for path in sorted((folder / "trained").iterdir())}
    files |= {path.name: path.read_bytes() for path in sorted(folder.glob("sensitivities*"))}
    files["pruning"] = json.dumps(made.pruning).encode()
    return made.graph, made.history, files


FROZEN = "conv2d"


@pytest.fixture(scope="module")
def partly_frozen(learnt):
    return replace(learnt, frozen=frozenset({FROZEN}))


@pytest.fixture(scope="module")
def uniform(digits, partly_frozen, tmp_path_factory):
    return compressed(digits, partly_frozen, tmp_path_factory.mktemp("uniform"), UNIFORM)


@pytest.fixture(scope="module")
def sensitive(digits, learnt, tmp_path_factory):
    return compressed(digits, learnt, tmp_path_factory.mktemp("sensitive"), SENSITIVE)


def multiply_adds(graph) -> int:
    """Counted from Keras' own layers, independently of `graph.counts`."""
    from qatflow.training.keras_model import training_model

    floats = replace(graph, weights={name: graph.real_weight(name) for name in graph.weights}, weight_scales={})
    keras = training_model(floats, seed=0, step=0).keras
    total = 0
    for layer in keras.layers:
        kernels = [w for w in layer.weights if w.name.split(":")[0].endswith("kernel")]
        total += sum(int(np.prod(w.shape)) * int(np.prod(layer.output_shape[1:-1])) for w in kernels)
    return total


def kill_at_step(monkeypatch, epoch: int, step: int) -> None:
    from qatflow.training.strategy import Strategy

    def on_batch_end(self, trainer) -> None:
        if (trainer.epoch, trainer.step) == (epoch, step):
            raise KilledError

    monkeypatch.setattr(Strategy, "on_batch_end", on_batch_end)


def kill_at_evaluation(monkeypatch, number: int) -> None:
    from qatflow.training.loop import Trainer

    evaluate, calls = Trainer.evaluate, iter(range(1, number + 1))

    def counted(self, share=1.0):
        if next(calls) == number:
            raise KilledError
        return evaluate(self, share)

    monkeypatch.setattr(Trainer, "evaluate", counted)


@pytest.mark.parametrize("which", ["uniform", "sensitive"])
def test_half_of_the_multiply_adds_are_gone_and_the_integers_are_exact(which, learnt, request):
    from qatflow.graph.store import tensors
    from qatflow.tflite.lower import convert

    trained, history, _ = request.getfixturevalue(which)
    assert multiply_adds(trained) / multiply_adds(learnt) == pytest.approx(0.5, abs=0.06)
    assert [node.name for node in trained.nodes] == [node.name for node in learnt.nodes]
    assert trained.weights["dense/kernel"].shape[1] == 10, "the classes stay"
    thinner = [name for name in trained.weights if trained.weights[name].size < learnt.weights[name].size]
    assert len(thinner) > 20
    assert [figures.phase for figures in history] == ["float", "float", "float", "int8"]
    assert history[-1].validation_top1 > 0.7
    content = convert(trained).content
    assert assert_kept(content, trained, tensors(trained, "integer")) == (6, 0, 1, 0)
    assert len(content) < 0.8 * len(convert(_quantised_whole(learnt)).content)


def _quantised_whole(graph):
    """The network unpruned, with scales of its weights and any of its activations: its size alone is asked for."""
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.training.keras_model import training_model

    quantisers = Quantisers(graph, QuantSettings(8, 8, "abs_max", "moving_average_abs_max"))
    model = training_model(graph, seed=0, step=0, hooks=quantisers)
    quantisers.phase.mode = "calibrate"
    model.keras(np.random.default_rng(5).normal(0, 0.5, (16, 32, 32, 1)).astype(np.float32), training=False)
    return quantisers.quantised_graph(model)[0]


def same(one, other) -> None:
    (_, history, files), (_, expected_history, expected) = one, other
    assert history == expected_history
    assert files.keys() == expected.keys()
    assert [name for name in files if files[name] != expected[name]] == []


def test_two_runs_give_the_same_bytes(digits, partly_frozen, uniform, tmp_path):
    same(compressed(digits, partly_frozen, tmp_path, UNIFORM), uniform)


def test_a_frozen_layer_stays_as_it_is(uniform, learnt):
    trained, _, _ = uniform
    kernel, bias = f"{FROZEN}/kernel", f"{FROZEN}/bias"
    assert trained.weights[kernel].shape == learnt.weights[kernel].shape
    assert_as_before(trained, kernel, learnt.weights[kernel], equal_ranges=False)
    np.testing.assert_array_equal(trained.weights[bias], learnt.weights[bias])
    (record,) = json.loads(uniform[2]["pruning"])
    fixed = {layer["layer"]: layer["fixed"] for layer in record["layers"] if layer["fixed"]}
    assert fixed[FROZEN] == fixed["conv2d_2"] == f"'{FROZEN}' is frozen"


def killed_one_after_another(digits, graph, folder, prune: dict, kills, capsys) -> tuple[Any, list[list[str]]]:
    """Kill the run at each point in turn, begin it again, and return its end and each process's lines of sensitivity.

    A test of the pruning's own points: what goes on behind each kill is the run that came through those before.
    """
    measured = []
    capsys.readouterr()
    for kill in kills:
        with pytest.MonkeyPatch.context() as patch:
            kill(patch)
            with pytest.raises(KilledError):
                compressed(digits, graph, folder, prune)
        measured.append(capsys.readouterr().out.splitlines())
    end = compressed(digits, graph, folder, prune)
    measured.append(capsys.readouterr().out.splitlines())
    return end, [[line for line in lines if line.startswith("sensitivity of")] for lines in measured]


def test_a_run_killed_at_five_points_goes_on_to_the_same_bytes(digits, partly_frozen, uniform, tmp_path, capsys):
    kills = (
        lambda patch: kill_at_step(patch, 0, 7),  # before pruning
        # pruned, nothing of it kept: the evaluations are at the end of epoch 0, before pruning, after it
        lambda patch: kill_at_evaluation(patch, 3),
        lambda patch: kill_at_step(patch, 1, 2),  # pruned, no checkpoint since
        lambda patch: kill_at_step(patch, 1, 6),  # pruned, with a checkpoint
        lambda patch: kill_at_step(patch, 3, 6),  # quantised
    )
    same(killed_one_after_another(digits, partly_frozen, tmp_path, UNIFORM, kills, capsys)[0], uniform)


def test_a_sensitive_pruning_killed_at_four_points_goes_on_to_the_same_bytes(
    digits, learnt, sensitive, tmp_path, capsys
):
    kills = (
        lambda patch: kill_at_evaluation(patch, 5),  # in the first sweep
        lambda patch: kill_at_step(patch, 1, 6),  # between the steps
        lambda patch: kill_at_evaluation(patch, 5),  # in the second sweep
        lambda patch: kill_at_step(patch, 2, 6),  # after both
    )
    end, measured = killed_one_after_another(digits, learnt, tmp_path, SENSITIVE, kills, capsys)
    same(end, sensitive)
    files = [json.loads(content) for name, content in sensitive[2].items() if name.startswith("sensitivities")]
    first, second = (sum(len(group["loss"]) for group in file["groups"].values()) for file in files)
    counts = [len(lines) for lines in measured]
    assert counts[0] > 0 and counts[2] > 0, "both sweeps were killed half-way"
    assert counts == [counts[0], first - counts[0], counts[2], second - counts[2], 0], "each was measured once"
    assert counts[1] > 0 and counts[3] > 0


def test_sensitivities_are_of_the_pictures_asked_for_and_are_kept_for_another_run(digits, learnt, tmp_path, capsys):
    once = {**SENSITIVE, "num_steps": 1, "sensitivities_file": "./kept/s.json"}
    first = compressed(digits, learnt, tmp_path / "one", once)
    assert "sensitivity of" in capsys.readouterr().out
    content = (tmp_path / "one/kept/s.json").read_bytes()
    (tmp_path / "two/kept").mkdir(parents=True)
    (tmp_path / "two/kept/s.json").write_bytes(content)
    same(compressed(digits, learnt, tmp_path / "two", once), first)
    assert "sensitivity of" not in capsys.readouterr().out
    assert (tmp_path / "two/kept/s.json").read_bytes() == content


def test_layers_that_cost_more_lose_less(sensitive):
    (first, second) = (json.loads(sensitive[2][name]) for name in sorted(sensitive[2]) if name.startswith("sens"))
    assert first["baseline"] > 0.8 and first["digest"] != second["digest"]
    assert all(group["pruned_percent"] == [0.4, 0.8] for group in first["groups"].values())


def test_momentum_stays_where_shapes_do_and_begins_at_zero_where_not(digits, learnt, tmp_path):
    from qatflow.compress.strategies.prune import UniformPruneStrategy
    from qatflow.config.recipe.pruning import StructurePrunerSection, UniformPruneStrategySection
    from qatflow.training.loop import Trainer
    from qatflow.training.strategy import Strategy

    seen: list[dict[str, np.ndarray]] = []
    steps: list[int] = []

    class Watch(Strategy):
        def on_epoch_begin(self, trainer):
            if trainer.epoch == 1:
                seen.append({name: v.numpy().copy() for name, v in trainer._training_step._momentum().items()})
                steps.append(int(trainer._training_step._optimizer.iterations))

    section = UniformPruneStrategySection.model_validate({**UNIFORM, "pruned_params": "conv2d_3/", "target_ratio": 0.1})
    prune = UniformPruneStrategy(section, StructurePrunerSection.model_validate({"class": "StructurePruner"}))
    trainer = Trainer(learnt, digits, settings(2), tmp_path, [Watch(), prune, Watch()])
    trainer.run()
    before, after = seen
    assert steps == [trainer.steps_per_epoch] * 2
    changed = {name for name in before if before[name].shape != after[name].shape}
    assert {"conv2d_3/kernel", "conv2d_4/kernel"} <= changed and len(changed) < len(before) / 2
    for name, momentum in after.items():
        assert before[name].any()
        np.testing.assert_array_equal(momentum, 0 if name in changed else before[name], err_msg=name)
    values = trainer.model.weights()
    assert all(np.isfinite(array).all() for array in values.values())


@pytest.mark.parametrize("strategy", [UNIFORM, SENSITIVE])
def test_more_than_there_is_cannot_go_which_is_known_before_training(digits, learnt, tmp_path, capsys, strategy):
    with pytest.raises(UserError, match=r"^target_ratio: \d\d\S* % of the multiply-adds cannot go"):
        compressed(digits, learnt, tmp_path, {**strategy, "target_ratio": 0.9, "pruned_params": "conv2d_3/"})
    with pytest.raises(UserError, match=r"^pruned_params: nothing of 'conv2d_2/' can be pruned.*'conv2d' is frozen; "):
        frozen = replace(learnt, frozen=frozenset({FROZEN}))
        compressed(digits, frozen, tmp_path, {**strategy, "pruned_params": "conv2d_2/"})
    assert "epoch 0" not in capsys.readouterr().out
