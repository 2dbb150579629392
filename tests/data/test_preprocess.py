import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from qatflow.base.errors import UserError
from qatflow.base.picture_size import PictureSize, square
from qatflow.data.preprocess import Preprocessing, apply, misfit, resize

PAD = Preprocessing(square(8), "pad", 1, (127.5,), (127.5,))
CROP = Preprocessing(square(24), "crop", 3, (127.5,), (127.5,), resize_short=28)
STRETCH = Preprocessing(square(32), "stretch", 3, (123.68, 116.78, 103.94), (58.4, 57.1, 57.4))


WIDE = Preprocessing(PictureSize(18, 40), "crop", 3, (127.5,), (127.5,), resize_short=22)
HIGH = Preprocessing(PictureSize(40, 18), "crop", 3, (127.5,), (127.5,))


def picture(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def test_pad_centres_and_puts_the_odd_row_and_column_below_and_right():
    square = resize(PAD, np.full((5, 3, 1), 9, np.uint8))[:, :, 0]
    expected = np.zeros((8, 8), np.uint8)
    for y in range(1, 6):  # 3 rows left over: 1 above, 2 below
        for x in range(2, 5):  # 5 columns left over: 2 left, 3 right
            expected[y, x] = 9
    assert np.array_equal(square, expected)


def test_pad_takes_height_and_width_apart():
    spec = Preprocessing(PictureSize(6, 9), "pad", 1, (0,), (1,))
    padded = resize(spec, np.full((6, 4, 1), 9, np.uint8))[:, :, 0]
    expected = np.zeros((6, 9), np.uint8)
    expected[:, 2:6] = 9  # 5 columns left over: 2 left, 3 right
    assert np.array_equal(padded, expected)
    assert misfit(spec, 6, 9) is None and misfit(spec, 1, 9) is None
    for height, width in ((7, 1), (1, 10)):
        assert (misfit(spec, height, width) or "").startswith(f"{width}×{height} pixels do not fit the 9×6 rectangle")
        with pytest.raises(UserError, match="cannot be padded to 9×6"):
            apply(spec, picture(height, width, 1))


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
    spec = Preprocessing(square(6), "stretch", 1, (0,), (1,))
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
    ("height", "width", "size"),
    [
        (24, 24, (32, 32)),
        (375, 500, (224, 224)),
        (1, 1, (32, 32)),
        (33, 65, (96, 128)),
        (9, 700, (64, 64)),
        (32, 32, (32, 32)),
        (500, 375, (8, 1024)),
    ],
)
def test_stretch_has_the_bits_of_tensorflows_resize(height: int, width: int, size: tuple[int, int]):
    import tensorflow as tf

    spec = Preprocessing(PictureSize(*size), "stretch", 3, (0,), (1,))
    source = picture(height, width, 3)
    expected = tf.image.resize(source.astype(np.float32), size, method="bilinear", antialias=False).numpy()
    assert np.array_equal(resize(spec, source), expected)


SHAPES = [(28, 28), (28, 61), (90, 41), (375, 500), (13, 9), (1, 1), (3, 2000), (2000, 3), (27, 28), (57, 56)]


@pytest.mark.tensorflow
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_crop_has_the_bits_of_tensorflows_resize_of_the_short_side_and_centre_crop(height: int, width: int):
    import tensorflow as tf

    source = picture(height, width, 3)
    resized = [math.floor(side * 28 / min(height, width) + 0.5) for side in (height, width)]
    expected = tf.image.resize(source.astype(np.float32), resized, method="bilinear", antialias=False).numpy()
    top, left = ((side - 24) // 2 for side in resized)
    assert np.array_equal(resize(CROP, source), expected[top : top + 24, left : left + 24])


@pytest.mark.tensorflow
@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize(("spec", "covered"), [(WIDE, (22, Fraction(440, 9))), (HIGH, (Fraction(420, 9), 21))])
def test_crop_to_a_rectangle_covers_it_with_its_margin(
    spec: Preprocessing, covered: tuple[Fraction, Fraction], height: int, width: int
):
    import tensorflow as tf

    source = picture(height, width, 3)
    scale = max(covered[0] / Fraction(height), covered[1] / Fraction(width))  # with the proportions kept
    resized = [math.floor(side * scale + Fraction(1, 2)) for side in (height, width)]
    expected = tf.image.resize(source.astype(np.float32), resized, method="bilinear", antialias=False).numpy()
    top, left = (resized[0] - spec.size.height) // 2, (resized[1] - spec.size.width) // 2
    middle = expected[top : top + spec.size.height, left : left + spec.size.width]
    assert min(top, left) >= 0 and np.array_equal(resize(spec, source), middle)


def test_of_an_endless_strip_only_the_middle_is_worked_out():
    strip = np.zeros((1, 80_000_000, 1), np.uint8)
    strip[0, 39_999_000:40_001_000] = 9
    found = resize(Preprocessing(square(224), "crop", 1, (0,), (1,)), strip)  # resized it would have 2 · 10¹⁰ columns
    assert found.shape == (224, 224, 1) and (found == 9).all()


def test_the_short_side_is_in_proportion_unless_it_is_said():
    sizes = {
        size: Preprocessing(square(size), "crop", 1, (0,), (1,)).resize_short for size in (224, 192, 160, 128, 96, 32)
    }
    assert sizes == {224: 256, 192: 219, 160: 183, 128: 146, 96: 110, 32: 37}


@pytest.mark.parametrize("spec", [PAD, CROP, STRETCH], ids=lambda spec: spec.resize)
def test_bgr_is_the_same_picture_with_its_channels_turned_and_mean_and_std_as_they_stand(spec: Preprocessing):
    mean, std = (103.939, 116.779, 123.68), (1.0, 2.0, 3.0)
    rgb = replace(spec, channels=3, mean=mean[::-1], std=std[::-1])
    source = picture(7, 8, 3)
    expected = apply(rgb, source)[..., [2, 1, 0]]
    assert np.array_equal(apply(replace(rgb, order="bgr", mean=mean, std=std), source), expected)


def test_json_form_round_trips():
    bgr = replace(STRETCH, order="bgr")
    for spec in (STRETCH, PAD, CROP, bgr, Preprocessing(square(224), "crop", 1, (0,), (1,)), WIDE):
        assert Preprocessing.from_json(spec.to_json()) == spec
    assert set(STRETCH.to_json()) == {"size", "resize", "channels", "mean", "std"}
    assert STRETCH.to_json()["size"] == 32 and WIDE.to_json()["size"] == [18, 40]
    assert Preprocessing.from_json(STRETCH.to_json() | {"size": [32, 32]}) == STRETCH
    assert CROP.to_json()["resize_short"] == 28 and bgr.to_json()["order"] == "bgr"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"std": [0.0]}, "std"),
        ({"mean": [1.0, 2.0]}, "mean"),
        ({"mean": [math.nan]}, "mean"),
        ({"resize": "fit"}, "fit"),
        ({"resize": "crop", "resize_short": 31}, "resize_short: 31.*at least size"),
        ({"resize_short": 40}, "resize_short: 40: it is for resize `crop`"),
        ({"order": "brg"}, "order: 'brg'"),
        ({"order": "bgr", "channels": 1, "mean": [0], "std": [1]}, "bgr` with 3 channels"),
        ({"channels": 2}, "channels"),
        *(({"size": size}, "size: .* whole number, or a list of") for size in ("32", [32], [8, 0], 32.0, True, None)),
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
