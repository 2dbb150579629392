"""The best precisions within a budget, against all assignments."""

from itertools import product

import numpy as np
import pytest

from qatflow.mixed_precision.assign import WeightedLayer, front, predicted, total_bytes
from qatflow.mixed_precision.precision import FLOAT, Precision

PRECISIONS = (Precision(8), Precision(4), Precision(3), Precision(8, 16), FLOAT)


@pytest.mark.parametrize("budget", ["bytes", "latency"])
@pytest.mark.parametrize("seed", range(4))
def test_the_choice_is_the_best_of_all_assignments(seed: int, budget: str):
    random = np.random.default_rng(seed)
    layers = []
    for number in range(5):
        rises = np.sort(random.exponential(10.0 ** random.integers(-7, 1), 2))
        gains = -random.exponential(10.0 ** random.integers(-7, -2), 2)
        costs = (0.0, *(rises if seed else np.round(rises, 1)).tolist(), *gains.tolist())
        values = int(random.integers(3, 4000))
        own = PRECISIONS if number else PRECISIONS[:4]
        sizes = tuple(one.bytes(values) for one in own)
        if budget == "latency":
            sizes = (0, 0, 0, int(random.integers(0, 10**7)), int(random.integers(-(10**5), 10**7)))[: len(own)]
        layers.append(WeightedLayer(f"l{number}", f"l{number}/kernel", values, own, sizes, costs[: len(own)]))
    best = front(layers)
    every = list(product(*(range(len(layer.sizes)) for layer in layers)))
    taken = np.array([sum(layer.sizes[one] for layer, one in zip(layers, all_, strict=True)) for all_ in every])
    sums = np.array([predicted(layers, all_) for all_ in every])
    if budget == "bytes":
        assert taken.tolist() == [total_bytes(layers, all_) for all_ in every]
    low, high = taken.min(), taken.max()
    for limit in [low, high, *random.integers(low, high, 12).tolist()]:
        chosen = best.within(limit)
        assert sum(layer.sizes[one] for layer, one in zip(layers, chosen, strict=True)) <= limit
        assert predicted(layers, chosen) == pytest.approx(sums[taken <= limit].min(), rel=1e-9, abs=1e-15)
    assert best.within(low - 1) is None


def test_integers_are_packed_to_whole_bytes_and_float_has_four():
    assert [Precision(bits).bytes(9) for bits in (8, 6, 4, 3, 2)] == [9, 7, 5, 4, 3]
    assert FLOAT.bytes(9) == 36 and Precision(4, 16).bytes(9) == 5
    assert [str(Precision.of(text)) for text in ("4", "8/16", "float")] == ["4", "8/16", "float"]
