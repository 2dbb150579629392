"""The operators that take longer in int8 than in float, by the layers' names."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import device_reports
from helpers.device_fixtures import arm_bundle, arm_runtime, require  # noqa: F401
from helpers.graphs import small_graph
from helpers.numpy_quantised import quantised
from helpers.report_files import report_files
from helpers.small_data import prepared_digits
from qatflow.config.sections.device import DeviceSection
from qatflow.device.results.report import DeviceReport, OperatorTime, read_report, write_report
from qatflow.device.results.warnings import ratio
from qatflow.device.run.run import RunSettings, run_demo
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Add, Conv2D, Dense, GlobalAveragePool, Input, PRelu, Softmax
from qatflow.graph.store import save
from qatflow.optimize.optimize import optimize_graph
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.report.at_fault import OperatorAtFault, at_fault, at_fault_words
from qatflow.report.summary import summarise
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


def test_the_sentence_that_a_run_ends_with_names_the_costliest(tmp_path: Path) -> None:
    sources = report_files(tmp_path)
    slow = place("int8", "CONV_2D")
    for is_slow, said in (
        (True, "1.1× slower on phone (at fault: conv, CONV_2D), "),
        (False, "2.0× faster on phone, "),
    ):
        found = run(profile("int8", {slow: 5.0}, 0.0), profile("float", {}, 1.0), emulated=False, slow=is_slow)
        write_report(sources.devices[0], found)
        assert said in summarise(sources, tmp_path / "s.json").verdict.sentence


def prelu_network() -> Graph:
    """Two convolutions, a PReLU behind one of them, their sum, a dense layer: LiteRT has no fast int8 PReLU."""
    random = np.random.default_rng(0)
    nodes = (
        Node("input", Input((32, 32, 1))),
        Node("a", Conv2D((2, 2), "same"), ("input",)),
        Node("b", Conv2D((2, 2), "same"), ("input",)),
        Node("bend", PRelu(), ("a",)),
        Node("sum", Add(), ("bend", "b")),
        Node("pool", GlobalAveragePool(keepdims=False), ("sum",)),
        Node("logits", Dense(), ("pool",)),
        Node("probabilities", Softmax(), ("logits",)),
    )
    shapes = {"a/kernel": (3, 3, 1, 16), "b/kernel": (3, 3, 1, 16), "logits/kernel": (16, 10), "logits/bias": (10,)}
    weights = {name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    return Graph(nodes, ("probabilities",), weights | {"bend/alpha": np.full((1, 1, 16), 0.25, np.float32)})


@pytest.mark.device
def test_a_kernel_that_is_slow_in_int8_is_named_from_its_instructions_in_the_emulator(
    arm_bundle: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    require("qemu-aarch64-static")
    manifest = prepared_digits(tmp_path / "data").folder / "manifest.json"
    graph, contents = prelu_network(), {}
    for name, form in (("float", graph), ("int8", as_if_quantised(graph, QuantSettings.default()))):
        save(form, tmp_path / f"{name}_graph")
        optimize_graph(form, sorted((tmp_path / f"{name}_graph").iterdir()), manifest, tmp_path / name)
        contents[name] = (tmp_path / name / "model.tflite").read_bytes()
    section = DeviceSection.model_validate({"pictures": 2, "repeats": 1, "threads": [1]})
    run_demo(RunSettings.of(section), tmp_path / "int8", tmp_path / "float", arm_bundle, manifest, tmp_path / "out")
    found = read_report(tmp_path / "out/report.json")
    assert found.models.float is not None and found.ratio is not None
    assert found.ratio.instructions is not None and found.ratio.instructions < 1
    slow, fast = (
        next(one.instructions for one in model.profile.operators if one.kernel == kernel)
        for model, kernel in ((found.models.int8, "PRELU"), (found.models.float, "PReLU (ND)"))
    )
    # 16,384 values, of which the reference kernel takes one at a time
    assert slow is not None and fast is not None and slow > 10 * 16_384 > 10 * fast
    first, *_ = at_fault([found], contents)
    assert first == OperatorAtFault("emulator", "bend", "PRELU", "instructions", slow, fast)
    said = next(at_fault_words(at_fault([found], contents), "emulator"))
    assert f"the costliest first: bend (PRELU) {slow:,} instructions against {fast:,} instructions; " in said
