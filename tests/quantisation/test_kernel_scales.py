"""Scales of kernels: of the largest weight, and of the least squared error."""

import numpy as np
import pytest

from qatflow.quantisation.kernel_scales import kernel_scale


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_no_other_threshold_of_the_grid_has_a_smaller_squared_error(bits: int):
    kernel = np.random.default_rng(0).standard_t(3, (3, 3, 8, 5)).astype(np.float32)
    end = 2 ** (bits - 1) - 1

    def error(values: np.ndarray, scale: float) -> float:
        return float(((values - np.clip(np.rint(values / scale), -end, end) * scale) ** 2).sum())

    largest, least = (kernel_scale(kernel, 5, bits, method) for method in ("max", "mse"))
    np.testing.assert_allclose(largest, np.abs(kernel).reshape(-1, 5).max(axis=0) / end, rtol=1e-6)
    for channel in range(5):
        values = kernel[..., channel].astype(np.float64)
        tried = [error(values, np.abs(values).max() * i / 128 / end) for i in range(1, 129)]
        assert error(values, float(least[channel])) == pytest.approx(min(tried), rel=1e-4)
    assert kernel_scale(kernel, None, bits, "mse").shape == (1,)
    assert (kernel_scale(np.zeros((4, 3), np.float32), 3, bits, "mse") > 0).all()
