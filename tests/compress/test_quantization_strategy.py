"""When the quantised graph is kept, and what is said when training goes wrong."""

import re
from dataclasses import replace

import numpy as np
import pytest

from helpers.small_data import prepared_digits
from helpers.small_networks import network
from helpers.training_settings import SETTINGS

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


def run(digits, folder, export="end_epoch", graph=None, end_epoch=2, **changes):
    """Train for three epochs; return the strategy, the history, and the integers of the stem after each epoch."""
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.compress.strategies.quantization import QuantizationStrategy
    from qatflow.config.recipe.recipe import QuantizationStrategySection
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.training.loop import Trainer
    from qatflow.training.strategy import Strategy

    class Watch(Strategy):
        def on_epoch_end(self, trainer):
            after.append(quantisers.quantised_graph(trainer.model)[0].weights["conv2d/kernel"])

    after: list[np.ndarray] = []
    graph = graph or network("small ResNet")
    quantisers = Quantisers(graph, QuantSettings(8, 8, "abs_max", "moving_average_abs_max"))
    section = QuantizationStrategySection.model_validate({"class": "QuantizationStrategy", "end_epoch": end_epoch})
    strategy = QuantizationStrategy(section, quantisers, export)
    folder.mkdir(exist_ok=True)
    trainer = Trainer(graph, digits, replace(SETTINGS, **changes), folder, [Watch(), strategy], quantisers)
    return strategy, trainer.run(), after


def test_the_graph_of_end_epoch_is_kept_though_training_goes_on(digits, tmp_path, capsys):
    strategy, history, after = run(digits, tmp_path / "work", end_epoch=1)
    assert len(history) == 3
    np.testing.assert_array_equal(strategy.graph(tmp_path / "work").weights["conv2d/kernel"], after[1])
    assert not np.array_equal(after[1], after[2])
    assert "fake-quantised before training, loss" in capsys.readouterr().out


def test_the_best_epoch_is_kept_when_asked_for(digits, tmp_path):
    strategy, history, after = run(digits, tmp_path / "work", export="best", learning_rate=0.4)
    top1 = [figures.validation_top1 for figures in history]
    best = max(range(3), key=lambda epoch: (top1[epoch], epoch))
    np.testing.assert_array_equal(strategy.graph(tmp_path / "work").weights["conv2d/kernel"], after[best])


def test_channels_that_int8_cannot_hold_are_said_where_the_graph_is_kept(digits, tmp_path, capsys):
    graph = network("small ResNet")
    (norm,) = graph.consumers("conv2d_1")
    gamma = graph.weights[norm.weight("gamma")].copy()
    gamma[[2, 5]] = 0
    graph = replace(graph, weights={**graph.weights, norm.weight("gamma"): gamma})
    strategy, *_ = run(digits, tmp_path / "work", graph=graph, epochs=1, end_epoch=0, freeze_batch_norm=True)
    assert capsys.readouterr().out.count("conv2d_1: 2 channels are only their bias") == 1
    kept = strategy.graph(tmp_path / "work").weights["conv2d_1/kernel"]
    assert np.flatnonzero(~kept.any(axis=(0, 1, 2))).tolist() == [2, 5]


def test_a_layer_that_is_zero_for_all_pictures_is_named_and_its_model_runs(digits, tmp_path, capsys):
    from qatflow.tflite.lower import convert
    from qatflow.tflite.run import Model

    graph = network("small ResNet")
    dead = {"conv2d_1": "re_lu", "conv2d": "conv2d/relu"}
    norm = graph.consumers("conv2d_1")[0].weight("beta")
    weights = {**graph.weights, "conv2d/bias": np.full(8, -50, np.float32), norm: np.full(8, -50, np.float32)}
    strategy, *_ = run(
        digits, tmp_path / "work", graph=replace(graph, weights=weights), epochs=1, end_epoch=0, learning_rate=1e-6
    )
    said = capsys.readouterr().out
    kept = strategy.graph(tmp_path / "work")
    for kernel, name in dead.items():
        assert said.count(f"warning: {name} is (nearly) zero for all pictures: its scale is") == 1
        # what fake quantisation rounded to in training is what is kept
        assert kept.activation_scales[name].scale == strategy.quantisers.least[name] > 1e-8 / 127, kernel
    assert strategy.notes()["least"] == strategy.quantisers.least
    assert np.isfinite(Model(convert(kept).content).outputs(np.ones((1, 32, 32, 1), np.float32))).all()


def test_training_that_ruins_a_model_is_warned_of(digits, tmp_path, capsys):
    _, history, _ = run(digits, tmp_path / "gentle", learning_rate=1e-5, epochs=1, end_epoch=0)
    assert "warning" not in capsys.readouterr().out
    _, history, _ = run(digits, tmp_path / "harsh", learning_rate=30.0, momentum=0.0, epochs=1, end_epoch=0)
    (before,) = re.findall(r"before training, loss ([\d.]+)", (told := capsys.readouterr().out))
    assert history[0].validation_loss > 2 * float(before)
    times = history[0].validation_loss / float(before)
    assert f"warning: epoch 0 ends with {times:.1f} times the validation loss of the float model" in told


def test_a_rate_far_above_the_default_is_warned_of():
    from qatflow.training.from_config import high_rate_warning, int8_rate

    assert int8_rate(128, freeze_batch_norm=False) == pytest.approx(0.005)
    assert int8_rate(25, freeze_batch_norm=True) == pytest.approx(3e-6)
    assert int8_rate(50, freeze_batch_norm=True) == pytest.approx(6e-6)
    assert high_rate_warning(1e-5, 25, freeze_batch_norm=True) == ""
    assert "0.0001 is 33 times the default of 3e-06" in high_rate_warning(1e-4, 25, freeze_batch_norm=True)


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_range_that_blew_up(digits, tmp_path):
    from qatflow.base.errors import UserError

    with pytest.raises(UserError, match=r"epoch 0, step \d+: the loss is nan; the first range that blew up is that of"):
        run(digits, tmp_path / "work", learning_rate=1e25)


def test_a_model_that_fake_quantisation_breaks_is_warned_of(digits, tmp_path, capsys):
    from qatflow.training.loop import Trainer

    (tmp_path / "trained").mkdir()
    trainer = Trainer(network("small ResNet"), digits, replace(SETTINGS, epochs=4, batch_size=64), tmp_path / "trained")
    trainer.run()
    graph = trainer.float_graph()
    run(digits, tmp_path / "float", graph=graph, epochs=1, end_epoch=0, learning_rate=1e-6)
    assert "warning" not in capsys.readouterr().out
    # the same function in float, with one channel 3,000 times the others: one scale a tensor leaves nothing of these
    weights = dict(graph.weights)
    for conv in [name for name in weights if name.startswith("conv2d_")]:
        norm = graph.consumers(conv.rsplit("/", 1)[0])[0]
        factor = np.ones(weights[conv].shape[-1], np.float32)
        factor[0] = 3000
        weights[conv] = weights[conv] * factor
        for role, power in (("moving_mean", 1), ("moving_variance", 2)):
            weights[norm.weight(role)] = weights[norm.weight(role)] * factor**power
    broken = replace(graph, weights=weights)
    run(digits, tmp_path / "work", graph=broken, epochs=1, end_epoch=0, learning_rate=1e-6)
    assert "warning: fake quantisation alone raises the loss" in capsys.readouterr().out
