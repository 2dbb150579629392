"""The quantisers against NumPy and the formulas of PaddleSlim."""

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def tf():
    import tensorflow

    return tensorflow


def kernel(seed: int = 0, shape: tuple[int, ...] = (3, 3, 5, 7)) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)


def rounded(values: np.ndarray, scale: np.ndarray, low: int, high: int) -> np.ndarray:
    """round(x / scale) within the integers, by the definition; ties are left out by the tests' random values."""
    return np.clip(np.rint(values.astype(np.float64) / scale), low, high)


@pytest.mark.parametrize("bits", [4, 8])
def test_abs_max_weights_have_one_scale_and_the_integers_of_the_formula(tf, bits: int):
    from qatflow.compress.quantizers.fake_quant import fake_quant_weight, weight_integers

    values, largest = kernel(), 2 ** (bits - 1) - 1
    integers, scale = weight_integers(tf.constant(values), bits, None)
    assert scale.numpy() == np.float32(np.abs(values).max()) / np.float32(largest)
    np.testing.assert_array_equal(integers, rounded(values, np.abs(values).max() / largest, -largest, largest))
    assert np.abs(integers).max() == largest
    fake = fake_quant_weight(tf.constant(values), bits, None)
    np.testing.assert_allclose(fake, integers * scale, rtol=0, atol=float(scale.numpy()[0]) * 1e-4)


@pytest.mark.parametrize("shape", [(3, 3, 5, 7), (3, 3, 7, 1), (1, 1, 2, 7)])
def test_channel_wise_weights_have_a_scale_a_channel(tf, shape):
    from qatflow.compress.quantizers.fake_quant import weight_integers

    values = kernel(1, shape)
    flat = values.reshape(-1, 7)
    integers, scale = weight_integers(tf.constant(values), 8, 7)
    np.testing.assert_array_equal(scale, np.abs(flat).max(axis=0) / np.float32(127))
    expected = rounded(flat, np.abs(flat).max(axis=0).astype(np.float64) / 127, -127, 127)
    np.testing.assert_array_equal(integers.numpy().reshape(-1, 7), expected)


def test_a_kernel_of_zeros_stays_zero(tf):
    from qatflow.compress.quantizers.fake_quant import weight_integers

    integers, scale = weight_integers(tf.zeros([3, 3, 2, 4]), 8, 4)
    assert not integers.numpy().any()
    assert np.isfinite(scale).all() and (scale.numpy() > 0).all()


def test_gradients_pass_straight_through_inside_the_range(tf):
    from qatflow.compress.quantizers.fake_quant import fake_quant, fake_quant_weight

    weights = tf.Variable(kernel())
    x = tf.Variable([-2.0, -0.4, 0.0, 0.3, 0.99, 1.5])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(fake_quant_weight(weights, 8, None) * 3.0)
        total += tf.reduce_sum(fake_quant(x, tf.constant(1.0 / 127), tf.constant(0.0), 8) * 2.0)
    of_weights, of_x = tape.gradient(total, [weights, x])
    np.testing.assert_array_equal(of_weights, np.full(weights.shape, 3.0))
    np.testing.assert_array_equal(of_x, [0, 2, 2, 2, 2, 0])


@pytest.mark.parametrize("scale", [1.0 / 255, 6.0 / 255, 3e-9, 0.7])
def test_gradients_of_what_is_never_negative_end_behind_the_largest_integer(tf, scale: float):
    from qatflow.compress.quantizers.fake_quant import fake_quant

    end = np.float32(255) * np.float32(scale)
    x = tf.constant(
        [0.0, 0.4 * end, np.nextafter(end, np.float32(0)), end, np.nextafter(end, np.float32(np.inf)), 2 * end]
    )
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = fake_quant(x, tf.constant(scale, tf.float32), tf.constant(-128.0), 8)
    np.testing.assert_array_equal(tape.gradient(found, x, np.full(6, -3, np.float32)), [-3, -3, -3, -3, 0, 0])
    np.testing.assert_allclose(found / scale, [0, 102, 255, 255, 255, 255], rtol=0, atol=1e-3)


