"""Each operation as Keras, NumPy and LiteRT have it: shapes, values, and what it costs."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from qatflow.base.errors import UserError
from qatflow.device.run.cut import cut_at, cut_points
from qatflow.graph.channels import channels
from qatflow.graph.counts import total
from qatflow.graph.cut import cut
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    OPERATIONS,
    Add,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePool,
    Input,
    MaxPool,
    Multiply,
    Reshape,
)
from qatflow.graph.shapes import shapes
from qatflow.graph.thin import thin
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model
from qatflow.tflite.single_operator import single_operators

PICTURE = (7, 6, 4)
# two shapes that NumPy broadcasts, of every kind: channels alone, places alone, rows, both sides, other ranks
PAIRS = [
    ((7, 6, 4), (7, 6, 4)),
    ((7, 6, 4), (1, 1, 4)),
    ((7, 6, 4), (4,)),
    ((7, 6, 4), (7, 6, 1)),
    ((7, 6, 4), (1,)),
    ((7, 6, 4), (6, 4)),
    ((7, 1, 4), (1, 6, 4)),
    ((7, 6, 1), (4,)),
    ((6, 1), (4,)),
    ((4,), (4,)),
]
BOTH_ORDERS = list(dict.fromkeys(order for pair in PAIRS for order in itertools.permutations(pair)))


@dataclass(frozen=True)
class Case:
    """A Keras layer, and the multiply-adds that are counted of it by hand; pictures are of 7 × 6 × 4."""

    kind: str
    layer: Callable[[Any, Any], Any]
    multiply_adds: int = 0


def cases() -> dict[str, Case]:
    """One or more of every operation; the layer is made of tf_keras.layers and the pictures' tensor."""
    found = {
        "Input": Case("Input", lambda k, x: k.ReLU()(x)),
        "Conv2D same": Case("Conv2D", lambda k, x: k.Conv2D(5, (3, 2), (2, 1), "same")(x), 4 * 6 * 3 * 2 * 4 * 5),
        "Conv2D valid": Case("Conv2D", lambda k, x: k.Conv2D(5, (3, 2), (2, 3))(x), 3 * 2 * 3 * 2 * 4 * 5),
        "Conv2D dilated": Case("Conv2D", lambda k, x: k.Conv2D(3, 3, dilation_rate=2)(x), 3 * 2 * 9 * 4 * 3),
        "DepthwiseConv2D": Case(
            "DepthwiseConv2D", lambda k, x: k.DepthwiseConv2D(3, 2, "same", depth_multiplier=2)(x), 4 * 3 * 9 * 4 * 2
        ),
        "Conv2D groups": Case("Conv2D", lambda k, x: k.Conv2D(6, 3, groups=2)(x), 5 * 4 * 9 * 2 * 6),
        "Conv2D of each channel": Case(
            "DepthwiseConv2D", lambda k, x: k.Conv2D(8, 3, strides=2, groups=4)(x), 3 * 2 * 9 * 8
        ),
        "Conv2DTranspose same": Case(
            "Conv2DTranspose", lambda k, x: k.Conv2DTranspose(5, 3, 2, "same", activation="relu6")(x), 7 * 6 * 9 * 4 * 5
        ),
        "Conv2DTranspose valid": Case(
            "Conv2DTranspose", lambda k, x: k.Conv2DTranspose(3, (2, 4), (3, 2))(x), 7 * 6 * 8 * 4 * 3
        ),
        "Rescale": Case("Rescale", lambda k, x: k.Rescaling([0.1, 1, 2, 3], [1, 0, 3, -4])(k.Rescaling(2.0, -1)(x))),
        "Crop": Case("Crop", lambda k, x: k.Cropping2D(((1, 2), (0, 3)))(x)),
        "Crop of channels": Case("Crop", lambda k, x: x[:, :, 1:, 1:3]),
        "Permute": Case("Permute", lambda k, x: k.Permute((2, 3, 1))(x)),
        "Resize": Case("Resize", lambda k, x: k.Resizing(11, 4, "nearest")(x)),
        "Resize bilinear": Case("Resize", lambda k, x: k.Resizing(4, 14)(x)),
        "Concat of rows": Case("Concat", lambda k, x: k.Concatenate(1)([x, k.Cropping2D(((0, 4), 0))(x)])),
        "Concat of columns": Case("Concat", lambda k, x: k.Concatenate(-2)([x, x])),
        "Dense": Case("Dense", lambda k, x: k.Dense(3)(k.Flatten()(x)), 7 * 6 * 4 * 3),
        "Dense of pictures": Case("Dense", lambda k, x: k.Dense(3)(x), 7 * 6 * 4 * 3),
        "BatchNorm": Case("BatchNorm", lambda k, x: k.BatchNormalization()(k.Conv2D(3, 1)(x)), 7 * 6 * 4 * 3),
        "Relu": Case("Relu", lambda k, x: k.ReLU()(x)),
        "Relu6": Case("Relu6", lambda k, x: k.ReLU(6.0)(x)),
        "LeakyRelu": Case("LeakyRelu", lambda k, x: k.LeakyReLU(0.1)(x)),
        "PRelu": Case("PRelu", lambda k, x: k.PReLU("uniform")(x)),
        "PRelu by channel": Case("PRelu", lambda k, x: k.PReLU("uniform", shared_axes=[1, 2])(x)),
        "HardSwish": Case("HardSwish", lambda k, x: k.Multiply()([x, k.ReLU(6.0)(x + 3.0) * (1 / 6)])),
        "HardSigmoid": Case("HardSigmoid", lambda k, x: k.Activation("hard_sigmoid")(x)),
        "ThresholdedRelu": Case("ThresholdedRelu", lambda k, x: k.ThresholdedReLU(0.5)(x)),
        "Selu": Case("Selu", lambda k, x: k.Activation("selu")(x)),
        "Exp": Case("Exp", lambda k, x: k.Activation("exponential")(k.Softmax()(x))),
        "Softplus": Case("Softplus", lambda k, x: k.Activation("softplus")(x)),
        "Softsign": Case("Softsign", lambda k, x: k.Activation("softsign")(x)),
        "Mish": Case("Mish", lambda k, x: k.Activation("mish")(x)),
        "Subtract": Case("Subtract", lambda k, x: k.Subtract()([x, k.GlobalMaxPooling2D(keepdims=True)(x)])),
        "Subtract from a constant": Case("Subtract", lambda k, x: 1.5 - x),
        "Maximum": Case("Maximum", lambda k, x: k.Maximum()([x, k.GlobalAveragePooling2D(keepdims=True)(x)])),
        "Minimum": Case("Minimum", lambda k, x: k.ReLU(1.5)(x)),
        "Add of a constant": Case("Add", lambda k, x: x + np.asarray([1.0, 2.0, 3.0, -4.0], np.float32)),
        "Multiply by a constant": Case("Multiply", lambda k, x: x * 0.5),
        "Tanh": Case("Tanh", lambda k, x: k.Activation("tanh")(x)),
        "Elu": Case("Elu", lambda k, x: k.ELU()(x)),
        "Gelu": Case("Gelu", lambda k, x: k.Activation("gelu")(x)),
        "LayerNorm": Case("LayerNorm", lambda k, x: k.LayerNormalization()(x)),
        "GroupNorm": Case("GroupNorm", lambda k, x: k.GroupNormalization(2)(x)),
        "UnitNorm": Case("UnitNorm", lambda k, x: k.UnitNormalization()(x)),
        "Attention": Case(
            "Attention", lambda k, x: k.Attention()([k.Reshape((42, 4))(k.UnitNormalization()(x))] * 2), 42 * 42 * 8
        ),
        "Concat": Case("Concat", lambda k, x: k.Concatenate()([x, k.Conv2D(2, 1)(x), x]), 7 * 6 * 4 * 2),
        "Pad": Case("Pad", lambda k, x: k.ZeroPadding2D(((1, 2), (0, 3)))(x)),
        "UpSample": Case("UpSample", lambda k, x: k.UpSampling2D((2, 3))(x)),
        "UpSample bilinear": Case("UpSample", lambda k, x: k.UpSampling2D(2, interpolation="bilinear")(x)),
        "AveragePool same": Case("AveragePool", lambda k, x: k.AveragePooling2D((3, 2), 2, "same")(x)),
        "AveragePool valid": Case("AveragePool", lambda k, x: k.AveragePooling2D((3, 2), 2)(x)),
        "MaxPool": Case("MaxPool", lambda k, x: k.MaxPooling2D(3, (2, 1), "same")(x)),
        "GlobalAveragePool": Case("GlobalAveragePool", lambda k, x: k.GlobalAveragePooling2D()(x)),
        "GlobalAveragePool 1 × 1": Case("GlobalAveragePool", lambda k, x: k.GlobalAveragePooling2D(keepdims=True)(x)),
        "GlobalMaxPool": Case("GlobalMaxPool", lambda k, x: k.GlobalMaxPooling2D()(x)),
        "Reshape": Case("Reshape", lambda k, x: k.Reshape((6, 28))(x)),
        "Dropout": Case("Dropout", lambda k, x: k.Dropout(0.5)(x)),
        "PictureDropout": Case("PictureDropout", lambda k, x: k.Dropout(0.5, noise_shape=(None, 1, 1, 1))(x)),
        "SpatialDropout": Case("SpatialDropout", lambda k, x: k.SpatialDropout2D(0.5)(x)),
        "Identity": Case("Identity", lambda k, x: k.Activation("linear")(x)),
        # not the last: the training model leaves a last one out, since its loss takes logits
        "Sigmoid": Case("Sigmoid", lambda k, x: k.ReLU()(k.Activation("sigmoid")(x))),
        "Softmax": Case("Softmax", lambda k, x: k.ReLU()(k.Softmax()(x))),
    }  # fmt: skip
    for name, (first, second) in itertools.product(("Add", "Multiply"), BOTH_ORDERS):
        found[f"{name} of {first} and {second}"] = Case(
            name, partial(_merged, name, first, second), 4 * (prod(first) + prod(second))
        )
    return found


