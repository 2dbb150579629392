"""The best widths within a number of bytes, against all assignments."""

from itertools import product

import numpy as np
import pytest

from qatflow.mixed_precision.assign import WeightedLayer, front, packed_bytes, predicted, total_bytes

WIDTHS = (8, 6, 4, 3)


@pytest.mark.parametrize("seed", range(6))
def test_the_choice_is_the_best_of_all_assignments(seed: int):
    random = np.random.default_rng(seed)
    layers = []
    for number in range(5):
        rises = np.sort(random.exponential(10.0 ** random.integers(-7, 1), 3))
        costs = (0.0, *(rises if seed else np.round(rises, 1)).tolist())
        layers.append(WeightedLayer(f"l{number}", f"l{number}/kernel", int(random.integers(3, 4000)), costs))
    best = front(layers, WIDTHS)
    every = [
        (predicted(layers, WIDTHS, bits), total_bytes(layers, bits), bits)
        for bits in product(WIDTHS, repeat=len(layers))
    ]
    low, high = (sum(packed_bytes(one.values, bits) for one in layers) for bits in (3, 8))
    for limit in [low, high, *random.integers(low, high, 12).tolist()]:
        chosen = best.within(limit)
        cost, size, _ = min((cost, size, bits) for cost, size, bits in every if size <= limit)
        assert total_bytes(layers, chosen) <= limit
        assert predicted(layers, WIDTHS, chosen) == pytest.approx(cost, rel=1e-12)
        assert total_bytes(layers, chosen) == size or seed == 0
    assert best.within(low - 1) is None


def test_integers_are_packed_to_whole_bytes():
    assert [packed_bytes(9, bits) for bits in (8, 6, 4, 3, 2)] == [9, 7, 5, 4, 3]
