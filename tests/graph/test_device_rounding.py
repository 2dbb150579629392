"""Scales at which int8 kernels of ARM and x86 round alike: the rules against every input, and graphs that have them."""

from dataclasses import replace

import numpy as np
import pytest

from qatflow.graph.device_rounding import (
    Grid,
    hard_swish,
    hard_swishes_agree,
    means_agree,
    products_agree,
    tangents_agree,
)
from qatflow.graph.graph import ActivationScale, Graph, Node
from qatflow.graph.operations import (
    Concat,
    Conv2D,
    Dense,
    GlobalAveragePool,
    HardSwish,
    Input,
    MaxPool,
    Multiply,
    Tanh,
)
from qatflow.graph.same_rounding import settled
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators
from qatflow.tflite.rounding import rounding_differently
from qatflow.tflite.same_rounding import with_same_rounding
from qatflow.tflite.verify import verify

INTEGERS = np.arange(-128, 128)


def both_products(first: Grid, second: Grid, output: Grid) -> tuple[np.ndarray, np.ndarray]:
    """What x86 and ARM make of all pairs: the nearest of the float32 product, and of the exact one, ties up."""
    multiplier = np.float32(np.float32(first[0]) * np.float32(second[0])) / np.float32(output[0])
    products = np.outer(INTEGERS - first[1], INTEGERS - second[1])
    x86 = np.rint(products.astype(np.float32) * multiplier)
    arm = np.floor(products.astype(np.float64) * float(multiplier) + 0.5)
    return tuple(np.clip(steps + output[1], -128, 127) for steps in (x86, arm))


def test_a_product_is_harmless_only_if_every_pair_of_integers_is() -> None:
    random = np.random.default_rng(0)
    seen = {True: 0, False: 0}
    for trial in range(60):
        first, second = (
            (float(np.float32(2.0 ** random.uniform(-8, 0))), int(random.integers(-128, 128))) for _ in range(2)
        )
        ratio = random.integers(1, 256) / 2.0**12 if trial % 2 else 2.0 ** random.uniform(-10, -4)
        output = float(np.float32(first[0] * second[0] / ratio)), int(random.integers(-128, 128))
        agree = products_agree(first, second, output)
        x86, arm = both_products(first, second, output)
        assert not agree or np.array_equal(x86, arm)
        seen[agree] += 1
    assert min(seen.values()) > 10


def test_only_the_integers_of_a_constant_count() -> None:
    # 0.5 · 1 is a tie, 0.5 · 2 is none
    grids = (1.0, 0), (0.5, 0), (1.0, 0)
    assert not products_agree(*grids, [1])
    assert products_agree(*grids, [2, -4])


def test_a_mean_is_harmless_only_if_every_sum_is() -> None:
    random = np.random.default_rng(1)
    seen = {True: 0, False: 0}
    for trial in range(60):
        count = int(random.choice([9, 49, 100, 196]))
        source = float(np.float32(2.0 ** random.uniform(-8, 0))), int(random.integers(-128, 128))
        output = (
            float(np.float32(source[0] * (0.5 if trial % 2 else random.uniform(0.3, 1)))),
            int(random.integers(-128, 0)),
        )
        multiplier = np.float32(np.float32(source[0] / np.float32(output[0])) * (np.float32(1) / np.float32(count)))
        sums = np.arange(-128 * count, 127 * count + 1)
        shift = np.float32(output[1]) - np.float32(count * source[1]) * multiplier
        fused = np.float32(output[1] - float(count * source[1]) * float(multiplier))
        x86 = np.clip(np.rint(sums.astype(np.float32) * multiplier + shift), -128, 127)
        exact = sums * float(multiplier) + float(fused)
        arm = np.clip(np.rint(exact.astype(np.float32)), -128, 127)
        agree = means_agree(source, output, count)
        assert agree == np.array_equal(x86, arm), (source, output, count)
        seen[agree] += 1
    assert min(seen.values()) > 10


def test_symmetric_means_always_agree() -> None:
    assert all(means_agree((scale, 0), (scale / 2, 0), 100) for scale in (0.5, 0.1, 0.003))