def _merged(name: str, first: tuple[int, ...], second: tuple[int, ...], k: Any, x: Any) -> Any:
    """Two tensors of these shapes, made of the pictures' means, added or multiplied."""
    means = k.GlobalAveragePooling2D()(x)
    return getattr(k, name)()([k.Reshape(shape)(k.Dense(prod(shape))(means)) for shape in (first, second)])


CASES = cases()


def pictures(count: int = 3) -> np.ndarray:
    # values beyond 6, so that ReLU6 has something to clip; as many as channels would hide a wrong axis
    return np.random.default_rng(0).normal(0, 4, (count, *PICTURE)).astype(np.float32)


def test_every_operation_has_a_case():
    assert {case.kind for case in CASES.values()} == set(OPERATIONS)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", CASES)
def test_an_operation_is_what_keras_and_litert_have(name: str):
    import tf_keras
    from tf_keras import layers

    from qatflow.models.from_keras import graph_of
    from qatflow.training.keras_model import training_model

    tf_keras.backend.clear_session()
    case, source = CASES[name], layers.Input(PICTURE)
    keras = tf_keras.Model(source, case.layer(layers, source))
    graph = graph_of(keras)
    assert case.kind in {type(node.operation).__name__ for node in graph.nodes}
    expected = keras.predict(pictures(), verbose=0)
    output = graph.outputs[0]
    trained = training_model(graph, seed=0, step=0)
    assert shapes(graph)[output] == keras.output_shape[1:] == expected.shape[1:] == trained.keras.output_shape[1:]
    for node in graph.nodes:
        assert trained.tensors[node.name].shape[1:] == shapes(graph)[node.name], node.name
    content = convert(graph).content
    model = Model(content)
    assert model.output.shape == (1, *expected.shape[1:])
    np.testing.assert_allclose(model.outputs(pictures()).reshape(expected.shape), expected, rtol=0, atol=2e-5)
    np.testing.assert_allclose(trained.keras(pictures()), expected, rtol=0, atol=2e-5)
    found = total(graph)
    assert (found.multiply_adds, found.parameters) == (case.multiply_adds, keras.count_params())


