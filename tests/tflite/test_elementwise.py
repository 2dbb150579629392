"""Operations on single values, pairs of values and constants: in float as NumPy has them, in int8 within one step."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from helpers.elementwise import CONSTANTS, IN_FLOAT, PAIRS, SINGLE, every_operation, pictures
from helpers.numpy_network import compute, execute
from qatflow.base.errors import UserError
from qatflow.graph.channels import channels
from qatflow.graph.counts import counts, total
from qatflow.graph.graph import Graph, Node
from qatflow.graph.kinds import KINDS
from qatflow.graph.operations import Add, Conv2D, HardSigmoid, Input, Maximum, Operation, PRelu
from qatflow.graph.resized import Sizes, fixed_channels, resized
from qatflow.graph.shapes import shapes
from qatflow.graph.store import load, save
from qatflow.graph.thin import thin
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.kernel_bounds import too_small
from qatflow.tflite.lower import convert, lower
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model
from qatflow.tflite.single_operator import single_operators

KERNELS = {
    "XNNPACK": OpResolverType.AUTO,
    "LiteRT's own": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference": OpResolverType.BUILTIN_REF,
}


def outputs(content: bytes, picture: np.ndarray, kernels: OpResolverType) -> dict[str, np.ndarray]:
    """The outputs by the node's name, float64, without the batch."""
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
    interpreter.invoke()
    return {
        details["name"].removesuffix("/float"): interpreter.get_tensor(details["index"])[0].astype(np.float64)
        for details in interpreter.get_output_details()
    }


@pytest.fixture(scope="module")
def graph() -> Graph:
    return every_operation()


@pytest.fixture(scope="module", params=["moving_average_abs_max", "moving_average_min_max"])
def quantised(request, graph: Graph) -> Graph:
    """The graph in int8, by the ranges of its own values."""
    values = execute(graph, pictures())
    ranges = {name: (float(tensor.min()), float(tensor.max())) for name, tensor in values.items()}
    return as_if_quantised(graph, QuantSettings(8, 8, "abs_max", request.param), ranges)


