"""The operators that take longer in int8 than in float, by the layers' names."""

from dataclasses import replace

import pytest

from helpers import device_reports
from helpers.graphs import small_graph
from helpers.numpy_quantised import quantised
from qatflow.device.results.report import DeviceReport, OperatorTime
from qatflow.device.results.warnings import ratio
from qatflow.report.at_fault import at_fault, at_fault_words
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators

GRAPH = small_graph()
CONTENTS = {"float": convert(GRAPH).content, "int8": convert(quantised(GRAPH, per_channel=True)).content}


def profile(name: str, costs: dict[int, float], rest: float = 1.0) -> tuple[OperatorTime, ...]:
    """A profile of LiteRT's own kernels, which have the operators' names; of `costs` by place, and `rest`."""
    return tuple(
        OperatorTime(at, one.name, ms := costs.get(at, rest), ms, ms, 1.0, round(1000 * ms))
        for at, one in enumerate(operators(CONTENTS[name]))
    )


def place(name: str, operator: str) -> int:
    return next(at for at, one in enumerate(operators(CONTENTS[name])) if one.name == operator)


def run(
    int8: tuple[OperatorTime, ...], float_: tuple[OperatorTime, ...], *, emulated: bool, slow: bool
) -> DeviceReport:
    found = device_reports.report(
        float_ms=(8.0, 5.0, 3.0),
        int8_ms=(9.0, 2.0, 2.0) if slow else (4.0, 2.0, 2.0),
        device=device_reports.description(emulated=emulated),
        instructions=(100, 110 if slow else 90),
    )
    models = found.models
    assert models.float is not None
    models = replace(
        models,
        int8=replace(models.int8, profile=replace(models.int8.profile, operators=int8)),
        float=replace(models.float, profile=replace(models.float.profile, operators=float_)),
    )
    return replace(found, models=models, ratio=ratio(models))


@pytest.mark.parametrize("emulated", [False, True])
def test_the_layer_that_takes_longer_is_named_with_both_figures(emulated: bool) -> None:
    slow = place("int8", "CONV_2D")
    layer = operators(CONTENTS["float"])[place("float", "CONV_2D")].outputs[0].name.partition(";")[0]
    # all others take half of float's time
    found = run(profile("int8", {slow: 5.0}, 0.0), profile("float", {}, 1.0), emulated=emulated, slow=True)
    (one,) = at_fault([found], CONTENTS)
    factor = 1000 if emulated else 1
    assert (one.layer, one.kernel, one.int8, one.float_model) == (layer, "CONV_2D", 5.0 * factor, 1.0 * factor)
    (said,) = at_fault_words([one], "phone")
    figures = "5,000 instructions against 1,000 instructions" if emulated else "5.000 ms against 1.000 ms"
    assert f"{layer} (CONV_2D) {figures}" in said
    assert (
        at_fault([run(profile("int8", {slow: 5.0}), profile("float", {}), emulated=emulated, slow=False)], CONTENTS)
        == ()
    )


def test_a_conversion_that_float_does_not_have_is_at_fault() -> None:
    at = place("int8", "QUANTIZE")
    found = run(profile("int8", {at: 0.5}, 0.0), profile("float", {}, 1.0), emulated=False, slow=True)
    (one,) = at_fault([found], CONTENTS)
    assert (one.int8, one.float_model) == (0.5, None)
    assert "0.500 ms against none in float" in next(at_fault_words([one], "phone"))
