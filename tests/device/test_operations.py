"""Operations beyond MobileNet's on the emulator and by the reference kernels: concatenation, products, and others."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from helpers.device_fixtures import arm_bundle, arm_runtime, require  # noqa: F401
from helpers.elementwise import classifier
from helpers.onnx_models import shufflenet
from helpers.small_data import prepared_digits
from helpers.small_networks import network
from qatflow.data.reader import calibration, tensors
from qatflow.device.interface import DeviceSettings
from qatflow.device.run.run import RunSettings, run_demo
from qatflow.graph.graph import Graph
from qatflow.graph.shifted import without_shared_zeros
from qatflow.models.onnx.translate import float_onnx
from qatflow.optimize.folder import write_folder
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model

WIDTHS: dict[str, int] = {
    "block_[12]_": 2, "block_[34]_": 3, "block_[56]_": 4, "block_[78]_": 5, "block_(9|10)_": 6, "block_1[1-6]_": 7,
}  # fmt: skip
"""Of MobileNetV2's convolutions, of both kinds; the others have 8 bits."""
MODELS = ("trained", "quantised after training", "attention", "geometry", "elementwise", "shuffled", "few bits")

pytestmark = [pytest.mark.device, pytest.mark.tensorflow]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


@pytest.fixture(scope="module")
def models(digits, tmp_path_factory) -> dict[str, bytes]:
    """The network with branches, by our training (calibrated alone) and quantised after training; and the one with sums
    and products of other shapes and ranks."""
    from qatflow.training.runtime import start

    start(seed=0, threads=2)
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.ptq.quantise import quantise
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.tflite.lower import convert
    from qatflow.training.keras_model import training_model

    pictures = calibration(digits)

    def trained(graph: Graph, widths: int | dict[str, int] = 8) -> bytes:
        quantisers = Quantisers(graph, QuantSettings(widths, 8, "channel_wise_abs_max", "moving_average_abs_max"))
        model = training_model(graph, seed=0, step=0, hooks=quantisers)
        quantisers.phase.mode = "calibrate"
        model.keras(pictures, training=False)
        return convert(quantisers.quantised_graph(model)[0]).content

    graph = network("inception")
    return {
        "trained": trained(graph),
        "quantised after training": quantise(convert(graph).content, pictures),
        "attention": trained(network("attention")),
        "geometry": trained(network("geometry")),
        "elementwise": trained(classifier((32, 32, 1))),
        "few bits": trained(network("MobileNetV2"), WIDTHS),
        "shuffled": trained(shuffled(tmp_path_factory.mktemp("onnx"))),
    }


def shuffled(folder: Path) -> Graph:
    """The graph of an ONNX model with shuffled and split channels, and a maximum padded with the lowest values."""
    model = shufflenet(17, channels=1, size=32, classes=10)
    onnx.save(model.model(model.result), folder / "net.onnx")
    return float_onnx(folder / "net.onnx").graph


def test_of_a_concatenation_only_what_others_read_too_is_requantised(models):
    found = operators(models["trained"])
    first, second = (operator for operator in found if operator.name == "CONCATENATION")
    for operator in (first, second):
        output = operator.outputs[0]
        for source in operator.inputs:
            assert (source.dtype, source.scale, source.zero_point) == ("INT8", output.scale, output.zero_point)
    made = {operator.outputs[0].name: operator.name for operator in found}
    assert [made[source.name] for source in first.inputs] == ["CONV_2D", "CONV_2D", *["QUANTIZE"] * 4]
    assert [made[source.name] for source in second.inputs] == ["QUANTIZE", "MEAN"]


def test_of_few_bits_every_width_is_in_the_file(models):
    """Largest integers of each width from 2 to 8: the scale is that of the largest weight."""
    kernels = [operator.kernel for operator in operators(models["few bits"]) if operator.kernel is not None]
    assert {kernel.dtype for kernel in kernels} == {"INT8"} and len(kernels) == 53
    least = [without_shared_zeros(kernel.data.astype(int))[0] for kernel in kernels]
    assert {int(np.abs(integers).max()) for integers in least} == {1, 3, 7, 15, 31, 63, 127}


@pytest.mark.parametrize("name", MODELS)
def test_reference_kernels_agree_but_for_rounding(models, digits, name):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    pictures, _ = tensors(digits, "test", 10)
    reference = Interpreter(
        model_content=models[name], experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    reference.allocate_tensors()
    source, result = reference.get_input_details()[0]["index"], reference.get_output_details()[0]["index"]
    expected = []
    for picture in pictures:
        reference.set_tensor(source, picture[None])
        reference.invoke()
        expected.append(reference.get_tensor(result)[0].copy())
    assert np.abs(Model(models[name]).outputs(pictures) - np.stack(expected)).max() < 0.02


@pytest.mark.parametrize(("name", "cpu"), [*((name, "cortex-a76") for name in MODELS), ("few bits", "cortex-a53")])
def test_the_emulator_gives_equal_integers(models, digits, name, cpu, arm_bundle, tmp_path: Path):  # noqa: F811
    require("qemu-aarch64-static")
    write_folder(tmp_path / "model", models[name], digits, {})
    settings = RunSettings(DeviceSettings("emulator", "emulator", None, cpu), 10, 0.0, (1,), 0, 1)
    run_demo(settings, tmp_path / "model", None, arm_bundle, digits.folder / "manifest.json", tmp_path / "out")
    agreement = json.loads((tmp_path / "out" / "report.json").read_text())["models"]["int8"]["agreement"]
    assert agreement["bit_equal"] or agreement["integer_part"]["bit_equal"]
