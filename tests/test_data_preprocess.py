import math

import numpy as np
import pytest

from qatflow.data.preprocess import Preprocessing, apply, misfit, resize
from qatflow.errors import UserError

PAD = Preprocessing(8, "pad", 1, (127.5,), (127.5,))
STRETCH = Preprocessing(32, "stretch", 3, (123.68, 116.78, 103.94), (58.4, 57.1, 57.4))


def picture(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def test_pad_centres_and_puts_the_odd_row_and_column_below_and_right():
    square = resize(PAD, np.full((5, 3, 1), 9, np.uint8))[:, :, 0]
    expected = np.zeros((8, 8), np.uint8)
    for y in range(1, 6):  # 3 rows left over: 1 above, 2 below
        for x in range(2, 5):  # 5 columns left over: 2 left, 3 right
            expected[y, x] = 9
    assert np.array_equal(square, expected)


def test_normalisation_is_subtract_then_multiply_in_float32():
    values = picture(8, 8, 1)
    got = apply(PAD, values)
    assert got.dtype == np.float32
    for pixel, value in zip(values.ravel(), got.ravel(), strict=True):
        assert value == np.float32(np.float32(pixel) - np.float32(127.5)) * (np.float32(1) / np.float32(127.5))
    assert got.min() >= -1 and got.max() <= 1


def test_each_channel_has_its_own_mean_and_std():
    got = apply(STRETCH, np.full((32, 32, 3), 200, np.uint8))
    for channel, (mean, std) in enumerate(zip(STRETCH.mean, STRETCH.std, strict=True)):
        assert got[3, 4, channel] == pytest.approx((200 - mean) / std, rel=1e-6)


def test_stretch_interpolates_at_pixel_centres():
    spec = Preprocessing(6, "stretch", 1, (0,), (1,))
    source = picture(4, 9, 1)[:, :, 0].astype(float)
    expected = np.zeros((6, 6))
    for y in range(6):
        for x in range(6):
            v, u = (y + 0.5) * 4 / 6 - 0.5, (x + 0.5) * 9 / 6 - 0.5
            for j in range(4):
                for i in range(9):  # the tent function of the nearest two, the border repeated outwards
                    inside_v, inside_u = min(max(v, 0), 3), min(max(u, 0), 8)
                    weight = max(0, 1 - abs(inside_v - j)) * max(0, 1 - abs(inside_u - i))
                    expected[y, x] += weight * source[j, i]
    np.testing.assert_allclose(resize(spec, source.astype(np.uint8)[..., None])[:, :, 0], expected, atol=1e-4)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("height", "width", "size"), [(24, 24, 32), (375, 500, 224), (1, 1, 32), (33, 65, 96), (9, 700, 64), (32, 32, 32)]
)
def test_stretch_has_the_bits_of_tensorflows_resize(height: int, width: int, size: int):
    import tensorflow as tf

    spec = Preprocessing(size, "stretch", 3, (0,), (1,))
    source = picture(height, width, 3)
    expected = tf.image.resize(source.astype(np.float32), (size, size), method="bilinear", antialias=False).numpy()
    assert np.array_equal(resize(spec, source), expected)


def test_json_form_round_trips():
    assert Preprocessing.from_json(STRETCH.to_json()) == STRETCH


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"std": [0.0]}, "std"),
        ({"mean": [1.0, 2.0]}, "mean"),
        ({"mean": [math.nan]}, "mean"),
        ({"resize": "crop"}, "crop"),
        ({"channels": 2}, "channels"),
        ({"size": "32"}, "wrong type"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_wrong_value_is_named(change: dict, named: str):
    with pytest.raises(UserError, match=named):
        Preprocessing.from_json(STRETCH.to_json() | change)


def test_a_picture_too_large_to_pad_is_refused_with_the_way_out():
    assert misfit(PAD, 8, 8) is None and misfit(STRETCH, 9, 9) is None
    assert (misfit(PAD, 8, 9) or "").startswith("9×8 pixels do not fit the 8×8 square")
    with pytest.raises(UserError, match="stretch"):
        apply(PAD, picture(8, 9, 1))