def combined(operation: Any, first: tuple[int, ...], second: tuple[int, ...]) -> Graph:
    """Two tensors of these shapes combined, each made of the pictures' means by a dense layer."""
    random = np.random.default_rng(1)
    nodes = [Node("input", Input(PICTURE)), Node("means", GlobalAveragePool(keepdims=False), ("input",))]
    weights = {}
    for name, shape in (("first", first), ("second", second)):
        nodes += [Node(f"{name}_values", Dense(), ("means",)), Node(name, Reshape(shape), (f"{name}_values",))]
        weights[f"{name}_values/kernel"] = random.uniform(-1, 1, (PICTURE[-1], prod(shape))).astype(np.float32)
    nodes.append(Node("made", operation, ("first", "second")))
    return Graph(tuple(nodes), ("made",), weights)


@pytest.mark.parametrize("operation", [Add(), Multiply()])
@pytest.mark.parametrize(("first", "second"), BOTH_ORDERS)
def test_broadcasting_is_numpys_in_int8_too(operation: Any, first: tuple[int, ...], second: tuple[int, ...]):
    graph = combined(operation, first, second)
    assert shapes(graph)["made"] == np.broadcast(np.empty(first), np.empty(second)).shape
    settings = QuantSettings(8, 8, "abs_max", "moving_average_abs_max")
    quantised = as_if_quantised(graph, settings)
    step = quantised.activation_scales["made"].scale
    content = convert(quantised).content
    sides = [convert(cut(quantised, None, [name])).content for name in ("first", "second")]
    for kernels in (OpResolverType.AUTO, OpResolverType.BUILTIN_REF):
        for picture in pictures() + np.array([4, -3, 2, 5], np.float32):
            one, two, made = (run(model, picture, kernels) for model in (*sides, content))
            exact = one + two if isinstance(operation, Add) else one * two
            assert made.shape == exact.shape and np.ptp(made) > 10 * step  # it says something
            # the reference kernels round twice: to an eighth of a step (the scales' product is 2^-4), then to a step
            assert np.abs(made - np.clip(exact, -128 * step, 127 * step)).max() <= (0.5 + 0.5 / 8 + 1e-5) * step


