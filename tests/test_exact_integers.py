"""From the trained model to the optimised one: the same integers and scales in every form and for each setting."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from safetensors.numpy import load_file

from small_data import prepared_digits

pytestmark = pytest.mark.tensorflow

SETTINGS = [
    (weights, activations)
    for weights in ("abs_max", "channel_wise_abs_max")
    for activations in ("moving_average_abs_max", "range_abs_max")
]


@pytest.fixture(scope="module")
def start():
    from qatflow.tensorflow_runtime import start

    start(seed=0, threads=2)


@pytest.fixture(scope="module")
def float_graph(start):
    """MobileNetV1 with batch-norm statistics that are not trivial, negative gammas among them."""
    from qatflow.models.mobilenet_v1 import mobilenet_v1

    graph = mobilenet_v1((32, 32, 1), 10, 0.25, dropout=0.001, momentum=0.9)
    random = np.random.default_rng(0)
    values = {
        "gamma": lambda shape: random.normal(1, 0.6, shape),
        "beta": lambda shape: random.normal(1, 0.5, shape),
        "moving_mean": lambda shape: random.normal(0, 0.2, shape),
        "moving_variance": lambda shape: random.uniform(0.05, 0.3, shape),
    }
    weights = {
        name: values[role](old.shape).astype(np.float32) if (role := name.rsplit("/", 1)[1]) in values else old
        for name, old in graph.weights.items()
    }
    assert any((array < 0).any() for name, array in weights.items() if name.endswith("gamma"))
    return replace(graph, weights=weights)


def images(count: int = 16) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 0.5, (count, 32, 32, 1)).astype(np.float32)


@pytest.fixture(scope="module", params=SETTINGS, ids="-".join)
def trained(request, float_graph, tmp_path_factory):
    """A model calibrated and quantised, its graph stored and exported; the training model's own view beside it."""
    from qatflow.compress.quantize_model import Quantisers, QuantSettings
    from qatflow.config.compress_model import QuantizationStrategySection
    from qatflow.export.export import export
    from qatflow.graph.store import save
    from qatflow.training.keras_model import training_model

    quantisers = Quantisers(float_graph, QuantSettings(8, 8, *request.param))
    model = training_model(float_graph, seed=0, step=0, hooks=quantisers)
    quantisers.phase.mode = "calibrate"
    model.keras(images(), training=False)
    quantisers.phase.mode = "quantise"
    logits = model.keras(images(), training=False).numpy()
    folder = tmp_path_factory.mktemp("experiment")
    save(quantisers.quantised_graph(model), folder / "trained")
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
    folder, _, kernels, (weight_type, _) = trained
    as_float, as_int8 = (load_file(folder / "output" / kind / "weights") for kind in ("float", "int8"))
    assert set(as_float) == set(as_int8)
    for name, kernel in kernels.items():
        assert as_float[name].dtype == np.float32 and as_int8[name].dtype == np.int8
        np.testing.assert_array_equal(as_float[name], as_int8[name])
        # by the definition, from the float kernel that training holds
        depthwise = name.endswith("depthwise_kernel")
        flat = kernel.reshape(-1, kernel.shape[2] * kernel.shape[3] if depthwise else kernel.shape[-1])
        largest = np.abs(flat).max(axis=0) if weight_type == "channel_wise_abs_max" else np.abs(flat).max()
        scale = np.atleast_1d(largest / np.float32(127))
        np.testing.assert_allclose(as_int8[f"{name}.scale"], scale, rtol=1e-6)
        exact = flat.astype(np.float64) / scale
        difference = np.abs(as_int8[name].reshape(flat.shape) - exact)
        assert difference.max() <= 0.5 + 1e-3, name


