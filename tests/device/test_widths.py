"""Every width of weights, and activations of 16 bits, on the host and in the emulator: equal bits on both CPUs."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers.device_fixtures import arm_bundle, arm_runtime, require  # noqa: F401
from helpers.small_data import prepared_digits
from helpers.small_networks import network
from qatflow.device.build.bundle import open_bundle
from qatflow.device.interface import DeviceSettings
from qatflow.device.run.demo import Demo
from qatflow.device.run.registry import open_device
from qatflow.device.run.run import RunSettings, run_demo
from qatflow.graph.bias_steps import with_least_integers
from qatflow.graph.cut import cut
from qatflow.graph.graph import Graph
from qatflow.optimize.folder import write_folder
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.tflite.int4 import with_int4_kernels
from qatflow.tflite.lower import convert
from qatflow.tflite.packing import PACKED, least_bits, pack, packed_width
from qatflow.tflite.read import WEIGHTED, operators
from qatflow.tflite.run import Model
from qatflow.trial.float_ranges import float_ranges

pytestmark = [pytest.mark.device, pytest.mark.tensorflow]

BEGINNINGS = {"MobileNetV1": ["conv_pw_6_relu"], "MobileNetV2": ["block_5_add"], "small ResNet": ["dense"]}
"""Of the networks, with each kind of layer; they end before the softmax, whose float values have other last bits."""
TYPES = ("abs_max", "channel_wise_abs_max")
WIDTHS = range(2, 9)
CPUS = ("cortex-a76", "cortex-a53")
MIXED = {"MobileNetV1": "conv_dw", "MobileNetV2": "block_[1-3]", "small ResNet": "conv2d_[24]|add|max"}
"""Layers with activations of 16 bits among others with 8."""


def pictures(count: int = 2) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 0.5, (count, 32, 32, 1)).astype(np.float32)


def as_int8(graph: Graph, settings: QuantSettings) -> Graph:
    ranges = float_ranges(graph, quantised_tensors(graph, quantised_kernels(graph)), pictures(4))
    return as_if_quantised(graph, settings, ranges)


def quantised(graph: Graph, settings: QuantSettings) -> bytes:
    return convert(as_int8(graph, settings)).content


@pytest.fixture(scope="module")
def models() -> dict[str, bytes]:
    """Each network with weights of all widths, one after another; with activations of 16 bits; and with both widths."""
    from qatflow.training.runtime import start

    start(seed=0, threads=2)
    found: dict[str, bytes] = {}
    for name, end in BEGINNINGS.items():
        graph = cut(network(name), None, end)
        kernels = [f"{node.kernel}$" for node in graph.nodes if node.kernel is not None]
        weights = dict(zip(kernels, itertools.cycle(WIDTHS), strict=False))
        for kind in TYPES:
            found[f"{name}, {kind}"] = quantised(graph, QuantSettings(weights, 8, kind, "moving_average_abs_max"))
        for what, bits in (("16 bits", 16), ("8 and 16 bits", {MIXED[name]: 16})):
            found[f"{name}, {what}"] = quantised(graph, QuantSettings(4, bits, TYPES[1], "range_abs_max"))
    return found


@pytest.fixture(scope="module", params=CPUS)
def demo(request, arm_bundle) -> Iterator[Demo]:  # noqa: F811
    require("qemu-aarch64-static")
    with open_device(DeviceSettings("emulator", "emulator", None, request.param)) as device:
        yield Demo(device, open_bundle(arm_bundle))


def test_the_models_have_the_widths(models):
    for name, content in models.items():
        found = [o for o in operators(content) if o.name in WEIGHTED]
        ends = {packed_width(o.kernel.data)[0] for o in found}
        types = [{o.source.dtype for o in found}, {o.outputs[0].dtype for o in found}]
        if "bits" not in name:
            assert ends == set(WIDTHS) and types == [{"INT8"}] * 2
        else:
            assert ends == {4, 8}, "the first layer has 8 bits"
            assert types == [{"INT8", "INT16"} if "8 and" in name else {"INT16"}] * 2


def test_host_and_emulator_have_equal_bits(models, demo, tmp_path):
    for number, (name, content) in enumerate(models.items()):
        file = tmp_path / "model.tflite"
        file.write_bytes(content)
        demo.push_model({"model.tflite": file}, f"model{number}")
        model = Model(content)
        here = model.outputs(pictures())
        np.testing.assert_array_equal(demo.outputs(f"model{number}", pictures(), model.output, 1), here, err_msg=name)
        assert len(np.unique(here)) > 15, f"{name} computes something"


def test_a_run_compares_the_int16_values_before_the_softmax(arm_bundle, tmp_path: Path):  # noqa: F811
    """Sums, products, a transposed convolution and other operations of 16 bits, by the whole run on a device."""
    require("qemu-aarch64-static")
    digits = prepared_digits(tmp_path / "data")
    graph = network("geometry")
    content = quantised(graph, QuantSettings(8, 16, "abs_max", "moving_average_abs_max"))
    write_folder(tmp_path / "model", content, digits, {})
    settings = RunSettings(DeviceSettings("emulator", "emulator", None, "cortex-a76"), 3, 0.0, (1,), 0, 1)
    run_demo(settings, tmp_path / "model", None, arm_bundle, digits.folder / "manifest.json", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["models"]["int8"]["agreement"]["integer_part"]["bit_equal"]
    (warning,) = (line for line in report["warnings"] if "int16" in line)
    assert warning.startswith("8 of 8 layers with weights compute in int16; LiteRT has no fast kernels for activations")


def test_a_run_with_int4_kernels_says_its_tolerance_and_what_they_cost(arm_bundle, tmp_path: Path):  # noqa: F811
    """Sent packed, too: the program expands INT4 tensors like any other bytes."""
    require("qemu-aarch64-static")
    digits = prepared_digits(tmp_path / "data")
    graph = as_int8(network("MobileNetV1"), QuantSettings(4, 8, TYPES[1], "moving_average_abs_max"))
    content = convert(with_least_integers(graph)).content
    kernels = [o.kernel.name for o in operators(content) if o.kernel is not None and least_bits(o.kernel.data) <= 4]
    stored, names = with_int4_kernels(content, kernels)
    assert names == kernels and len(stored) < len(content)
    write_folder(tmp_path / "model", stored, digits, {})
    packed = tmp_path / "model" / PACKED
    packed.write_bytes(pack(stored))
    settings = RunSettings(DeviceSettings("emulator", "emulator", None, "cortex-a76"), 3, None, (1,), 0, 1)
    manifest = digits.folder / "manifest.json"
    run_demo(settings, tmp_path / "model", None, arm_bundle, manifest, tmp_path / "out", packed)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    agreement = report["models"]["int8"]["agreement"]
    assert agreement["tolerance"] == 64 / 256 and "convolutions with INT4 kernels" in agreement["reason"]
    assert agreement["largest_difference"] < 16 / 256
    (warning,) = (line for line in report["warnings"] if "INT4" in line)
    assert warning.startswith(
        f"{len(kernels)} of {len(kernels) + 2} layers with weights have INT4 kernels; LiteRT unpacks"
    )
