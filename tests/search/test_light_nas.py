"""LightNASStrategy's networks: what can be searched, within which limits, and which operators they have."""

import itertools
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.graphs import small_graph
from qatflow.base.errors import UserError
from qatflow.config.checks.search import check_search
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.graph.graph import Graph
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.search.candidate import Size
from qatflow.search.light_nas import LightNASSpace
from qatflow.search.operators import operators_of
from qatflow.search.space import SearchSetup
from qatflow.tflite.latency_table import LatencyTable, read_table, write_table
from qatflow.tflite.lower import convert
from qatflow.tflite.single_operator import single_operators

QUANTISATION = {"class": "QuantizationStrategy"}


def config(**keys: Any) -> CompressConfig:
    given = {"class": "LightNASStrategy", "controller": "c", "widths": [0.5, 1.0, 1.5], **keys}
    return CompressConfig.model_validate(
        {
            "controllers": {"c": {"class": "SAController"}},
            "strategies": {"s": given, "q": QUANTISATION},
            "compressor": {"epoch": 1, "strategies": ["s", "q"]},
        }
    )


def setup(graph: Graph | None = None, latency: Path | None = None, **keys: Any) -> SearchSetup:
    return SearchSetup(config(**keys), graph or small_graph(), 1, latency)


def space(**keys: Any) -> LightNASSpace:
    found = setup(**keys)
    return LightNASSpace(found, found.config.light_nas)


def test_tokens_are_widths_of_groups_and_then_windows_of_depthwise_layers():
    # of small_graph the first convolution, the depthwise one and `left` are tied by the sum
    found = space(target_flops=0)
    assert found.range_table == (3, 2)
    assert found.groups == {"conv/kernel": (2, 4, 6)} and found.windows == ("dw/depthwise_kernel",)
    assert found.initial == (1, 0)
    described = found.described((2, 1))
    assert described == {"channels": {"conv/kernel": 6}, "windows": {"dw/depthwise_kernel": 5}}
    graph = found.graph((2, 1))
    assert graph.weights["left/kernel"].shape[-1] == 6 and graph.weights["dw/depthwise_kernel"].shape == (5, 5, 6, 1)
    # 8 × 8 pictures of 2 channels: conv 3 × 3, depthwise 5 × 5 and `left` at 4 × 4, three classes
    left = graph.weights["left/kernel"].shape[0] ** 2
    expected = 64 * 9 * 2 * 6 + 16 * 25 * 6 + 16 * 6 * 6 * left + 6 * 3
    assert found.size((2, 1)).multiply_adds == expected
    again = space(target_flops=0).graph((2, 1))
    for name, values in graph.weights.items():
        np.testing.assert_array_equal(values, again.weights[name])


def test_networks_beyond_the_limit_are_refused_and_the_search_begins_within_it():
    own = space(target_flops=0).size((1, 0)).multiply_adds
    assert not space(target_flops=own).refused((1, 0))
    thin = space(target_flops=own - 1)
    assert thin.refused((1, 0)) == f"{own} multiply-adds are more than target_flops ({own - 1})"
    assert thin.initial == (0, 0)
    with pytest.raises(UserError, match=r"no network keeps the limits: \d+ multiply-adds are more than target_flops"):
        _ = space(target_flops=1).initial


def test_what_cannot_be_searched_is_said_with_the_reason():
    with pytest.raises(UserError, match="nothing of 'logits' can have another size: logits/kernel: the softmax"):
        space(searched_params="logits")
    with pytest.raises(UserError, match=r"init_tokens: must be 2 places.*conv/kernel.*dw/depthwise_kernel"):
        space(init_tokens=[0])
    with pytest.raises(UserError, match="init_tokens"):
        space(init_tokens=[3, 0])
    assert space(searched_params="dw", target_flops=0).range_table == (2,)
    assert space(searched_params="left", kernel_sizes=[]).range_table == (3,)


@pytest.mark.parametrize(
    ("keys", "key", "message"),
    [
        ({"widths": [1.0, 1.0]}, "widths.1", "1 is listed already"),
        ({"kernel_sizes": [3, 4]}, "kernel_sizes.1", "must be odd"),
        ({"widths": [1.0], "kernel_sizes": []}, "widths", "leaves nothing to search"),
        ({"controller": "d"}, "controller", "'d' is not defined under controllers; defined: c"),
    ],
)
def test_settings_without_sense_are_refused_before_anything_runs(keys: dict[str, Any], key: str, message: str):
    found = next(iter(check_search(config(**keys))))
    assert ".".join(map(str, found.keys[0])) == f"strategies.s.{key}" and message in found.message


