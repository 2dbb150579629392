"""Genuine ImageNet weights, and an official quantised model, the whole way: on real pictures, at 224 × 224."""

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.device_fixtures import arm_bundle, arm_runtime, require  # noqa: F401
from helpers.imagenet_data import MARKS, OFFICIAL, WEIGHTS, prepared
from qatflow.base.errors import UserError
from qatflow.base.metrics import accuracy
from qatflow.config.sections.compress import CompressSection
from qatflow.config.sections.model import ModelSection
from qatflow.config.sections.pretrained import FloatTrainingSection
from qatflow.data.manifest import read_manifest
from qatflow.data.reader import calibration, tensors
from qatflow.device.interface import DeviceSettings
from qatflow.device.run.run import RunSettings, run_demo
from qatflow.tflite.run import Model

pytestmark = MARKS
MODEL = ModelSection(alpha=0.75)
ON_DEVICE = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("data") / "imagenet")


@pytest.fixture(scope="module")
def start():
    from qatflow.training.runtime import start

    start(seed=0, threads=2)


@pytest.fixture(scope="module")
def genuine(start):
    """MobileNetV1 0.75 of Keras, loaded by Keras."""
    from tf_keras import applications

    return applications.MobileNet((224, 224, 3), alpha=0.75, weights=str(WEIGHTS))


@pytest.fixture(scope="module")
def pretrained(data, start, tmp_path_factory):
    """The weights as the pretrained stage writes them, held to the top-1 that the README beside them gives."""
    from qatflow.pretrained.prepare import WeightsSource, prepare

    folder = tmp_path_factory.mktemp("pretrained")
    source = WeightsSource(WEIGHTS, False, False, expected_top1=80.6, tolerance=0.0)
    prepare(source, MODEL, FloatTrainingSection(), data, folder / "out", folder / "work", seed=1, threads=2)
    return folder / "out"


def on_the_emulator(model: Path, data: Path, bundle: Path, output: Path, tolerance: float) -> tuple[str, dict]:
    """What the demo printed, and the report of the model: host and device agreed, or the run had failed."""
    require("qemu-aarch64-static")
    device = DeviceSettings("emulator", "emulator", None, "cortex-a76")
    settings = RunSettings(
        device, pictures=ON_DEVICE, tolerance=tolerance, threads=(1,), warmup=0, repeats=1, count_instructions=False
    )
    text = run_demo(settings, model, None, bundle, data, output)
    return text, json.loads((output / "report.json").read_text())["models"]["int8"]


def test_the_weights_reproduce_the_top1_that_keras_measures(genuine, pretrained, data):
    pictures, labels = tensors(read_manifest(data), "validation")
    logits = np.concatenate([genuine(pictures[i : i + 50], training=False) for i in range(0, len(pictures), 50)])
    about = json.loads((pretrained / "manifest.json").read_text())
    assert abs(about["validation"]["top1"] - accuracy(logits, labels).top1) <= 0.005
    assert about["before_training"]["top1"] > 77


def test_a_wrong_normalisation_is_found_by_the_published_figure(data, start, tmp_path):
    from qatflow.pretrained.prepare import WeightsSource, prepare

    other = prepared(tmp_path / "other", mean=0.0, std=1.0, validation=50)
    source = WeightsSource(WEIGHTS, False, False, expected_top1=80.6, tolerance=3.0)
    with pytest.raises(UserError, match=r"80\.6 % is published .*: on 50 of them −1…1 \(data\.preproc"):
        prepare(source, MODEL, FloatTrainingSection(), other, tmp_path / "out", tmp_path / "work", 1, 2)
    assert not (tmp_path / "out").exists()


def test_quantised_after_training_it_loses_little(pretrained, data):
    """Per channel; 79.1 of 80.6 on the whole set of 1,000 pictures."""
    from qatflow.graph.store import load
    from qatflow.ptq.quantise import quantise
    from qatflow.tflite.lower import convert

    manifest = read_manifest(data)
    pictures, labels = tensors(manifest, "validation", 250)
    floats = convert(load(pretrained)).content
    found = [
        accuracy(Model(c, threads=2).outputs(pictures), labels).top1
        for c in (floats, quantise(floats, calibration(manifest)))
    ]
    assert found[1] > found[0] - 0.045


def test_trained_for_int8_it_runs_on_the_emulator(pretrained, data, arm_bundle, tmp_path):  # noqa: F811
    """One epoch of 200 pictures with one scale a tensor: a converter's own quantisation of that kind gives 0.8 %."""
    from qatflow.compress.run import compress
    from qatflow.config.read_recipe import load_compress
    from qatflow.export.export import export
    from qatflow.graph.store import load
    from qatflow.optimize.optimize import optimize
    from qatflow.tflite.lower import convert

    yaml = tmp_path / "compress.yaml"
    yaml.write_text(
        "strategies: {q: {class: QuantizationStrategy, float_model_save_path: ./float}}\n"
        "compressor: {epoch: 1, eval_epoch: 0, strategies: [q]}\n"
    )
    recipe = load_compress(yaml)
    section = CompressSection(batch_size=25, freeze_batch_norm=True, augmentation="none")
    compress(pretrained, data, recipe, section, tmp_path, tmp_path / "trained", seed=1, threads=2)
    export(tmp_path / "trained", recipe.strategies["q"], tmp_path)
    converted = optimize(tmp_path / "float" / "model", tmp_path / "float" / "weights", data, tmp_path / "opt")
    pictures, labels = tensors(read_manifest(data), "validation", 250)
    models = converted.content, convert(load(pretrained)).content
    found, reference = (accuracy(Model(content, threads=2).outputs(pictures), labels).top1 for content in models)
    assert found > reference - 0.04
    text, report = on_the_emulator(tmp_path / "opt", data, arm_bundle, tmp_path / "device", 0.0)
    print(text)
    assert text.startswith("Output dim: 1000\nOutput[0]: ")
    assert report["agreement"]["integer_part"]["bit_equal"]
    assert report["accuracy"]["device_top1"] == report["accuracy"]["host_top1"]


def test_the_official_quantised_model_is_a_ready_one_and_runs_on_the_emulator(data, arm_bundle, tmp_path):  # noqa: F811
    """uint8, asymmetric, 1001 classes of which the first is the background; 84.3 % on the whole set of 1,000."""
    from qatflow.optimize.ready import adopt

    adopt(OFFICIAL, data, tmp_path / "ready", drop_background=True)
    pictures, labels = tensors(read_manifest(data), "validation", 250)
    model = Model(tmp_path / "ready" / "model.tflite", threads=2)
    assert model.input.dtype == np.uint8
    found = accuracy(model.probabilities(pictures, 1000), labels)
    assert abs(found.top1 - 0.843) < 0.06  # twice the standard error on 250
    # LiteRT's uint8 kernels round differently on ARM and x86: over the layers up to 9 of 256 steps were seen
    text, report = on_the_emulator(tmp_path / "ready", data, arm_bundle, tmp_path / "device", 16.0)
    print(text)
    assert text.startswith("Output dim: 1000\n")
    assert report["accuracy"]["device_top1"] == report["accuracy"]["host_top1"]