def test_int8_is_a_fraction_of_float(trained):
    folder = trained[0] / "output"
    kernels = [v for n, v in load_file(folder / "int8" / "weights").items() if n.endswith("kernel")]
    saved = (folder / "float" / "weights").stat().st_size - (folder / "int8" / "weights").stat().st_size
    assert abs(saved - 3 * sum(kernel.size for kernel in kernels)) < 1000, (
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


def test_the_exported_graph_computes_what_training_saw(trained):
    from qatflow.compress.fake_quant_model import fake_quant_model
    from qatflow.export.mobile import load_any

    folder, logits, _, _ = trained
    found = fake_quant_model(load_any(folder / "output" / "float")).keras(images(), training=False).numpy()
    step = load_any(folder / "output" / "float").activation_scales["conv_preds"].scale
    # float32 sums in another order may fall on the other side of a tie
    assert (np.abs(found - logits) < step / 2).mean() > 0.98
    assert np.abs(found - logits).max() < 3 * step


def test_the_optimised_model_has_the_trained_integers_and_computes_alike(trained, digits):
    from qatflow.optimize.optimize import optimize
    from qatflow.tflite.run import Model

    folder, logits, _, _ = trained
    exported = folder / "output" / "float"
    optimize(exported / "model", exported / "weights", digits.folder / "manifest.json", folder / "opt")
    stored = load_file(folder / "output" / "int8" / "weights")
    model = schema.ModelT.InitFromPackedBuf((folder / "opt" / "model.tflite").read_bytes(), 0)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    tensors, seen = model.subgraphs[0].tensors, 0
    for operator in model.subgraphs[0].operators:
        kind = names[model.operatorCodes[operator.opcodeIndex].builtinCode]
        if kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            continue
        seen += 1
        source, kernel, result = (tensors[i] for i in (operator.inputs[0], operator.inputs[1], operator.outputs[0]))
        assert {t.type for t in (source, kernel, result)} == {schema.TensorType.INT8}
        name = kernel.name.decode()
        integers = np.asarray(model.buffers[kernel.buffer].data).view(np.int8).reshape(kernel.shape)
        norm = name.split("/")[0] + "_bn"
        gamma = stored.get(f"{norm}/gamma", np.ones(1, np.float32))
        factor = gamma / np.sqrt(stored[f"{norm}/moving_variance"] + 1e-3) if f"{norm}/gamma" in stored else gamma
        if kind == "DEPTHWISE_CONV_2D":
            expected = stored[name][None, :, :, :, 0] * np.sign(gamma)
        else:
            expected = np.moveaxis(stored[name] * np.sign(gamma), 3, 0)
        np.testing.assert_array_equal(integers, expected, err_msg=name)
        channels = np.broadcast_to(stored[f"{name}.scale"] * np.abs(factor), len(kernel.quantization.scale))
        np.testing.assert_allclose(kernel.quantization.scale, channels, rtol=1e-6)
    assert seen == 28
    found = Model(folder / "opt" / "model.tflite").outputs(images())
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = exponents / exponents.sum(axis=1, keepdims=True)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.9
    assert np.abs(found - expected).max() < 0.05
    about = json.loads((folder / "opt" / "optimization.json").read_text())
    assert about["operators_after"]["CONV_2D"] == 15 and about["operators_after"]["DEPTHWISE_CONV_2D"] == 13
    assert about["changed_channels"] == {}
    assert len(about["fused"]["fold_batch_norm"]) == 27


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


def test_every_tensor_an_int8_kernel_touches_is_quantised_once(float_graph):
    from qatflow.compress.placement import quantised_tensors

    found = quantised_tensors(float_graph)
    assert found == {
        "input_1", "conv1_relu", "global_average_pooling2d", "conv_preds",
        *(f"conv_{kind}_{n}_relu" for kind in ("dw", "pw") for n in range(1, 14)),
    }  # fmt: skip


def test_an_unknown_node_to_save_lists_the_nearest(trained, tmp_path: Path):
    from qatflow.config.compress_model import QuantizationStrategySection
    from qatflow.errors import UserError
    from qatflow.export.export import export

    strategy = QuantizationStrategySection.model_validate(
        {"class": "QuantizationStrategy", "float_model_save_path": "out", "save_out_nodes": ["conv_pw_13_rely"]}
    )
    with pytest.raises(UserError, match="conv_pw_13_relu"):
        export(trained[0] / "trained", strategy, tmp_path)
    assert not (tmp_path / "out").exists()