def run(content: bytes, picture: np.ndarray, kernels: OpResolverType) -> np.ndarray:
    """The output for one picture, without the batch, float64."""
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0].astype(np.float64)


@pytest.mark.parametrize(
    ("first", "second"), [((7, 6, 4), (7, 6, 3)), ((7, 6, 4), (6,)), ((7, 6, 4), (7, 1)), ((7, 6, 4), (7, 6))]
)
def test_shapes_that_cannot_be_broadcast_are_refused(first: tuple[int, ...], second: tuple[int, ...]):
    with pytest.raises(ValueError):
        np.broadcast(np.empty(first), np.empty(second))
    with pytest.raises(UserError, match=r"at 'made': its inputs have the shapes .* cannot be broadcast"):
        shapes(combined(Add(), first, second))


def gated(operation: Any, order: int, gate: str) -> Graph:
    """`wide` (5 channels) combined with what `gate` says, and a layer behind."""
    conv = Conv2D((1, 1), "same")
    kernels: dict[str, tuple[int, ...]] = {"wide": (3, 3, 4, 5), "behind": (1, 1, 5, 3)}
    nodes = [Node("input", Input(PICTURE)), Node("wide", conv, ("input",))]
    if gate == "places":
        nodes.append(Node("gate", conv, ("wide",)))
        kernels["gate"] = (3, 3, 5, 1)
    else:
        nodes += [Node("means", GlobalAveragePool(keepdims=False), ("wide",)), Node("gate", Dense(), ("means",))]
        kernels["gate"] = (5, 5)
    sources = [("wide", "gate"), ("gate", "wide")][order]
    nodes += [Node("made", operation, sources), Node("behind", conv, ("made",))]
    random = np.random.default_rng(0)
    weights = {f"{name}/kernel": random.normal(0, 1, shape).astype(np.float32) for name, shape in kernels.items()}
    return Graph(tuple(nodes), ("behind",), weights)


