"""From the trained model to the optimised one: the same integers and scales in every form and for each setting."""

import json
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from safetensors.numpy import load_file

from helpers.small_data import prepared_digits
from helpers.small_networks import network
from helpers.trained_integers import assert_kept, parsed, weighted_operators
from qatflow.graph.graph import Graph
from qatflow.graph.shifted import shared_zeros

pytestmark = pytest.mark.tensorflow

FEW_BITS: dict[str, int] = {"default": 4, "conv2d_1/": 2, "conv2d_[24]": 3, "conv2d_5": 6}
SETTINGS = [
    (name, weights, activations, 8)
    for name, activations in (
        ("MobileNetV1", "moving_average_abs_max"),
        ("MobileNetV1", "range_abs_max"),
        ("MobileNetV2", "moving_average_abs_max"),
        ("small ResNet", "range_abs_max"),
        ("small ResNet", "moving_average_min_max"),
        ("inception", "moving_average_min_max"),
        ("attention", "moving_average_abs_max"),
    )
    for weights in ("abs_max", "channel_wise_abs_max")
] + [
    ("geometry", "channel_wise_abs_max", "moving_average_min_max", 8),
    ("small ResNet", "channel_wise_abs_max", "moving_average_abs_max", FEW_BITS),
    ("inception", "channel_wise_lsq", "lsq", 8),
    ("small ResNet", "lsq", "pact", FEW_BITS),
]
ENDS_OF_FEW_BITS = {
    "conv2d/kernel": 127, "conv2d_1/kernel": 1, "conv2d_2/kernel": 3, "conv2d_3/kernel": 7, "conv2d_4/kernel": 3,
    "conv2d_5/kernel": 31, "dense/kernel": 127,
}  # fmt: skip
"""Largest integers with `FEW_BITS`: the first and the last layer have 8 bits."""
COUNTS = {  # convolutions, depthwise convolutions, dense layers, transposed convolutions
    "MobileNetV1": (15, 13, 0, 0),
    "MobileNetV2": (35, 17, 1, 0),
    "small ResNet": (6, 0, 1, 0),
    "inception": (7, 3, 1, 0),
    "attention": (4, 0, 4, 0),
    "geometry": (5, 1, 1, 1),
}


@pytest.fixture(scope="module")
def start():
    from qatflow.training.runtime import start

    start(seed=0, threads=2)


def images(count: int = 16) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 0.5, (count, 32, 32, 1)).astype(np.float32)


@pytest.fixture(
    scope="module", params=SETTINGS, ids=lambda one: "-".join([*one[:3], *(["few bits"] if one[3] != 8 else [])])
)
def trained(request, start, tmp_path_factory):
    """A network calibrated and quantised, its graph stored and exported; the training model's own view beside it."""
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.config.recipe.recipe import QuantizationStrategySection
    from qatflow.export.export import export
    from qatflow.graph.store import save
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.training.keras_model import training_model

    name, *types, widths = request.param
    float_graph = network(name)
    quantisers = Quantisers(float_graph, QuantSettings(widths, 8, *types))
    model = training_model(float_graph, seed=0, step=0, hooks=quantisers)
    quantisers.calibrate(model, lambda: [images()])
    quantisers.phase.mode = "quantise"
    logits = model.keras(images(), training=False).numpy()
    folder = tmp_path_factory.mktemp("experiment")
    save(quantisers.quantised_graph(model)[0], folder / "trained")
    strategy = QuantizationStrategySection.model_validate(
        {
            "class": "QuantizationStrategy",
            "float_model_save_path": "./output/float",
            "int8_model_save_path": "./output/int8",
            "mobile_model_save_path": "./output/mobile",
            "save_in_nodes": ["image"],
            "save_out_nodes": ["fc_0.tmp_2"],
        }
    )
    export(folder / "trained", strategy, folder)
    kernels = {name: v.numpy() for name, v in model.variables.items() if name.endswith("kernel")}
    return folder, logits, kernels, request.param


