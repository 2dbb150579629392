"""ResNet50 the whole way: Keras' network, two steps of training for int8, the three folders, the device's integers."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from helpers.device_fixtures import arm_bundle, arm_runtime, require  # noqa: F401
from helpers.small_data import prepared_digits
from helpers.trained_integers import assert_kept
from qatflow.base.picture_size import square
from qatflow.config.sections.compress import CompressSection
from qatflow.config.sections.model import ModelSection
from qatflow.config.sections.pretrained import FloatTrainingSection
from qatflow.data.manifest import Manifest
from qatflow.data.preprocess import Preprocessing
from qatflow.data.reader import tensors
from qatflow.device.interface import DeviceSettings
from qatflow.device.run.run import RunSettings, run_demo
from qatflow.graph.store import load
from qatflow.tflite.run import Model

pytestmark = [pytest.mark.device, pytest.mark.tensorflow]

SPEC = Preprocessing(square(32), "stretch", 3, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), order="bgr")
YAML = """\
strategies:
  q:
    class: QuantizationStrategy
    float_model_save_path: ./output/float
    int8_model_save_path: ./output/int8
    mobile_model_save_path: ./output/mobile
    weight_quantize_type: abs_max
compressor: {epoch: 1, eval_epoch: 0, strategies: [q]}
"""
ON_DEVICE = 4


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Manifest:
    """Two batches to train on, as the network takes its pictures: RGB in Caffe's order, not scaled."""
    folder = tmp_path_factory.mktemp("digits") / "data"
    return prepared_digits(folder, validation=40, test=1677, calibration=20, preprocessing=SPEC)


@pytest.fixture(scope="module")
def weights(digits, tmp_path_factory) -> Path:
    """Keras' file of random weights with batch-norm's statistics of the data, so that pictures come out different."""
    from tf_keras import applications, backend, utils

    backend.clear_session()
    utils.set_random_seed(3)
    model = applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=10)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.gamma.assign(random.normal(1, 0.5, layer.gamma.shape))
            layer.momentum = 0.0
    model(tensors(digits, "train")[0], training=True)
    path = tmp_path_factory.mktemp("keras") / "resnet50.h5"
    model.save_weights(path)
    return path


@pytest.fixture(scope="module")
def trained(digits, weights, tmp_path_factory) -> Path:
    """The experiment's folder: `pretrained/`, the training's state, `trained/`, `output/`, `opt/`."""
    from qatflow.compress.run import compress
    from qatflow.config.read_recipe import load_compress
    from qatflow.export.export import export
    from qatflow.optimize.optimize import optimize
    from qatflow.pretrained.prepare import WeightsSource, prepare

    folder, data = tmp_path_factory.mktemp("experiment"), digits.folder / "manifest.json"
    network, training = ModelSection(architecture="ResNet50"), FloatTrainingSection()
    prepare(WeightsSource(weights, False, False), network, training, data, folder / "pretrained", folder / "work", 1, 2)
    (folder / "compress.yaml").write_text(YAML)
    recipe = load_compress(folder / "compress.yaml")
    section = CompressSection(batch_size=40, augmentation="none")
    compress(folder / "pretrained", data, recipe, section, folder, folder / "trained", seed=1, threads=2)
    export(folder / "trained", recipe.quantization, folder)
    exported = folder / "output" / "float"
    optimize(exported / "model", exported / "weights", data, folder / "opt")
    return folder


def rounds_to(kernel: np.ndarray, integers: np.ndarray, scale: np.ndarray) -> bool:
    """abs_max by its definition."""
    step = np.abs(kernel).max() / np.float32(127)
    distance = np.abs(integers - kernel.astype(np.float64) / step)
    return bool(np.isclose(step, scale, rtol=1e-6, atol=0).all() and distance.max() <= 0.5 + 1e-3)


def test_the_folders_hold_the_integers_of_the_kernels_that_training_ended_with(trained):
    from qatflow.export.mobile import load_any

    first, *others = (load_any(trained / "output" / kind) for kind in ("float", "int8", "mobile"))
    for other in others:
        assert (other.nodes, other.activation_scales) == (first.nodes, first.activation_scales)
        for name, values in first.weights.items():
            np.testing.assert_array_equal(other.weights[name], values)
    (checkpoint,) = trained.rglob("checkpoint-00001-*.safetensors")
    held = list(load_file(checkpoint).values())
    before = load(trained / "pretrained").weights
    for name, scale in first.weight_scales.items():
        integers = first.weights[name]
        assert any(rounds_to(kernel, integers, scale.scale) for kernel in held if kernel.shape == integers.shape), name
        assert not rounds_to(before[name], integers, scale.scale), f"{name} was not trained"
    assert len(first.weight_scales) == 54


def test_the_optimised_model_has_the_trained_integers(trained):
    exported, stored = load(trained / "output" / "float"), load_file(trained / "output" / "int8" / "weights")
    assert assert_kept((trained / "opt" / "model.tflite").read_bytes(), exported, stored) == (53, 0, 1, 0)
    about = json.loads((trained / "opt" / "optimization.json").read_text())
    assert len(about["fused"]["fold_batch_norm"]) == 53
    assert about["left_in_float"] == [] and not {"BATCH_NORM", "RELU"} & set(about["operators_after"])


def test_it_computes_what_training_saw(trained, digits):
    from qatflow.evaluate.fake_quant_model import fake_quant_model

    pictures, _ = tensors(digits, "validation")
    expected = fake_quant_model(load(trained / "trained")).keras(pictures, training=False).numpy()
    found = np.log(Model(trained / "opt" / "model.tflite", threads=2).outputs(pictures))
    found, expected = (scores - scores.mean(axis=1, keepdims=True) for scores in (found, expected))
    # roundings that fall to the other side add up over 53 random layers, to 0.13; one wrong layer gives 0.6 and more
    assert np.std(found - expected) < 0.25 * np.std(expected)
    # logits of a random network saturate, so training may see several best classes: the one found is near the best
    short = expected.max(axis=1) - expected[np.arange(len(expected)), found.argmax(axis=1)]
    assert (short < 0.25 * np.std(expected)).mean() >= 0.9  # with another picture's outputs it is 0.7


def test_the_emulator_gives_the_integers_of_the_host(trained, digits, arm_bundle, tmp_path):  # noqa: F811
    require("qemu-aarch64-static")
    device = DeviceSettings("emulator", "emulator", None, "cortex-a76")
    settings = RunSettings(device, ON_DEVICE, 0.0, (1,), 0, 1, count_instructions=False)
    run_demo(settings, trained / "opt", None, arm_bundle, digits.folder / "manifest.json", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())["models"]["int8"]
    assert report["agreement"]["integer_part"]["bit_equal"]
    assert report["accuracy"]["device_top1"] == report["accuracy"]["host_top1"]
