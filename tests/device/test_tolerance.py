"""How far a device's outputs may be from the host's: by what the model computes in, with units and reasons."""

import numpy as np
import pytest

from helpers.tiny_model import Form, model_bytes
from helpers.transformer import int8, transformer
from qatflow.base.errors import UserError
from qatflow.device.run.parity import compare
from qatflow.device.run.tolerance import float_tolerance_of, steps, tolerance_of
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Conv2D, GlobalAveragePool, Input, Rescale
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model


@pytest.mark.parametrize(
    ("form", "asked", "value", "unit", "reason"),
    [
        ("uint8", None, 16, "steps of 1/256", "computes in uint8"),
        ("uint8", 3.0, 3, "steps of 1/256", "as device.tolerance says"),
        ("int8", None, 0, "steps of 1/16", "does not compute in uint8"),
        ("quantised", None, 0, "of a probability", "does not compute in uint8"),
        ("quantised", 0.01, 0.01, "of a probability", "as device.tolerance says"),
        ("float", None, 0, "of a probability", "does not compute in uint8"),
    ],
)
def test_what_the_layers_compute_in_decides_unless_the_user_does(
    form: Form, asked: float | None, value: float, unit: str, reason: str
) -> None:
    content = model_bytes(form=form)
    found = tolerance_of(content, Model(content).output, asked)
    assert (found.value, found.unit) == (value, unit) and reason in found.reason


@pytest.mark.parametrize(
    ("form", "asked", "value"),
    [("uint8", None, 1e-4), ("uint8", 20.0, 1e-4), ("quantised", None, 1e-4), ("quantised", 0.01, 0.01)],
)
def test_steps_of_a_model_are_not_the_float_model_s_units(form: Form, asked: float | None, value: float) -> None:
    content, other = model_bytes(form=form), model_bytes(form="float")
    shipped = tolerance_of(content, Model(content).output, asked)
    assert float_tolerance_of(other, Model(other).output, shipped).value == value


def test_inner_tensors_are_measured_in_what_the_output_allows() -> None:
    content = model_bytes(form="uint8")
    found = tolerance_of(content, Model(content).output, None)
    assert (found.steps, found.share) == (16, 16 / 256)
    content = model_bytes(form="quantised")
    found = tolerance_of(content, Model(content).output, 0.25)
    assert (found.steps, found.share) == (64, 0.25)


def test_layers_in_float_before_others_in_int8_may_round_to_the_next_step() -> None:
    pictures = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    graph = transformer()
    mixed, plain = convert(int8(graph, pictures)).content, convert(graph).content
    found = tolerance_of(mixed, Model(mixed).output, None)
    assert (found.value, found.unit) == (16 / 256, "of a probability") and "in float before others" in found.reason
    assert tolerance_of(mixed, Model(mixed).output, 0.0).value == 0
    assert tolerance_of(plain, Model(plain).output, None).value == 0  # in float to its end: nothing is rounded


def test_pictures_that_are_rescaled_in_float_are_the_same_everywhere() -> None:
    nodes = (Node("input", Input((8, 8, 1))), Node("rescaled", Rescale(), ("input",)), *conv_and_mean("rescaled"))
    weights = {"conv/kernel": np.ones((3, 3, 1, 2)), "rescaled/factor": np.ones(1), "rescaled/offset": np.ones(1)}
    graph = Graph(nodes, ("mean",), {name: values.astype(np.float32) for name, values in weights.items()})
    content = convert(as_if_quantised(graph, QuantSettings.default())).content
    assert [o.name for o in operators(content)][:3] == ["MUL", "ADD", "QUANTIZE"]
    assert tolerance_of(content, Model(content).output, None).value == 0


def conv_and_mean(source: str) -> tuple[Node, Node]:
    return Node("conv", Conv2D((1, 1), "same"), (source,)), Node("mean", GlobalAveragePool(False), ("conv",))


def test_a_difference_is_told_with_its_unit() -> None:
    host, device = np.asarray([[10, 200]], np.uint8), np.asarray([[10, 183]], np.uint8)
    with pytest.raises(
        UserError, match=r"required: a difference of at most 16 steps of 1/256; .*by up to 17 steps of 1/256$"
    ):
        compare(host, device, 16, unit=steps(1 / 256))
    assert compare(host, device, 17, unit=steps(1 / 256)).largest_difference == 17
    assert steps(0.0235) == "steps of 0.0235"