def beyond(x: np.ndarray, end: np.float32, case: str) -> np.ndarray:
    """Some values of [8, 8, 16, 64] moved to the end of a grid or beyond it."""
    x = (0.9 * end / np.abs(x).max() * x).astype(np.float32)
    if case == "some beyond":
        x[1, 2, 3, 4], x[1, 2, 3, 5], x[7, 0, 0, 0], x[7, 7, 15, 63] = 1.5 * end, -2 * end, end, np.nextafter(end, 9)
    elif case == "at the end":
        x[0, 0, 0, 0], x[3, :, 1, 2], x[7, 7, 15, 63] = end, np.nextafter(end, np.float32(0)), -end
    elif case == "many beyond":
        x[:, :, 5, 1::7] *= 100
    elif case == "not a number":
        x[2, 2, 2, 2] = np.nan
    return x


CASES = ["none beyond", "some beyond", "at the end", "many beyond"]


@pytest.mark.parametrize(
    ("fit", "case"),
    [*((fit, case) for fit in ("from_zero", "around_zero") for case in CASES), ("around_zero", "not a number")],
)
def test_only_the_gradients_of_values_beyond_the_grid_end(tf, fit, case: str):
    from qatflow.compress.quantizers.fake_quant import fake_quant

    random = np.random.default_rng(3)
    scale, zero_point, integers = (6 / 255, -128, 255) if fit == "from_zero" else (1 / 127, 0, 127)
    high = np.float32(integers) * np.float32(scale)
    low = np.float32(0) if fit == "from_zero" else np.float32(-128) * np.float32(scale)
    x = beyond(random.normal(0, 1, (8, 8, 16, 64)), high, case)
    x = np.abs(x) if fit == "from_zero" else x
    upstream = random.normal(0, 1, x.shape).astype(np.float32)

    def gradient(values, above):
        with tf.GradientTape() as tape:
            tape.watch(values)
            found = fake_quant(values, tf.constant(scale, tf.float32), tf.constant(float(zero_point)), 8)
        return tape.gradient(found, values, above)

    expected = upstream * ((x >= low) & (x <= high))
    ended = (expected != upstream).sum()
    assert {"none beyond": ended == 0, "at the end": ended == 0, "many beyond": ended > 300}.get(case, 0 < ended < 5)
    for run in (gradient, tf.function(gradient, autograph=False)):
        np.testing.assert_array_equal(run(tf.constant(x), tf.constant(upstream)), expected)


def test_activations_saturate_where_the_int8_kernels_do(tf):
    from qatflow.compress.quantizers.fake_quant import fake_quant

    x = np.random.default_rng(2).uniform(-2, 2, 1001).astype(np.float32)
    scale = np.float32(1.0 / 127)
    found = fake_quant(tf.constant(x), tf.constant(scale), tf.constant(0.0), 8).numpy() / scale
    expected = rounded(x, scale, -128, 127)
    assert found.min() == pytest.approx(-128) and found.max() == pytest.approx(127)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


def owner():
    """A Keras layer, to own a quantiser's variables."""
    import tf_keras

    return tf_keras.layers.Layer()