def test_float_holds_integers_as_float_and_int8_the_same_as_int8(trained):
    folder, _, kernels, (_, weight_type, _, widths) = trained
    as_float, as_int8 = (load_file(folder / "output" / kind / "weights") for kind in ("float", "int8"))
    assert set(as_float) == set(as_int8)
    for name, kernel in kernels.items():
        assert as_float[name].dtype == np.float32 and as_int8[name].dtype == np.int8
        np.testing.assert_array_equal(as_float[name], as_int8[name])
        # by the definition, from the float kernel that training holds; a dense layer has one scale in any case
        depthwise = name.endswith("depthwise_kernel")
        flat = kernel.reshape(-1, kernel.shape[2] * kernel.shape[3] if depthwise else kernel.shape[-1])
        flat = flat if weight_type.startswith("channel_wise") and kernel.ndim == 4 else flat.reshape(-1, 1)
        end = 127 if widths == 8 else ENDS_OF_FEW_BITS[name]
        # a power of two for finer steps of the bias (tests/graph/test_bias_steps.py)
        times = 1 if end == 127 else 2 ** shared_zeros(as_int8[name])
        if weight_type.endswith("lsq"):  # the scale before training, beyond which weights are clipped
            scale = 2 * np.abs(flat).mean(axis=0, dtype=np.float64) / np.sqrt(end)
        else:
            assert np.abs(as_int8[name]).max() == end * times
            scale = np.abs(flat).max(axis=0) / np.float32(end)
        np.testing.assert_allclose(as_int8[f"{name}.scale"], scale / times, rtol=1e-6)
        exact = np.clip(flat.astype(np.float64) / scale, -end, end)
        difference = np.abs(as_int8[name].reshape(flat.shape) / times - exact)
        assert difference.max() <= 0.5 + 1e-3, name


def test_int8_is_a_fraction_of_float(trained):
    folder = trained[0] / "output"
    kernels = [v for n, v in load_file(folder / "int8" / "weights").items() if n.endswith("kernel")]
    saved = (folder / "float" / "weights").stat().st_size - (folder / "int8" / "weights").stat().st_size
    assert abs(saved - 3 * sum(kernel.size for kernel in kernels)) < 0.005 * saved, (
        "3 of 4 bytes of each kernel element go, but for the header"
    )


def test_the_three_folders_load_and_agree(trained):
    from qatflow.export.mobile import load_any

    folder = trained[0] / "output"
    first, *others = (load_any(folder / kind) for kind in ("float", "int8", "mobile"))
    for other in others:
        assert (other.nodes, other.outputs, other.activation_scales) == (
            first.nodes, first.outputs, first.activation_scales,
        )  # fmt: skip
        for name, values in first.weights.items():
            np.testing.assert_array_equal(other.weights[name], values)


def test_each_grid_is_that_of_the_formula_from_the_values_that_litert_computes(trained):
    from qatflow.export.mobile import load_any
    from qatflow.graph.families import FIXED_GRID
    from qatflow.quantisation.placement import quantised_kernels, quantised_tensors, shared_scales
    from qatflow.training.keras_model import training_model
    from qatflow.trial.float_ranges import float_ranges

    folder, _, _, (name, _, kind, _) = trained
    graph, float_graph = load_any(folder / "output" / "int8"), network(name)
    tensors = quantised_tensors(float_graph, quantised_kernels(float_graph))
    shared = shared_scales(float_graph, dict.fromkeys(tensors, 8))
    whole, names = 0, sorted(tensors - set(shared))
    values = {}
    if kind == "lsq":
        float_model = training_model(float_graph, seed=0, step=0).with_tensors(names)
        values = dict(zip(names, float_model(images(), training=False)[1:], strict=True))
    for tensor, (low, high) in float_ranges(float_graph, tensors, images()).items():
        found = graph.activation_scales.get(tensor)
        if found is None or tensor in shared or type(float_graph.node(tensor).operation) in FIXED_GRID:
            continue
        if kind == "lsq":
            greatest = 255 if low >= 0 else 127
            mean = np.abs(values[tensor].numpy()).mean(dtype=np.float64)
            scale, zero_point = 2 * mean / np.sqrt(greatest), -128 if low >= 0 else 0
        elif kind == "moving_average_min_max":
            low, high = min(low, 0.0), max(high, 0.0)
            scale, zero_point = (high - low) / 255, round(-255 * low / (high - low)) - 128
        elif low >= 0:
            scale, zero_point = high / 255, -128
        else:
            scale, zero_point = max(-low, high) / 127, 0
        assert (found.scale, found.zero_point) == (pytest.approx(scale, rel=1e-3), zero_point), tensor
        whole += found.zero_point == -128
    assert whole >= 2


def test_the_exported_graph_computes_what_training_saw(trained):
    from qatflow.evaluate.fake_quant_model import fake_quant_model
    from qatflow.export.mobile import load_any

    folder, logits, _, _ = trained
    graph = load_any(folder / "output" / "float")
    found = fake_quant_model(graph).keras(images(), training=False).numpy()
    step = last_scale(graph)
    # float32 sums in another order may fall on the other side of a tie
    assert (np.abs(found - logits) < step / 2).mean() > 0.97
    assert np.abs(found - logits).max() < 4 * step


