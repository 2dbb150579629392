"""AdaRound against its formulas, numeric derivatives, and the best rounding by brute force."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from qatflow.quantisation import rounding
from qatflow.quantisation.rounding import Samples, adaround, annealed, inverse, loss, rectified_sigmoid, regulariser


def layer(seed: int, reads: int = 6, makes: int = 3, groups: int = 1, **own: object) -> Samples:
    random = np.random.default_rng(seed)
    mixed = random.normal(0, 1, (reads, reads))  # inputs that depend on each other, else nearest is nearly best
    inputs = (random.normal(0, 1, (groups, 400, reads)) @ mixed).astype(np.float32)
    kernel = random.normal(0, 0.5, (groups, reads, makes)).astype(np.float32)
    scale = (np.abs(kernel).max(axis=1, keepdims=True) / 7).astype(np.float32)
    gain, offset = (random.normal(1, 0.3, (groups, 1, makes)).astype(np.float32) for _ in range(2))
    values: dict[str, object] = {"clip": None, "bits": 4, **own}
    return Samples(inputs, inputs @ (kernel * gain) + offset, kernel, scale, gain, offset, **values)  # type: ignore[arg-type]


def nearest(samples: Samples) -> np.ndarray:
    end = 2 ** (samples.bits - 1) - 1
    integers: np.ndarray = np.clip(np.rint(samples.kernel / samples.scale), -end, end)
    return integers


def test_the_rectified_sigmoid_is_that_of_the_paper_and_its_inverse_begins_at_the_weight():
    v = np.linspace(-6, 6, 49)
    h, slope = rectified_sigmoid(v)
    np.testing.assert_allclose(h, np.clip(1.2 / (1 + np.exp(-v)) - 0.1, 0, 1), atol=1e-12)
    step = 1e-6
    numeric = (rectified_sigmoid(v + step)[0] - rectified_sigmoid(v - step)[0]) / (2 * step)
    np.testing.assert_allclose(slope, numeric, atol=1e-6)
    values = np.linspace(0, 1, 11)
    np.testing.assert_allclose(rectified_sigmoid(inverse(values))[0], values, atol=1e-12)


def test_the_regulariser_is_zero_at_both_ends_and_its_exponent_goes_from_20_to_2():
    h = np.array([0.0, 0.3, 0.5, 0.8, 1.0])
    for beta in (20.0, 4.0, 2.0):
        value, gradient = regulariser(h, beta)
        assert value == pytest.approx(sum(1 - abs(2 * x - 1) ** beta for x in h))
        around = [
            regulariser(np.array([x + 1e-6]), beta)[0] - regulariser(np.array([x - 1e-6]), beta)[0] for x in h[1:4]
        ]
        np.testing.assert_allclose(gradient[1:4], np.array(around) / 2e-6, atol=1e-4)
    assert annealed(19, 100) is None
    assert annealed(20, 100) == 20
    assert annealed(60, 100) == pytest.approx(11)
    assert annealed(99, 100) == pytest.approx(2, abs=0.02)


@pytest.mark.parametrize("clip", [None, "relu", "relu6"])
@pytest.mark.parametrize("beta", [None, 8.0])
def test_the_gradient_is_the_derivative_of_the_loss(clip: rounding.Clip, beta: float | None):
    samples = layer(1, clip=clip, groups=2)
    # in float64, so that the numeric derivative is one
    names = ("inputs", "targets", "kernel", "scale", "gain", "offset")
    wide = replace(samples, **{name: getattr(samples, name).astype(np.float64) for name in names})
    rounding_down = np.floor(wide.kernel / wide.scale)
    room = np.ones_like(rounding_down)
    room[0, 0, 0] = 0
    v = np.random.default_rng(2).normal(0, 1, rounding_down.shape)
    _, gradient = loss(wide, rounding_down, room, v, beta)
    assert gradient[0, 0, 0] == 0
    for place in [(0, 1, 0), (1, 2, 1), (0, 5, 2)]:
        step = np.zeros_like(v)
        step[place] = 1e-2
        ends = [loss(wide, rounding_down, room, v + sign * step, beta)[0] for sign in (1, -1)]
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=2e-2, abs=1e-3)


def test_most_channels_get_the_best_of_all_roundings_and_none_a_worse_one_than_the_nearest():
    best, plain, chosen = np.empty((3, 10, 2))
    for seed in range(10):
        samples = layer(seed, reads=6, makes=2)
        integers = nearest(samples)
        found = adaround(samples, integers, 600, seed=3)
        floor = np.floor(samples.kernel / samples.scale)
        assert np.isin(found - floor, (0, 1)).all()
        every = [np.clip(floor + np.reshape(up, (1, 6, 1)), -7, 7) for up in itertools.product((0, 1), repeat=6)]
        best[seed] = np.min([samples.errors(each).ravel() for each in every], axis=0)
        plain[seed], chosen[seed] = samples.errors(integers).ravel(), samples.errors(found).ravel()
    assert (chosen <= plain).all()
    # the sum over the channels is what training lowers; a channel may end in a rounding that is second best
    assert (chosen < best * 1.0001).sum() >= 12 > 6 > (plain < best * 1.0001).sum()
    assert chosen.sum() - best.sum() < 0.5 * (plain.sum() - best.sum())


@pytest.mark.parametrize("groups", [1, 5])
def test_blocks_and_processes_change_nothing(groups: int, monkeypatch: pytest.MonkeyPatch):
    samples = layer(5, groups=groups, makes=4)
    plain = nearest(samples)
    whole = adaround(samples, plain, 40, seed=1)
    monkeypatch.setattr(rounding, "AT_ONCE", 12)
    np.testing.assert_array_equal(adaround(samples, plain, 40, seed=1, processes=2), whole)
    assert (whole != plain).any()