def batches(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(7)
    return [random.normal(0, random.uniform(0.5, 3), (4, 5)).astype(np.float32) for _ in range(count)]


def test_moving_average_follows_paddleslims_recursion(tf):
    from qatflow.compress.quantizers.fake_quant import Phase
    from qatflow.compress.quantizers.moving_average_abs_max import MovingAverageAbsMax

    quantizer = MovingAverageAbsMax(8, Phase("quantise"))
    variables = quantizer.build(None, "x", owner())
    state = accum = 0.0
    for batch in batches(30):
        state, accum = 0.9 * state + 1, 0.9 * accum + float(np.abs(batch).max())
        step = accum / state / 127
        found = quantizer(tf.constant(batch), True, variables)
        np.testing.assert_allclose(found, rounded(batch, step, -128, 127) * step, rtol=0, atol=step * 1e-3)
    scale, zero_point = quantizer.grid(variables)
    assert scale == pytest.approx(accum / state / 127, rel=1e-5)
    assert zero_point == 0


def test_range_abs_max_is_the_largest_of_its_window(tf, monkeypatch):
    from qatflow.compress.quantizers import range_abs_max
    from qatflow.compress.quantizers.fake_quant import Phase

    assert range_abs_max.WINDOW == 10_000
    monkeypatch.setattr(range_abs_max, "WINDOW", 4)
    quantizer = range_abs_max.RangeAbsMax(8, Phase("quantise"))
    variables = quantizer.build(None, "x", owner())
    largest: list[float] = []
    for batch in batches(20):
        largest.append(float(np.abs(batch).max()))
        quantizer(tf.constant(batch), True, variables)
        low, high = quantizer.known(None, variables)
        assert (float(low), float(high)) == (-max(largest[-4:]), max(largest[-4:]))


@pytest.mark.parametrize("name", ["moving_average_abs_max", "range_abs_max"])
def test_inference_and_calibration(tf, name: str):
    from qatflow.compress.quantizers.fake_quant import Phase
    from qatflow.compress.quantizers.table import ACTIVATION_QUANTIZERS

    phase = Phase("float")
    quantizer = ACTIVATION_QUANTIZERS[name](8, phase)
    variables = quantizer.build(None, "x", owner())
    x = tf.constant([[0.5, -2.0, 1.03]])
    np.testing.assert_array_equal(quantizer(x, True, variables), x)
    assert float(quantizer.known(None, variables)[1]) == 0, "the float phase observes nothing"
    phase.mode = "calibrate"
    np.testing.assert_array_equal(quantizer(x, False, variables), x)
    assert float(quantizer.known(None, variables)[1]) == 2, "calibration observes and changes nothing"
    phase.mode = "quantise"
    before = {key: value.numpy().copy() for key, value in variables.items()}
    found = quantizer(10 * x, False, variables).numpy()
    assert found.max() == pytest.approx(2.0) and found.min() == pytest.approx(-2.0 * 128 / 127)
    for key, value in variables.items():
        np.testing.assert_array_equal(value, before[key], "inference must not move the scale")


def test_abs_max_is_the_range_of_each_batch_and_leaves_no_scale(tf):
    from qatflow.compress.quantizers.abs_max import AbsMax
    from qatflow.compress.quantizers.fake_quant import Phase

    quantizer = AbsMax(8, Phase("quantise"))
    for training in (True, False):
        for batch in batches(3):
            step = np.abs(batch).max() / 127
            found = quantizer(tf.constant(batch), training, {})
            np.testing.assert_allclose(found, rounded(batch, step, -128, 127) * step, rtol=0, atol=step * 1e-3)
    assert quantizer.grid({}) == (None, 0)
    assert AbsMax(8, Phase("quantise"), "from_zero").grid({}) == (None, -128)


@pytest.mark.parametrize("shift", [0.0, 3.0, -1.0], ids=["both signs", "never negative", "mostly negative"])
def test_moving_average_min_max_fits_both_ends_and_keeps_zero_exact(tf, shift: float):
    from qatflow.compress.quantizers.fake_quant import Phase
    from qatflow.compress.quantizers.moving_average_min_max import MovingAverageMinMax

    quantizer = MovingAverageMinMax(8, Phase("quantise"))
    variables = quantizer.build(None, "x", owner())
    state = least = greatest = 0.0
    for batch in batches(20):
        batch = np.maximum(batch + shift, 0) if shift > 0 else batch + np.float32(shift)
        state = 0.9 * state + 1
        least, greatest = 0.9 * least + float(batch.min()), 0.9 * greatest + float(batch.max())
        low, high = min(least / state, 0), max(greatest / state, 0)
        step = (high - low) / 255
        zero_point = round(-low / step) - 128
        expected = np.clip(np.rint(batch / step) + zero_point, -128, 127) - zero_point
        found = quantizer(tf.constant(batch, tf.float32), True, variables).numpy()
        off = np.abs(found / step - expected)
        assert (off < 1e-2).mean() > 0.9, "a tie may fall on the other side"
        assert off.max() < 1.01
    assert quantizer.grid(variables) == (pytest.approx(step, rel=1e-5), zero_point)
    assert float(quantizer(tf.zeros([1]), False, variables)[0]) == 0.0
    if shift > 0:
        assert zero_point < -120, "what is hardly ever negative uses nearly all 256 steps"


@pytest.mark.parametrize("name", ["moving_average_abs_max", "range_abs_max", "abs_max"])
@pytest.mark.parametrize("bits", [4, 8])
def test_what_cannot_be_negative_uses_every_integer_with_the_same_statistic(tf, name: str, bits: int):
    from qatflow.compress.quantizers.fake_quant import Phase
    from qatflow.compress.quantizers.table import ACTIVATION_QUANTIZERS

    whole, half = (ACTIVATION_QUANTIZERS[name](bits, Phase("quantise"), fit) for fit in ("from_zero", "around_zero"))
    states = [quantizer.build(None, "x", owner()) for quantizer in (whole, half)]
    state = accum = 0.0
    largest: list[float] = []
    for batch in batches(12):
        batch = np.abs(batch)
        largest.append(float(batch.max()))
        state, accum = 0.9 * state + 1, 0.9 * accum + largest[-1]
        end = {"moving_average_abs_max": accum / state, "range_abs_max": max(largest), "abs_max": largest[-1]}[name]
        step = end / (2**bits - 1)
        found = whole(tf.constant(batch), True, states[0]).numpy()
        np.testing.assert_allclose(found, np.clip(np.rint(batch / step), 0, 2**bits - 1) * step, atol=step * 1e-3)
        half(tf.constant(batch), True, states[1])
    if name != "abs_max":
        (scale, zero_point), (other, none) = whole.grid(states[0]), half.grid(states[1])
        assert (scale, zero_point, none) == (pytest.approx(step, rel=1e-5), -(2 ** (bits - 1)), 0)
        assert scale / other == pytest.approx((2 ** (bits - 1) - 1) / (2**bits - 1), rel=1e-6), "one statistic"


@pytest.mark.parametrize("name", ["moving_average_abs_max", "range_abs_max", "moving_average_min_max"])
def test_a_calibrated_range_is_a_share_of_the_statistic(tf, name: str):
    from qatflow.compress.quantizers.calibrated import Calibrated
    from qatflow.compress.quantizers.fake_quant import Phase
    from qatflow.compress.quantizers.table import ACTIVATION_QUANTIZERS
    from qatflow.quantisation.calibration import Histogram, calibrated_range

    phase = Phase("calibrate")
    inner = ACTIVATION_QUANTIZERS[name](8, phase)
    quantizer = Calibrated(inner, "percentile")
    state = quantizer.build(None, "x", owner())
    shown = [np.random.default_rng(seed).standard_t(3, (40, 500)).astype(np.float32) for seed in range(4)]
    for mode in ("calibrate", "count"):
        phase.mode = mode
        for batch in shown:
            np.testing.assert_array_equal(quantizer(tf.constant(batch), False, state), batch)
        if mode == "calibrate":
            assert [float(end) for end in quantizer.known(None, state)] == [float(e) for e in inner.known(None, state)]
            quantizer.begin_counting()
    quantizer.settle(state)
    values = np.stack(shown)
    counted = Histogram.empty(float(np.abs(values).max())).plus(values)
    wanted = calibrated_range("percentile", counted, (float(values.min()), float(values.max())), 8, quantizer.fit)
    if name != "moving_average_min_max":
        wanted = (-max(-wanted[0], wanted[1]), max(-wanted[0], wanted[1]))
    np.testing.assert_allclose([float(end) for end in quantizer.known(None, state)], wanted, rtol=1e-6)
    shares = state["share"].numpy()
    assert (shares < 1).all() if name == "range_abs_max" else (shares != 1).all()
    phase.mode = "quantise"
    quantizer(tf.constant(3 * shown[0]), True, state)
    np.testing.assert_allclose(quantizer.known(None, state), shares * inner.known(None, state), rtol=1e-6)
    assert state["share"].numpy().tolist() == shares.tolist(), "training moves the statistic alone"
