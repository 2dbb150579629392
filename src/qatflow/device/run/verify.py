"""Is a model right on the device? Its outputs and accuracy are compared with the host's, on the same tensors."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from qatflow.base.errors import UserError
from qatflow.base.metrics import accuracy
from qatflow.device.results.report import Agreement, DeviceAccuracy, IntegerPart
from qatflow.device.run.cut import expose_integers
from qatflow.device.run.demo import Demo
from qatflow.device.run.inputs import FLOAT, SPLIT, ModelFolder, Pictures
from qatflow.device.run.parity import DisagreementError, compare, first_difference
from qatflow.device.run.tolerance import Tolerance, steps
from qatflow.tflite.run import Model

# The last bits of a float softmax or sigmoid differ between ARM and x86 kernels (measured: up to 1.2e-7 of a
# probability).
FLOAT_TAIL_TOLERANCE = 1e-6


def verify(
    demo: Demo, model: ModelFolder, pictures: Pictures, tolerance: Tolerance, threads: int
) -> tuple[Agreement, DeviceAccuracy]:
    """Run the pictures through a model that is on the device already, and compare the outputs.

    Args:
        demo: the program on the device.
        model: the model.
        pictures: the pictures to run.
        tolerance: greatest difference of an output from the host's. With 0, everything computed in integers must have
            equal bits, and a float softmax or sigmoid after it must be within `FLOAT_TAIL_TOLERANCE`.
        threads: number of threads of the runtime.

    Raises:
        UserError: the device failed, or they disagree: then it names the picture, the class, both values, and the first
            layer that differs.
    """
    file = model.files["model.tflite"]
    host = model.host.outputs(pictures.inputs)
    outputs = demo.outputs(model.name, pictures.inputs, model.host.output, threads)
    try:
        part = _integer_part(demo, model, pictures, threads) if tolerance.value == 0 else None
        allowed = tolerance.value if part is None else FLOAT_TAIL_TOLERANCE
        same = compare(host, outputs, allowed, pictures.classes, unit=tolerance.unit)
        tail = f", and {allowed:g} for the float operators after the integers" if part is not None else ""
        agreement = replace(same, integer_part=part, reason=tolerance.reason + tail)
    except DisagreementError as error:
        raise _with_layer(error, demo, file, pictures, threads, tolerance) from error
    return agreement, _accuracy(host, outputs, pictures, of_float=model.name == FLOAT)


def _integer_part(demo: Demo, model: ModelFolder, pictures: Pictures, threads: int) -> IntegerPart | None:
    """Compare the part before the float operators at the end bit for bit; None if there are no such operators."""
    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder) / "model.tflite"
        tensor = expose_integers(model.files["model.tflite"], cut)
        if tensor is None:
            return None
        folder_there = f"{model.name}_integers"
        demo.push_model({"model.tflite": cut}, folder_there)
        host = Model(cut)
    outputs = demo.outputs(folder_there, pictures.inputs, host.output, threads)
    what, unit = f"integer tensor {tensor}", steps(host.output.scale)
    compare(host.outputs(pictures.inputs), outputs, 0, pictures.classes, what, unit)
    return IntegerPart(tensor, bit_equal=True)


def _accuracy(host: np.ndarray, device: np.ndarray, pictures: Pictures, *, of_float: bool) -> DeviceAccuracy:
    here, there = accuracy(host, pictures.labels), accuracy(device, pictures.labels)
    if pictures.measure.is_accuracy:
        return DeviceAccuracy(SPLIT, there.pictures, there.top1, there.top5, here.top1, here.top5)
    none = DeviceAccuracy(SPLIT, there.pictures, None, None, None, None)
    if of_float:  # its own answers are the labels
        return none
    return replace(none, device_float_agreement=there.top1, host_float_agreement=here.top1)


def _with_layer(
    error: DisagreementError, demo: Demo, model: Path, pictures: Pictures, threads: int, tolerance: Tolerance
) -> UserError:
    """Return the error with the model's file, and the first layer whose values differ for the picture."""
    try:
        picture = pictures.inputs[error.picture : error.picture + 1]
        where = first_difference(demo, model, picture, threads, tolerance)
    except UserError as other:
        where = f"the first layer that differs could not be determined: {other}"
    return UserError(
        f"{model}: {error}; {where}. If the device's kernels are known to round differently, set device.tolerance"
    )