def last_scale(graph: Graph) -> float:
    """The step of the logits."""
    softmax = graph.node("fc_0.tmp_2")
    name = softmax.inputs[0]
    while name not in graph.activation_scales:
        name = graph.node(name).inputs[0]
    return graph.activation_scales[name].scale


def test_the_optimised_model_has_the_trained_integers_and_computes_alike(trained, digits):
    from qatflow.graph.store import load
    from qatflow.optimize.optimize import optimize
    from qatflow.tflite.run import Model

    folder, logits, kernels, (name, *_) = trained
    exported = folder / "output" / "float"
    optimize(exported / "model", exported / "weights", digits.folder / "manifest.json", folder / "opt")
    graph, stored = load(exported), load_file(folder / "output" / "int8" / "weights")
    content = (folder / "opt" / "model.tflite").read_bytes()
    assert assert_kept(content, graph, stored) == COUNTS[name]
    assert {kernel.name.decode() for _, _, kernel, _ in weighted_operators(parsed(content))} == set(kernels)
    outputs = Model(folder / "opt" / "model.tflite").outputs(images())
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = exponents / exponents.sum(axis=1, keepdims=True)
    assert (outputs.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.8
    assert np.abs(outputs - expected).max() < 0.08
    about = json.loads((folder / "opt" / "optimization.json").read_text())
    norms = sum(key.endswith("gamma") for key in stored)
    assert len(about["fused"]["fold_batch_norm"]) == norms > 0
    assert not {"BatchNorm", "Pad", "Dropout", "Relu", "Relu6"} & set(about["operators_after"])


WIDTHS = range(2, 9)


@pytest.fixture(scope="module", params=["MobileNetV1", "MobileNetV2", "small ResNet"])
def untrained(request, start) -> Graph:
    """The network; of a large one the beginning, which has each kind of layer but the last."""
    from qatflow.graph.cut import cut

    beginnings = {"MobileNetV1": ["conv_pw_6_relu"], "MobileNetV2": ["block_5_add"]}
    return cut(network(request.param), None, beginnings.get(request.param))


@pytest.mark.parametrize("kind", ["abs_max", "channel_wise_abs_max"])
@pytest.mark.parametrize("width", WIDTHS)
def test_each_width_has_the_same_integers_in_every_form(untrained, width, kind, tmp_path):
    """The scales are those of the weights alone; no training is needed for the integers."""
    from qatflow.export.mobile import load_any, write_mobile
    from qatflow.graph.store import load, save
    from qatflow.quantisation.as_if_quantised import as_if_quantised
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.tflite.lower import convert

    graph = as_if_quantised(untrained, QuantSettings({".*": width}, 8, kind, "moving_average_abs_max"))
    assert {scale.bits for scale in graph.weight_scales.values()} == {width}
    save(graph, tmp_path / "float", "float")
    save(graph, tmp_path / "int8", "integer")
    (tmp_path / "mobile").mkdir()
    write_mobile(graph, tmp_path / "mobile")
    as_float, as_int8, mobile = (load_file(tmp_path / form / "weights") for form in ("float", "int8", "mobile"))
    end = 2 ** (width - 1) - 1
    for name in graph.weight_scales:
        assert as_float[name].dtype == np.float32 and as_int8[name].dtype == mobile[name].dtype == np.int8
        times = 2 ** shared_zeros(as_int8[name])
        values = as_int8[name].astype(int) // times
        assert set(np.unique(values)) <= set(range(-end, end + 1)) and np.abs(values).max() == end
        assert end * times <= 127
        np.testing.assert_array_equal(as_float[name], as_int8[name])
        np.testing.assert_array_equal(mobile[name], as_int8[name])
    optimised = convert(load(tmp_path / "float")).content
    for content in (optimised, (tmp_path / "mobile" / "model").read_bytes()):
        assert sum(assert_kept(content, graph, as_int8)) == len(graph.weight_scales)
    again = load_any(tmp_path / "mobile")
    assert {name: scale.bits for name, scale in again.weight_scales.items()} == dict.fromkeys(
        again.weight_scales, width
    )


def test_activations_of_16_bits_are_the_same_in_training_in_every_folder_and_in_the_optimised_model(start, tmp_path):
    """Scales are max|x| / 32767 with zero point 0; the device computes what training saw, to a few of these steps."""
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.evaluate.fake_quant_model import fake_quant_model
    from qatflow.export.mobile import load_any, write_mobile
    from qatflow.graph.store import save
    from qatflow.quantisation.placement import QuantSettings, quantised_kernels, quantised_tensors
    from qatflow.tflite.lower import convert
    from qatflow.tflite.run import Model
    from qatflow.training.keras_model import training_model
    from qatflow.trial.float_ranges import float_ranges

    float_graph = network("small ResNet")
    quantisers = Quantisers(float_graph, QuantSettings(4, 16, "channel_wise_abs_max", "moving_average_abs_max"))
    model = training_model(float_graph, seed=0, step=0, hooks=quantisers)
    quantisers.phase.mode = "calibrate"
    model.keras(images(), training=False)
    quantisers.phase.mode = "quantise"
    logits = model.keras(images(), training=False).numpy()
    graph = quantisers.quantised_graph(model)[0]
    tensors = quantised_tensors(float_graph, quantised_kernels(float_graph))
    for name, (low, high) in float_ranges(float_graph, tensors, images()).items():
        known = graph.activation_scales[name]
        assert (known.bits, known.zero_point) == (16, 0)
        assert known.scale == pytest.approx(max(-low, high) / 32767, rel=1e-3)
    save(graph, tmp_path / "float", "float")
    save(graph, tmp_path / "int8", "integer")
    (tmp_path / "mobile").mkdir()
    write_mobile(graph, tmp_path / "mobile")
    stored = load_file(tmp_path / "int8" / "weights")
    for form in ("float", "int8", "mobile"):
        again = load_any(tmp_path / form)
        assert again.activation_scales == graph.activation_scales
        np.testing.assert_allclose(fake_quant_model(again).keras(images(), training=False), logits, atol=0.02)
        for content in (convert(again).content, (tmp_path / "mobile" / "model").read_bytes()):
            assert assert_kept(content, graph, stored, schema.TensorType.INT16) == COUNTS["small ResNet"]
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    outputs = Model(content).outputs(images())
    assert np.abs(outputs - exponents / exponents.sum(axis=1, keepdims=True)).max() < 1e-3


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


def test_every_tensor_an_int8_kernel_touches_is_quantised_once(start):
    from qatflow.quantisation.placement import quantised_kernels, quantised_tensors

    graph = network("MobileNetV1")
    assert quantised_tensors(graph, quantised_kernels(graph)) == {
        "input_1", "conv1_relu", "global_average_pooling2d", "conv_preds",
        *(f"conv_{kind}_{n}_relu" for kind in ("dw", "pw") for n in range(1, 14)),
    }  # fmt: skip


def test_layers_named_by_skip_pattern_and_types_left_out_stay_in_float_on_the_device(start, digits, tmp_path):
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.graph.store import save
    from qatflow.optimize.optimize import optimize
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.tflite.run import Model
    from qatflow.training.keras_model import training_model

    graph = network("MobileNetV1")
    settings = QuantSettings(
        8, 8, "abs_max", "moving_average_abs_max", ("conv2d", "mul"), skip_pattern=("conv1", "conv_pw_13")
    )
    quantisers = Quantisers(graph, settings)
    model = training_model(graph, seed=0, step=0, hooks=quantisers)
    quantisers.phase.mode = "calibrate"
    model.keras(images(), training=False)
    quantisers.phase.mode = "quantise"
    logits = model.keras(images(), training=False).numpy()
    save(quantisers.quantised_graph(model)[0], tmp_path / "float", "float")
    manifest = digits.folder / "manifest.json"
    optimize(tmp_path / "float" / "model", tmp_path / "float" / "weights", manifest, tmp_path / "opt")
    in_float = {
        kernel.name.decode().split("/")[0]
        for _, _, kernel, _ in weighted_operators(parsed((tmp_path / "opt" / "model.tflite").read_bytes()))
        if kernel.type == schema.TensorType.FLOAT32
    }
    expected = {"conv1", "conv_pw_13", *(f"conv_dw_{n}" for n in range(1, 14))}
    assert in_float == expected
    about = json.loads((tmp_path / "opt" / "optimization.json").read_text())
    assert set(about["left_in_float"]) == expected
    outputs = Model(tmp_path / "opt" / "model.tflite").outputs(images())
    assert (outputs.argmax(axis=1) == logits.argmax(axis=1)).mean() >= 0.9


def test_an_unknown_node_to_save_lists_the_nearest(trained, tmp_path: Path):
    from qatflow.base.errors import UserError
    from qatflow.config.recipe.recipe import QuantizationStrategySection
    from qatflow.export.export import export

    strategy = QuantizationStrategySection.model_validate(
        {"class": "QuantizationStrategy", "float_model_save_path": "out", "save_out_nodes": ["imagf"]}
    )
    with pytest.raises(UserError, match="no node 'imagf'; the nearest names are image"):
        export(trained[0] / "trained", strategy, tmp_path)
    assert not (tmp_path / "out").exists()