@pytest.mark.parametrize("kernels", ["XNNPACK", "LiteRT's own"])  # the reference kernels lack ELU
def test_every_operation_is_numpys_in_float(graph: Graph, kernels: str):
    content = lower(graph, "float")
    for picture in pictures():
        expected = execute(graph, picture[None])
        for name, values in outputs(content, picture, KERNELS[kernels]).items():
            np.testing.assert_allclose(values, expected[name][0], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("kernels", KERNELS)
def test_every_operation_is_within_a_step_in_int8(quantised: Graph, kernels: str):
    """Each from the integers that the model itself gave it, so that no step of another layer is counted."""
    if kernels == "reference":  # these lack ELU
        kept = [node for node in quantised.nodes if node.name not in IN_FLOAT]
        quantised = quantised.with_nodes(kept, outputs=tuple(node.name for node in kept[1:]))
    content = lower(quantised, "int8")
    for picture in pictures():
        found = outputs(content, picture, KERNELS[kernels])
        for node in quantised.nodes[3:]:
            alone = replace(quantised, nodes=(quantised.node("input"), node), outputs=(node.name,))
            sources = {name: found[name][None] for name in node.inputs}
            (expected,) = _computed(alone, node, sources)
            grid = quantised.activation_scales.get(node.name)
            if node.name in IN_FLOAT:
                np.testing.assert_allclose(found[node.name], expected, rtol=1e-5, atol=1e-5, err_msg=node.name)
                continue
            assert grid is not None and grid.scale is not None, node.name
            exact = np.clip(expected / grid.scale + grid.zero_point, -128, 127)
            actual = found[node.name] / grid.scale + grid.zero_point
            # rounded once, that is half a step; the kernels round products and multipliers as well
            assert np.abs(actual - exact).max() <= 0.76, node.name


def _computed(graph: Graph, node: Node, sources: dict[str, np.ndarray]) -> np.ndarray:
    inputs = tuple(Node(name, Input(values.shape[1:])) for name, values in sources.items())
    weights = {name: values for name, values in graph.weights.items() if name.startswith(f"{node.name}/")}
    kept = replace(graph, nodes=(*inputs, node), weights=weights, activation_scales={})
    return compute(kept, node, sources)


def test_the_operators_are_those_of_the_int8_kernels(quantised: Graph):
    """One operator each where TensorFlow Lite has it; constants in int8; nothing converted that needs not be."""
    by_output = {operator.outputs[0].name: operator for operator in operators(lower(quantised, "int8"))}
    wanted = {
        "add": "ADD", "multiply": "MUL", "subtract": "SUB", "maximum": "MAXIMUM", "minimum": "MINIMUM",
        "prelu": "PRELU", "hard_swish": "HARD_SWISH", "hard_sigmoid": "MUL", "at_most": "MINIMUM",
    }  # fmt: skip
    assert {name: by_output[name].name for name in wanted} == wanted
    for name in {**PAIRS, **CONSTANTS, **SINGLE}:
        types = {tensor.dtype for tensor in (*by_output[name].inputs, *by_output[name].outputs) if tensor is not None}
        assert types == {"INT8"}, name
    for name in IN_FLOAT:
        assert by_output[name].outputs[0].dtype == "FLOAT32", name
    one_grid = [by_output[name] for name in ("maximum", "minimum", "at_least", "at_most", "at_least_channels")]
    for operator in one_grid:
        assert len({(float(t.scale[0]), int(t.zero_point[0])) for t in (*operator.inputs, *operator.outputs) if t}) == 1
    assert not too_small(operators(lower(quantised, "int8")))
    alone = {one.output: Model(one.model()) for one in single_operators(lower(quantised, "int8"))}
    for name in {**CONSTANTS, **SINGLE}:
        assert alone[name].output.shape == (1, 6, 5, 4), name


def test_the_stored_graph_is_the_same(quantised: Graph, tmp_path: Path):
    save(quantised, tmp_path / "graph", integers="float")
    stored = load(tmp_path / "graph")
    assert lower(stored, "int8") == lower(quantised, "int8")
    constants = {name for name in quantised.weight_scales if not name.endswith("kernel")}
    assert constants == {
        "prelu/alpha",
        *(f"{name}/constant" for name, (operation, _) in CONSTANTS.items() if KINDS[type(operation)].operand.own_scale),
    }
    assert all(stored.weights[name].dtype == np.int8 for name in constants)


def test_constants_are_no_parameters_and_a_prelu_has_some(graph: Graph):
    found = counts(graph)
    assert found["prelu"].parameters == 4 and found["add_channels"].parameters == 0
    assert total(graph).parameters == 3 * 3 * 3 * 4 + 3 * 4 + 4


def chain(*behind: tuple[str, Operation, dict[str, Any]]) -> Graph:
    """A convolution of 4 channels, operations, and a convolution that reads them."""
    nodes = [Node("input", Input((6, 5, 3))), Node("x", Conv2D((1, 1), "same"), ("input",))]
    random = np.random.default_rng(0)
    weights = {"x/kernel": random.normal(0, 1, (1, 1, 3, 4)).astype(np.float32)}
    for name, operation, own in behind:
        nodes.append(Node(name, operation, (nodes[-1].name,)))
        weights |= {f"{name}/{role}": np.asarray(values, np.float32) for role, values in own.items()}
    nodes.append(Node("last", Conv2D((1, 1), "same"), (nodes[-1].name,)))
    weights["last/kernel"] = random.normal(0, 1, (1, 1, 4, 2)).astype(np.float32)
    return Graph(tuple(nodes), ("last",), weights)


@pytest.mark.parametrize("shape", [(4,), (6, 5, 4), (1,), (6, 5, 1)])
def test_a_thinner_graph_has_a_thinner_operand(shape: tuple[int, ...]):
    values = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    graph = chain(("shifted", Add(), {"constant": values}), ("slopes", PRelu(), {"alpha": values}))
    thinner = thin(graph, channels(graph), {"x/kernel": [0, 3]})
    last = 2 if shape[-1] == 4 else 1
    assert thinner.weights["shifted/constant"].shape == thinner.weights["slopes/alpha"].shape == (*shape[:-1], last)
    # by NumPy: the kept channels have the values that they had
    wide, thin_values = (execute(g, pictures(1))["slopes"] for g in (graph, thinner))
    np.testing.assert_array_equal(thin_values, wide[..., [0, 3]])


def test_a_network_that_starts_anew_keeps_the_channels_that_have_a_constant_each():
    fixed = fixed_channels(channels(chain(("shifted", Add(), {"constant": np.ones(4)}))))
    assert fixed["x/kernel"] == "'shifted' has a constant for each of them"
    graph = chain(("shifted", Add(), {"constant": np.full(1, 0.5)}), ("slopes", PRelu(), {"alpha": [0, 1, 0, 1]}))
    found = channels(graph)
    assert "x/kernel" not in fixed_channels(found)
    changed = resized(graph, found, Sizes({"x/kernel": 6}), seed=0)
    np.testing.assert_array_equal(changed.weights["slopes/alpha"], np.full(6, 0.5, np.float32))
    np.testing.assert_array_equal(changed.weights["shifted/constant"], [0.5])


def test_channels_that_a_constant_makes_stay():
    nodes = (Node("input", Input((6, 5, 1))), Node("wide", Maximum(), ("input",)))
    graph = Graph(nodes, ("wide",), {"wide/constant": np.zeros(4, np.float32)})
    assert shapes(graph)["wide"] == (6, 5, 4) and not channels(graph).groups


@pytest.mark.parametrize(
    ("constant", "inputs", "message"),
    [
        (None, 1, "it has one input and no constant"),
        (np.ones(4), 2, "it has two inputs and a constant"),
        (np.ones((2, 6, 5, 4)), 1, "its constant has the shape"),
        (np.ones(3), 1, "cannot be broadcast"),
    ],
)
def test_an_operand_that_does_not_fit_is_refused(constant: np.ndarray | None, inputs: int, message: str):
    nodes = (Node("input", Input((6, 5, 4))), Node("sum", Add(), ("input",) * inputs))
    weights = {} if constant is None else {"sum/constant": constant.astype(np.float32)}
    with pytest.raises(UserError, match=f"at 'sum': .*{message}"):
        shapes(Graph(nodes, ("sum",), weights))


def test_a_hard_sigmoid_of_values_beyond_its_kernel_is_refused():
    graph = chain(("gate", HardSigmoid(0.2, 0.5), {}))
    ranges = {"input": (-1.0, 1.0), "x": (-1500.0, 1500.0), "gate": (0.0, 1.0), "last": (-1.0, 1.0)}
    quantised = as_if_quantised(graph, QuantSettings(8, 8, "abs_max", "moving_average_abs_max"), ranges)
    with pytest.raises(UserError, match=r"gate: the steps of its input .* too large for its kernel"):
        convert(quantised)
