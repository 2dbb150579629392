"""Comparing the outputs of host and device."""

from pathlib import Path

import numpy as np
import pytest

from helpers.tiny_model import model_bytes, write_model
from qatflow.base.errors import UserError
from qatflow.device.run.cut import cut_at, cut_points, expose_integers
from qatflow.device.run.parity import compare
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model

CLASSES = ("shirt", "shoe", "bag")


def outputs() -> np.ndarray:
    return np.asarray([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]], np.float32)


def test_equal_bits_agree() -> None:
    agreement = compare(outputs(), outputs(), 0, CLASSES)
    assert (agreement.pictures, agreement.bit_equal, agreement.largest_difference) == (2, True, 0.0)


def test_one_bit_is_a_disagreement_without_tolerance() -> None:
    device = outputs()
    device[1, 0] = np.nextafter(device[1, 0], np.float32(1))
    with pytest.raises(UserError) as raised:
        compare(outputs(), device, 0, CLASSES)
    message = str(raised.value)
    assert "picture 1, class 0 (shirt)" in message
    assert f"host {outputs()[1, 0]:.9g}, device {device[1, 0]:.9g}" in message
    assert "1 of 2 pictures" in message


def test_minus_zero_and_zero_are_different_bits() -> None:
    with pytest.raises(UserError):
        compare(np.zeros((1, 1), np.float32), np.full((1, 1), -0.0, np.float32), 0)


@pytest.mark.parametrize("step", [0.01, -0.01])
def test_tolerance_bounds_the_largest_difference(step: float) -> None:
    device = outputs()
    device[0, 2] += np.float32(step)
    agreement = compare(outputs(), device, 0.011, CLASSES)
    assert not agreement.bit_equal
    assert agreement.largest_difference == pytest.approx(0.01, rel=1e-5)
    with pytest.raises(UserError, match=r"picture 0, class 2 \(bag\)"):
        compare(outputs(), device, 0.009, CLASSES)


def test_first_picture_that_differs_is_named() -> None:
    device = outputs()
    device[0, 1] += np.float32(1e-3)
    device[1, 2] += np.float32(1)
    with pytest.raises(UserError, match=r"picture 1, class 2 \(bag\)"):
        compare(outputs(), device, 0.01, CLASSES)


@pytest.mark.parametrize("tolerance", [0.0, 0.5])
def test_nan_never_agrees_with_a_number(tolerance: float) -> None:
    device = outputs()
    device[0, 0] = np.nan
    with pytest.raises(UserError, match="device nan"):
        compare(outputs(), device, tolerance)


def test_a_device_that_yields_no_numbers_at_all_is_told_of_in_one_message(recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(UserError, match=r"device nan; required: equal bits; 2 of 2 pictures differ$"):
        compare(outputs(), np.full((2, 3), np.nan, np.float32), 0)
    assert not recwarn.list


def test_integers_are_compared_without_overflow() -> None:
    host, device = np.asarray([[-128]], np.int8), np.asarray([[127]], np.int8)
    with pytest.raises(UserError, match=r"by up to 255 \(absolute\)"):
        compare(host, device, 254)
    assert compare(host, device, 255).largest_difference == 255


def test_another_shape_or_type_is_told() -> None:
    with pytest.raises(UserError, match="is it the same model"):
        compare(outputs(), outputs()[:1], 0)
    with pytest.raises(UserError, match="float64"):
        compare(outputs(), outputs().astype(np.float64), 0)


def test_integer_part_leads_to_the_same_probabilities(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model") / "model.tflite"
    assert expose_integers(model, tmp_path / "integers.tflite") is not None
    inputs = np.random.default_rng(2).uniform(-1, 1, (5, 8, 8, 1)).astype(np.float32)
    whole, part = Model(model), Model(tmp_path / "integers.tflite")
    integers = part.outputs(inputs)
    assert integers.dtype == np.int8
    logits = (integers.astype(np.float64) - part.output.zero_point) * part.output.scale
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(whole.outputs(inputs), powers / powers.sum(axis=1, keepdims=True), atol=1e-6)


def test_a_model_is_cut_behind_each_operator(tmp_path: Path) -> None:
    content = model_bytes()
    found = operators(content)
    cuts = cut_points(content)
    assert [(cut.name, cut.operator) for cut in cuts] == [(made.outputs[0].name, made.name) for made in found]
    assert [cut.number for cut in cuts] == [1, 2, 3, 4, 5, 6] and {cut.operators for cut in cuts} == {6}
    picture = np.random.default_rng(2).uniform(-1, 1, (1, 8, 8, 1)).astype(np.float32)
    values = [Model(cut_at(content, cut.tensor)).outputs(picture)[0] for cut in cuts]
    assert [len(value) for value in values] == [int(np.prod(made.outputs[0].shape)) for made in found]
    np.testing.assert_array_equal(values[0], np.clip(np.rint(picture.ravel() * 64) + 3, -128, 127))  # QUANTIZE
    np.testing.assert_array_equal(values[1], values[2])  # RESHAPE
    np.testing.assert_array_equal(values[4], (values[3] - np.float32(5)) / 16)  # DEQUANTIZE
    np.testing.assert_array_equal(values[5], Model(content).outputs(picture)[0])


@pytest.mark.parametrize("form", ["float", "int8"])
def test_models_without_a_float_tail_have_no_integer_part(tmp_path: Path, form: str) -> None:
    (tmp_path / "model.tflite").write_bytes(model_bytes(form=form))  # type: ignore[arg-type]
    assert expose_integers(tmp_path / "model.tflite", tmp_path / "integers.tflite") is None
    assert not (tmp_path / "integers.tflite").exists()