@pytest.mark.parametrize("arm", [False, True])
def test_hard_swish_is_within_a_step_of_its_definition(arm: bool) -> None:
    for source, output in (((0.05, 0), (0.05, 0)), ((0.03, -128), (0.025, -113)), ((0.1, 17), (0.04, -100))):
        x = (INTEGERS - source[1]) * source[0]
        expected = np.clip(x * np.clip(x + 3, 0, 6) / 6 / output[0] + output[1], -128, 127)
        assert np.abs(hard_swish(source, output, arm=arm) - expected).max() <= 1


def test_hard_swish_is_harmless_at_most_scales() -> None:
    scales = np.linspace(0.01, 0.1, 100).astype(np.float32)
    agree = [hard_swishes_agree((float(scale), 0), (float(scale * np.float32(0.9)), 0)) for scale in scales]
    assert sum(agree) > 90
    assert not hard_swishes_agree((1 / 32, 33), (3 / 256, 6))


def test_a_table_of_tanh_is_harmless_if_no_value_is_near_a_tie() -> None:
    tie = float(np.arctanh(0.5 + 0.5 / 128) / 64)
    assert not tangents_agree((tie, 0))
    assert tangents_agree((tie * 1.0001, 0))


def network() -> Graph:
    """A product whose result a concatenation reads, its mean, and functions of tensors."""
    random = np.random.default_rng(3)
    nodes = (
        Node("input", Input((7, 7, 4))),
        Node("conv", Conv2D((1, 1), "same"), ("input",)),
        Node("swish", HardSwish(), ("conv",)),
        Node("gate", Tanh(), ("conv",)),
        Node("pool", MaxPool((2, 2), (1, 1), "same"), ("swish",)),
        Node("product", Multiply(), ("pool", "gate")),
        Node("beside", Conv2D((1, 1), "same"), ("swish",)),
        Node("both", Concat(), ("product", "beside")),
        Node("half", Multiply(), ("both",)),
        Node("mean", GlobalAveragePool(keepdims=False), ("half",)),
        Node("logits", Dense(), ("mean",)),
    )
    weights = {f"{name}/kernel": random.normal(0, 0.5, (1, 1, 4, 4)).astype(np.float32) for name in ("conv", "beside")}
    weights |= {"half/constant": np.asarray([0.5, 0.25], np.float32).repeat(4)}
    weights |= {"logits/kernel": random.normal(0, 0.5, (8, 3)).astype(np.float32)}
    return Graph(nodes, ("logits",), weights)


@pytest.mark.parametrize("kind", ["moving_average_abs_max", "moving_average_min_max"])
def test_scales_of_a_graph_are_moved_by_almost_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = QuantSettings(8, 8, "channel_wise_abs_max", kind)
    ranges = dict.fromkeys((node.name for node in network().nodes), (-3.0, 3.96875))
    ranges |= {"conv": (-3.96875, 3.96875 / 2), "both": (-1.5, 1.984375), "mean": (-1.0, 0.9921875)}
    after = as_if_quantised(network(), settings, ranges)
    monkeypatch.setattr("qatflow.quantisation.as_if_quantised.settled", lambda graph: graph)
    before = as_if_quantised(network(), settings, ranges)
    contents = [convert(graph).content for graph in (before, after)]
    assert rounding_differently(operators(contents[0]))
    assert not rounding_differently(operators(contents[1]))
    old, new = before.activation_scales, after.activation_scales
    assert all(abs(new[name].scale / own.scale - 1) < 1e-3 for name, own in old.items())
    assert new["product"] is new["beside"] is new["both"]
    assert new["gate"] == ActivationScale(8, 1 / 128, 0)
    assert all(new[name].zero_point == own.zero_point for name, own in old.items())
    # a finished file can be mended too: the same kernels agree, and weights stay
    mended = with_same_rounding(contents[0])
    assert not rounding_differently(operators(mended))
    converted = convert(before)
    verify(converted.graph, mended)
    assert with_same_rounding(mended) == mended


def test_scales_of_other_widths_stay() -> None:
    graph = as_if_quantised(network(), QuantSettings(8, 8, "abs_max", "moving_average_abs_max"))
    wide = {name: replace(own, bits=4) for name, own in graph.activation_scales.items()}
    assert settled(replace(graph, activation_scales=wide)).activation_scales == wide