def test_another_beginning_and_comparisons_of_inner_tensors_are_refused():
    good = config()
    assert not list(check_search(good)) and good.thins() and good.light_nas is not None
    begun = good.model_copy(
        update={"compressor": good.compressor.model_copy(update={"init_model": "results/a/trained"})}
    )
    (found,) = check_search(begun)
    assert found.keys[0] == ("compressor", "init_model")
    sections = good.model_dump(by_alias=True)
    sections["distillers"] = {
        "inner": {"class": "L2Distiller", "student_feature_map": "conv", "teacher_feature_map": "conv"},
        "outer": {"class": "SoftLabelDistiller", "student_feature_map": "logits", "teacher_feature_map": "logits"},
    }
    (found,) = check_search(CompressConfig.model_validate(sections))
    assert found.keys[0] == ("distillers", "inner") and "SoftLabelDistiller" in found.message


def every_operator(found: LightNASSpace) -> set[str]:
    """Those of all networks, by trying all."""
    networks = itertools.product(*(range(values) for values in found.range_table))
    return {operator.key for tokens in networks for operator in single_operators(found.int8(tokens))}


def test_the_operators_of_all_networks_are_found_without_trying_all():
    begun = setup(target_flops=0)
    operators = operators_of(begun)
    assert set(operators) == every_operator(LightNASSpace(begun, begun.config.light_nas))


@pytest.mark.tensorflow
def test_the_operators_of_a_mobilenet_are_found_by_the_tokens_that_they_depend_on():
    from helpers.small_networks import network

    begun = setup(
        network("MobileNetV2"), target_flops=0, widths=[0.5, 1.0], searched_params="block_1_project|block_2_|Conv_1"
    )
    found = LightNASSpace(begun, begun.config.light_nas)
    assert len(found.range_table) == 4 and set(operators_of(begun)) == every_operator(found)


def table_of(operators: dict[str, bytes], path: Path, **changed: Any) -> Path:
    latencies = {key: float(len(key)) for key in operators}
    table = LatencyTable("instructions", {"name": "test"}, 1, 100.0, latencies, (), {})
    write_table(path, replace(table, **changed))
    return path


def test_a_latency_is_the_sum_over_the_operators_and_limits_the_search(tmp_path: Path):
    keys: dict[str, Any] = {"target_flops": 0, "target_latency": 1e9}
    operators = operators_of(setup(**keys))
    path = table_of(operators, tmp_path / "table.json")
    assert asdict(read_table(path))["operators"] == {key: len(key) for key in operators}
    begun = setup(latency=path, **keys)
    found = LightNASSpace(begun, begun.config.light_nas)
    expected = 100 + sum(len(operator.key) for operator in single_operators(found.int8((2, 1))))
    size = found.size((2, 1))
    assert (size.latency, size.latency_unit) == (expected, "instructions") and not found.refused((2, 1))
    assert isinstance(size, Size)
    limited = setup(latency=path, target_flops=0, target_latency=expected - 0.5)
    refused = LightNASSpace(limited, limited.config.light_nas).refused((2, 1))
    assert refused == f"a latency of {expected} instructions is more than target_latency ({expected - 0.5:g})"
    with pytest.raises(UserError, match=r"give the program one \(--latency\)"):
        space(**keys).refused((0, 0))
    table_of({}, path)
    with pytest.raises(UserError, match=r"the latency table of device test has no entry for .*measure it again"):
        LightNASSpace(begun, begun.config.light_nas).size((2, 1))
    path.write_text("{}")
    with pytest.raises(UserError, match="is damaged"):
        read_table(path)


def test_each_operator_alone_computes_what_it_does_in_the_whole():
    from qatflow.tflite.run import Model

    # without the sum, whose second tensor a model of its own does not get
    graph = small_graph()
    nodes = [replace(n, inputs=("left_bn",)) if n.name == "sum_relu" else n for n in graph.nodes if n.name != "sum"]
    chain = graph.with_nodes(nodes)
    content = convert(as_if_quantised(chain, QuantSettings(8, 8, "abs_max", "moving_average_abs_max"))).content
    picture = np.random.default_rng(0).normal(0, 3, (1, 8, 8, 2)).astype(np.float32)
    tensor = picture
    operators = list(single_operators(content))
    for operator in operators:
        model = Model(operator.model())
        tensor = model.outputs(tensor.reshape(model.input.shape))
    assert len(operators) == 8
    np.testing.assert_array_equal(tensor, Model(content).outputs(picture))
    assert np.ptp(tensor) > 0


def test_new_weights_for_frozen_layers_are_refused_with_their_names():
    with pytest.raises(UserError, match=r"new weights, .* frozen layers \(left\): with model\.frozen_layers: train"):
        space(graph=replace(small_graph(), frozen=frozenset({"left"})), target_flops=0)
