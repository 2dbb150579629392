"""Do host and device agree, and if not, which layer differs first?"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qatflow.base.errors import UserError
from qatflow.device.results.report import Agreement
from qatflow.device.results.words import amount
from qatflow.device.run.cut import cut_at, cut_points
from qatflow.device.run.demo import Demo
from qatflow.device.run.tolerance import Tolerance, steps
from qatflow.tflite.run import Model


class DisagreementError(UserError):
    """Host and device disagree.

    Attributes:
        picture: index of the first picture on which they disagree.
    """

    def __init__(self, message: str, picture: int) -> None:
        """Store the picture's index with the message."""
        super().__init__(message)
        self.picture = picture


def compare(
    host: np.ndarray,
    device: np.ndarray,
    tolerance: float,
    classes: Sequence[str] = (),
    what: str = "output",
    unit: str = "(absolute)",
) -> Agreement:
    """Compare the outputs of host and device for the same pictures.

    Args:
        host: [n, classes], float32, int8 or uint8.
        device: the same shape and type.
        tolerance: greatest absolute difference allowed, in the outputs' units; 0 requires equal bits.
        classes: names of the classes, for the message.
        what: name of what is compared, for the message.
        unit: unit of a difference, in words that follow a number.

    Returns:
        How well they agree.

    Raises:
        DisagreementError: they do not; it names the first picture, its class and both values. NaN agrees only with the
            same NaN.
        UserError: the device's outputs have another shape or type than the host's.
    """
    if host.shape != device.shape or host.dtype != device.dtype:
        raise UserError(
            f"the device returned {device.dtype} {device.shape} for the {what}, the host {host.dtype} {host.shape}: "
            "is it the same model?"
        )
    same = bits(host) == bits(device)
    difference = np.abs(host.astype(np.float64) - device.astype(np.float64))
    agree = same | (difference <= tolerance) if tolerance > 0 else same
    if not agree.all():
        picture, index = map(int, np.argwhere(~agree)[0])
        name = f" ({classes[index]})" if index < len(classes) else ""
        numbers = difference[~np.isnan(difference)]
        most = f" by up to {amount(numbers.max(), unit)}" if numbers.size else ""
        wanted = f"a difference of at most {amount(tolerance, unit)}" if tolerance > 0 else "equal bits"
        raise DisagreementError(
            f"host and device disagree on the {what} of picture {picture}, class {index}{name}: "
            f"host {host[picture, index]:.9g}, device {device[picture, index]:.9g}; required: {wanted}; "
            f"{(~agree).any(axis=1).sum()} of {len(host)} pictures differ{most}",
            picture,
        )
    return Agreement(len(host), bool(same.all()), float(difference[~same].max(initial=0.0)), unit, tolerance, "")


def bits(values: np.ndarray) -> np.ndarray:
    """Return the bits of each value, as an unsigned integer of the same size."""
    return np.ascontiguousarray(values).view(np.dtype(f"u{values.dtype.itemsize}"))


def first_difference(demo: Demo, model: Path, picture: np.ndarray, threads: int, tolerance: Tolerance) -> str:
    """Cut the model after each operator in turn, run it on host and device, and return where they first differ.

    Args:
        demo: the program on the device.
        model: .tflite file of the whole model.
        picture: [1, …], of the model's input type.
        threads: number of threads of the runtime on the device.
        tolerance: that of the output. Integer tensors may differ by that many steps, float tensors by that fraction
            of their greatest magnitude, or of 1 if that is less; with 0, any different bits count.

    Returns:
        One clause that names tensor, operator, and both values of the element that differs most.

    Raises:
        UserError: the device failed.
    """
    content = model.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.tflite"
        for point in cut_points(content):
            file.write_bytes(cut_at(content, point.tensor))
            host = Model(file)
            demo.push_model({"model.tflite": file}, "cut")
            here, there = host.outputs(picture)[0], demo.outputs("cut", picture, host.output, threads)[0]
            distance = np.abs(here.astype(np.float64) - there.astype(np.float64))
            whole = np.issubdtype(here.dtype, np.integer)
            largest = max(1.0, np.nanmax(np.abs(here.astype(np.float64)), initial=0.0))
            allowed = tolerance.steps if whole else tolerance.share * largest
            different = bits(here) != bits(there)
            if tolerance.value:
                different &= ~(distance <= allowed)
            if different.any():
                most = int(np.argmax(np.where(different, np.nan_to_num(distance, nan=np.inf), -1)))
                return (
                    f"they first differ at tensor {point.name} ({point.operator}, operator {point.number} of "
                    f"{point.operators}), where {int(different.sum())} of {len(here)} values differ, most of all "
                    f"element {most}: host {here[most]:.9g}, device {there[most]:.9g}"
                    + (f", {amount(distance[most], steps(host.output.scale))} apart" if whole else "")
                )
    return "they agree when the model is cut after each operator, so it is not the kernel of a single layer"