@pytest.mark.parametrize("operation", [Add(), Multiply()])
@pytest.mark.parametrize("order", [0, 1])
def test_a_single_channel_that_is_repeated_is_tied_to_none(operation: Any, order: int):
    graph = gated(operation, order, "places")
    found = channels(graph)
    assert {group.name: list(group.unit_of) for group in found.groups} == {"wide/kernel": ["wide/kernel"]}
    assert found.fixed["gate/kernel"] == "'made' applies the only one to every channel"
    thinner = thin(graph, found, {"wide/kernel": [0, 2, 4]})
    assert {name: values.shape for name, values in thinner.weights.items()} == {
        "wide/kernel": (3, 3, 4, 3), "gate/kernel": (3, 3, 3, 1), "behind/kernel": (1, 1, 3, 3),
    }  # fmt: skip


@pytest.mark.parametrize("operation", [Add(), Multiply()])
@pytest.mark.parametrize("order", [0, 1])
def test_channels_of_other_ranks_are_tied(operation: Any, order: int):
    graph = gated(operation, order, "channels")
    (group,) = channels(graph).groups
    assert {kernel: units.tolist() for kernel, units in group.unit_of.items()} == {
        "wide/kernel": [0, 1, 2, 3, 4], "gate/kernel": [0, 1, 2, 3, 4],
    }  # fmt: skip
    thinner = thin(graph, channels(graph), {group.name: [1, 3]})
    assert shapes(thinner)["made"] == (7, 6, 2) and thinner.weights["gate/kernel"].shape == (2, 2)
    assert total(graph) == total(gated(operation, 1 - order, "channels"))
    damaged = {**thinner.weights, "behind/kernel": graph.weights["behind/kernel"]}
    with pytest.raises(UserError, match=r"'behind': its kernel .* reads 5 channels, but 'made' has 2"):
        shapes(Graph(thinner.nodes, thinner.outputs, damaged))


@pytest.mark.parametrize("operation", [Add(), Multiply()])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("gate", ["places", "channels"])
def test_a_broadcast_operator_runs_alone_and_where_the_model_is_cut(operation: Any, order: int, gate: str):
    settings = QuantSettings(8, 8, "abs_max", "moving_average_abs_max")
    content = convert(as_if_quantised(gated(operation, order, gate), settings)).content
    alone = {one.output: Model(one.model()) for one in single_operators(content)}
    wanted = {one.outputs[0].name: one.outputs[0].shape for one in operators(content)}
    assert {name: model.output.shape for name, model in alone.items()} == wanted
    assert wanted["made"] == (1, 7, 6, 5)
    for model in alone.values():
        model.outputs(np.zeros((1, *model.input.shape[1:]), model.input.dtype))
    for place in cut_points(content):
        cut_model = Model(cut_at(content, place.tensor))
        assert cut_model.output.shape == wanted[place.name]
        cut_model.outputs(pictures(1))


@pytest.mark.parametrize(
    ("operation", "kernel", "message"),
    [
        (Conv2D((1, 1), "valid"), ("kernel", (9, 1, 4, 2)), "which holds no value"),
        (MaxPool((9, 9), (1, 1), "valid"), None, "which holds no value"),
        (Conv2D((1, 1), "valid"), ("kernel", (4, 2)), "needs 4 axes"),
        (DepthwiseConv2D((1, 1), "valid"), ("kernel", (1, 1, 4, 1)), "it has no depthwise_kernel"),
        (Reshape((5, 5)), None, "cannot take the shape"),
        (BatchNorm(0.1, 0.9), None, "it has no gamma"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(operation: Any, kernel: Any, message: str):
    nodes = (Node("input", Input(PICTURE)), Node("made", operation, ("input",)))
    weights = {} if kernel is None else {f"made/{kernel[0]}": np.ones(kernel[1], np.float32)}
    with pytest.raises(UserError, match=f"does not fit together at 'made': .*{message}"):
        shapes(Graph(nodes, ("made",), weights))


def test_a_picture_is_wanted_where_windows_slide_and_one_shape_where_channels_are_joined():
    nodes = (Node("input", Input((4,))), Node("made", MaxPool((2, 2), (1, 1), "same"), ("input",)))
    with pytest.raises(UserError, match=r"takes height, width and channels, but its input has the shape \(4,\)"):
        shapes(Graph(nodes, ("made",), {}))
    joined = combined(Concat(), (7, 6, 4), (7, 5, 4))
    with pytest.raises(UserError, match="only their channels may differ"):
        shapes(joined)
