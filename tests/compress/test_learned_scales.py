"""lsq and pact against NumPy: forward, gradients, starting values, and what training does to them."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helpers.small_networks import tiny_residual, with_statistics
from helpers.training_settings import SETTINGS
from qatflow.quantisation.grids import Fit

pytestmark = pytest.mark.tensorflow

FITS: list[Fit] = ["from_zero", "around_zero"]


@pytest.fixture(scope="module")
def tf():
    import tensorflow

    return tensorflow


def owner():
    """A Keras layer, to own a quantiser's variables."""
    import tf_keras

    return tf_keras.layers.Layer()


def integer_ends(bits: int, fit: Fit) -> tuple[int, int]:
    """−Qn and Qp of Esser et al. 2020, §2: unsigned and signed."""
    return (0, 2**bits - 1) if fit == "from_zero" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def lsq_reference(x: np.ndarray, s: Any, low: int, high: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eq. 1 to 3 and 5 in float64: x̂, dx̂/dx, and dx̂/ds of each value without the gradient's scale."""
    v = x.astype(np.float64) / s
    rounded = np.rint(np.clip(v, low, high))
    inside = (v > low) & (v < high)
    return rounded * s, inside * 1.0, np.where(inside, rounded - v, np.where(v <= low, low, high))


def pact_reference(x: np.ndarray, clip: float, low: int, high: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eq. 1 to 3 of Choi et al. 2018: y, dy/dx, and dy/dα; the lower end is that of the integers."""
    s = clip / high
    inside = (x > low * s) & (x < clip)
    y = np.rint(np.clip(x.astype(np.float64), low * s, clip) / s) * s
    return y, inside * 1.0, np.where(inside, 0.0, np.where(x >= clip, 1.0, low / high))


def assert_on_grid(found: np.ndarray, expected: np.ndarray, step: Any) -> None:
    np.testing.assert_allclose(found / step, expected / step, rtol=0, atol=1e-3)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("name", ["lsq", "pact"])
def test_activations_and_their_gradients_are_those_of_the_paper(tf, name: str, bits: int, fit: Fit):
    from qatflow.compress.quantizers.fake_quant import Phase
    from qatflow.compress.quantizers.table import activation_quantizer

    random = np.random.default_rng(bits)
    x = random.normal(0.2, 1.0, (6, 5, 4, 3)).astype(np.float32)
    upstream = random.normal(0, 1, x.shape).astype(np.float32)
    low, high = integer_ends(bits, fit)
    quantizer = activation_quantizer(name, bits, Phase("quantise"), fit, "max")
    state = quantizer.build(None, "x", owner())
    (variable,) = state.values()
    value = np.float32(1.3 / high if name == "lsq" else 1.3)  # some values are beyond each end
    variable.assign(value)
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        found = quantizer(inputs, True, state)
    of_x, of_value = tape.gradient(found, [inputs, variable], upstream)
    if name == "lsq":
        expected, to_x, to_value = lsq_reference(x, np.float64(value), low, high)
        to_value = to_value / math.sqrt(5 * 4 * 3 * high)  # N: values of one picture
        step = value
    else:
        expected, to_x, to_value = pact_reference(x, float(value), low, high)
        step = value / high
    assert 0.02 < (to_x == 0).mean() < 0.6, "values lie on both sides of an end"
    assert_on_grid(found.numpy(), expected, step)
    np.testing.assert_array_equal(of_x, to_x * upstream)
    assert float(of_value) == pytest.approx((to_value * upstream.astype(np.float64)).sum(), rel=1e-4, abs=1e-5)
    np.testing.assert_array_equal(quantizer(tf.constant(x), False, state), found, "inference computes the same")
    scale, zero_point = quantizer.grid(state)
    assert (scale, zero_point) == (pytest.approx(float(step), rel=1e-7), -(2 ** (bits - 1)) if low == 0 else 0)


@pytest.mark.parametrize("case", ["none beyond", "some beyond", "at the end", "many beyond"])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("name", ["lsq", "pact"])
def test_gradients_are_the_papers_however_many_values_are_beyond_the_ends(tf, name: str, fit: Fit, case: str):
    """None, some or many values are beyond the ends; the step, a power of two, has exact multiples."""
    from qatflow.compress.quantizers.fake_quant import Phase
    from qatflow.compress.quantizers.table import activation_quantizer

    random = np.random.default_rng(5)
    low, high = integer_ends(8, fit)
    step = np.float32(2.0**-6)
    x = random.normal(0, 1, (8, 8, 16, 64))
    x = (0.9 * high * step / np.abs(x).max() * x).astype(np.float32)
    if case == "some beyond":
        x[1, 2, 3, 4], x[1, 2, 3, 5], x[7, 7, 15, 63] = 1.5 * high * step, -2 * high * step, (high + 1) * step
    elif case == "at the end":
        x[0, 0, 0, 0], x[3, 0, 1, 2], x[7, 7, 15, 63] = high * step, low * step, (high - 0.25) * step
    elif case == "many beyond":
        x[:, :, 5, 1::7] *= 100
    x = np.maximum(x, 0) if fit == "from_zero" else x
    upstream = random.normal(0.01, 1, x.shape).astype(np.float32)
    quantizer = activation_quantizer(name, 8, Phase("quantise"), fit, "max")
    state = quantizer.build(None, "x", owner())
    (variable,) = state.values()
    variable.assign(step if name == "lsq" else high * step)

    def gradients(values, above):
        with tf.GradientTape() as tape:
            tape.watch(values)
            found = quantizer(values, True, state)
        return tape.gradient(found, [values, variable], above)

    if name == "lsq":
        _, to_x, to_value = lsq_reference(x, np.float64(step), low, high)
        to_value = to_value / math.sqrt(8 * 16 * 64 * high)
    else:
        _, to_x, to_value = pact_reference(x, float(high * step), low, high)
    terms = to_value * upstream.astype(np.float64)
    for run in (gradients, tf.function(gradients, autograph=False)):
        of_x, of_value = run(tf.constant(x), tf.constant(upstream))
        np.testing.assert_array_equal(of_x, to_x * upstream)
        assert float(of_value) == pytest.approx(terms.sum(), rel=1e-5, abs=1e-6 * np.abs(terms).sum())


@pytest.mark.parametrize("channels", [None, 7])
@pytest.mark.parametrize("bits", [2, 3, 8])
def test_weights_and_their_gradients_are_those_of_the_paper(tf, bits: int, channels: int | None):
    from qatflow.compress.quantizers.fake_quant import Phase
    from qatflow.compress.quantizers.table import WEIGHT_QUANTIZERS

    random = np.random.default_rng(bits)
    kernel = random.normal(0, 0.3, (3, 3, 5, 7)).astype(np.float32) * (1 + np.arange(7, dtype=np.float32))
    upstream = random.normal(0, 1, kernel.shape).astype(np.float32)
    end = 2 ** (bits - 1) - 1
    quantizer = WEIGHT_QUANTIZERS["channel_wise_lsq" if channels else "lsq"](bits, channels, Phase("quantise"))
    (variable,) = quantizer.build(kernel.shape, "kernel", owner()).values()
    quantizer.settle(kernel)
    flat = kernel.astype(np.float64).reshape(-1, channels or 1)
    np.testing.assert_allclose(variable, 2 * np.abs(flat).mean(axis=0) / math.sqrt(end), rtol=1e-6)
    variable.assign(0.3 * variable)  # so that some weights of each width are beyond the ends
    with tf.GradientTape() as tape:
        weights = tf.constant(kernel)
        tape.watch(weights)
        found = quantizer(weights, True, {})
    of_kernel, of_step = tape.gradient(found, [weights, variable], upstream)
    step = variable.numpy().astype(np.float64)
    expected, to_kernel, to_step = lsq_reference(flat, step, -end, end)
    assert_on_grid(found.numpy().reshape(flat.shape), expected, step)
    np.testing.assert_array_equal(of_kernel.numpy().reshape(flat.shape), to_kernel * upstream.reshape(flat.shape))
    gradient = (to_step * upstream.reshape(flat.shape)).sum(axis=0) / math.sqrt(len(flat) * end)
    np.testing.assert_allclose(of_step, gradient, rtol=1e-4, atol=1e-5)
    integers, scale = quantizer.integers(tf.constant(kernel))
    np.testing.assert_array_equal(integers.numpy().reshape(flat.shape), np.rint(expected / step))
    np.testing.assert_array_equal(scale, variable)


@pytest.mark.parametrize("method", ["max", "percentile", "mse"])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("name", ["lsq", "pact"])
def test_training_starts_from_the_calibration_pictures(tf, name: str, fit: Fit, method):
    from qatflow.compress.quantizers.fake_quant import Phase
    from qatflow.compress.quantizers.table import activation_quantizer
    from qatflow.quantisation.calibration import Histogram, calibrated_range

    phase = Phase("calibrate")
    quantizer = activation_quantizer(name, 8, phase, fit, method)
    state = quantizer.build(None, "x", owner())
    shown = [np.random.default_rng(seed).standard_t(3, (40, 50)).astype(np.float32) for seed in range(4)]
    shown = [np.abs(batch) for batch in shown] if fit == "from_zero" else shown
    assert quantizer.counts == (method != "max")
    for mode in ("calibrate", "count") if quantizer.counts else ("calibrate",):
        phase.mode = mode
        if mode == "count":
            quantizer.begin_counting()
        for batch in shown:
            np.testing.assert_array_equal(quantizer(tf.constant(batch), False, state), batch)
    quantizer.settle(state)
    values, (_, high) = np.stack(shown), integer_ends(8, fit)
    if method == "max":
        start = np.abs(values).max() if name == "pact" else 2 * np.abs(values).mean() / math.sqrt(high) * high
    else:
        counted = Histogram.empty(float(np.abs(values).max())).plus(values)
        low, end = calibrated_range(method, counted, (float(values.min()), float(values.max())), 8, fit)
        start = max(-low, end)
    scale, _ = quantizer.grid(state)
    assert scale == pytest.approx(start / high, rel=1e-5)


def test_at_16_bits_a_trained_step_starts_with_all_of_its_integers(tf):
    """By the paper's formula the largest magnitude would be some hundred steps: a grid as coarse as that of 8 bits."""
    from qatflow.compress.quantizers.fake_quant import Phase
    from qatflow.compress.quantizers.table import activation_quantizer

    phase = Phase("calibrate")
    quantizer = activation_quantizer("lsq", 16, phase, "around_zero", "max")
    state = quantizer.build(None, "x", owner())
    shown = [np.random.default_rng(seed).standard_t(3, (40, 50)).astype(np.float32) for seed in range(2)]
    for batch in shown:
        quantizer(tf.constant(batch), False, state)
    quantizer.settle(state)
    greatest = np.abs(np.stack(shown)).max()
    assert quantizer.grid(state)[0] == pytest.approx(greatest / 32767, rel=1e-6)
    phase.mode = "quantise"
    found = quantizer(tf.constant(shown[0]), False, state).numpy()
    np.testing.assert_allclose(found, shown[0], rtol=0, atol=0.51 * greatest / 32767)


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_scales_of_weights_start_at_the_mean_or_at_the_least_error(tf, bits: int):
    from qatflow.compress.quantizers.fake_quant import Phase
    from qatflow.compress.quantizers.table import weight_quantizer

    end, kernel = 2 ** (bits - 1) - 1, np.random.default_rng(bits).standard_t(4, (3, 3, 8, 4)).astype(np.float32)
    flat = kernel.reshape(-1, 4).astype(np.float64)
    found = {}
    for first in ("mean", "mse"):
        quantizer = weight_quantizer("channel_wise_lsq", bits, 4, Phase("quantise"), first)
        quantizer.build(kernel.shape, "kernel", owner())
        quantizer.settle(kernel)
        integers, scale = (value.numpy() for value in quantizer.integers(tf.constant(kernel)))
        found[first] = scale, ((integers * scale - kernel) ** 2).reshape(-1, 4).sum(axis=0)
        # integers that already lie on a grid, such as those of a quantised init_model, and reach its end
        integers[0, 0, 0] = end
        quantizer.settle(integers * scale)
        again, same = quantizer.integers(tf.constant(integers * scale))
        kept = np.array_equal(again, integers) and np.allclose(same, scale, rtol=1e-5)
        assert kept == (first == "mse")
    np.testing.assert_allclose(found["mean"][0], 2 * np.abs(flat).mean(axis=0) / math.sqrt(end), rtol=1e-5)
    steps = np.abs(flat).max(axis=0) / end * (np.arange(1, 1001) / 1000)[:, None, None]
    errors = ((np.clip(np.rint(flat / steps), -end, end) * steps - flat) ** 2).sum(axis=1)
    assert (found["mse"][1] <= 1.02 * errors.min(axis=0)).all()
    assert (found["mse"][1] < found["mean"][1]).all()


def test_a_step_below_the_least_is_held_there_and_can_grow(tf):
    from qatflow.compress.quantizers.fake_quant import Phase
    from qatflow.compress.quantizers.lsq import LearnedStep

    quantizer = LearnedStep(8, Phase("quantise"))
    state = quantizer.build(None, "x", owner())
    quantizer.least = 0.25
    x = tf.constant([[3.1, -0.6, 40.0]])
    for step in (-1.0, 0.0, 0.1):
        state["step"].assign(step)
        with tf.GradientTape() as tape:
            found = quantizer(x, True, state)
        np.testing.assert_array_equal(found, [[3.0, -0.5, 31.75]])
        assert quantizer.grid(state)[0] == 0.25
        # a larger step would move the clipped value towards its own: the gradient of the loss is negative
        assert float(tape.gradient(found, state["step"], found - x)) < 0


def test_a_kernel_or_tensor_of_zeros_stays_zero_on_a_finite_grid(tf):
    from qatflow.compress.quantizers.fake_quant import Phase
    from qatflow.compress.quantizers.lsq import LearnedStepWeight
    from qatflow.compress.quantizers.table import activation_quantizer

    kernel = LearnedStepWeight(4, 4, Phase("quantise"))
    kernel.build([3, 3, 2, 4], "kernel", owner())
    kernel.settle(np.zeros((3, 3, 2, 4), np.float32))
    integers, scale = kernel.integers(tf.zeros([3, 3, 2, 4]))
    assert not integers.numpy().any() and np.isfinite(scale).all() and (scale.numpy() > 0).all()
    for name in ("lsq", "pact"):
        phase = Phase("calibrate")
        quantizer = activation_quantizer(name, 8, phase, "from_zero", "max")
        state = quantizer.build(None, "x", owner())
        quantizer(tf.zeros([2, 3]), False, state)
        quantizer.settle(state)
        phase.mode = "quantise"
        assert not quantizer(tf.zeros([2, 3]), True, state).numpy().any() and quantizer.grid(state)[0] > 0


def test_of_trained_values_only_clips_are_decayed_and_frozen_layers_train_none(tf):
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.training.replicas import Replicas
    from qatflow.training.step import TrainingStep

    class NoLoss:
        looks_at = ()

        def __call__(self, batch, logits, outputs):
            return 0.0 * tf.reduce_sum(logits, axis=1)

    graph = replace(with_statistics(tiny_residual), frozen=frozenset({"conv2d_1"}))
    quantisers = Quantisers(graph, QuantSettings(4, 8, "channel_wise_lsq", "pact", clip_decay=0.5))
    settings = replace(SETTINGS, learning_rate=0.1, momentum=0.0, weight_decay=0.2, epochs=1_000)
    step = TrainingStep(settings, 10, "softmax", Replicas([]), quantisers)
    step.build(graph, "float32")
    pictures = np.random.default_rng(3).normal(0, 1, (8, *graph.nodes[0].operation.shape)).astype(np.float32)
    quantisers.calibrate(step.model, lambda: [tf.constant(pictures)])
    quantisers.phase.mode = "quantise"
    step.loss = NoLoss()
    step.trace()
    before = {variable.name: variable.numpy() for variable in step.model.trained()}
    step(tf.constant(pictures), tf.zeros([8], tf.int64), tf.range(8, dtype=tf.int64))
    seen = dict.fromkeys(("kernel", "kernel_step", "output_clip"), 0)
    for variable in step.model.trained():
        kind = variable.name.split("/")[-1].removesuffix(":0")
        factor = {"kernel": 1 - 0.1 * 0.2, "output_clip": 1 - 0.1 * 0.5}.get(kind, 1.0)
        np.testing.assert_allclose(variable, factor * before[variable.name], rtol=1e-5, err_msg=variable.name)
        seen[kind] = seen.get(kind, 0) + 1
    assert seen["kernel"] == 2 and seen["kernel_step"] == 2 and seen["output_clip"] >= 5
    kernel = graph.weights["conv2d_1/kernel"]
    scale = quantisers.quantised_graph(step.model)[0].weight_scales["conv2d_1/kernel"].scale
    np.testing.assert_allclose(scale, np.abs(kernel).reshape(-1, 16).max(axis=0) / 7, rtol=1e-6)
