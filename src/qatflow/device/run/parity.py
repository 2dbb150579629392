"""Do host and device agree, and if not, which layer is the first that differs?"""

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
        picture: position of the first picture on which they do.
    """

    def __init__(self, message: str, picture: int) -> None:
        """Keep the picture beside the message."""
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
        tolerance: greatest absolute difference allowed, in the outputs' units; 0 asks for equal bits.
        classes: names of the classes, for the message.
        what: what is compared, for the message.
        unit: of a difference, in words that follow a number.

    Returns:
        How well they agree.

    Raises:
        DisagreementError: they do not; it names the first picture, class and both values. NaN agrees with the same NaN
            only.
        UserError: the device did not return what the host's model returns.
    """
    if host.shape != device.shape or host.dtype != device.dtype:
        raise UserError(
            f"the device returned {device.dtype} {device.shape} for the {what}, the host {host.dtype} {host.shape}: "
            "is the same model there?"
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
            f"host {host[picture, index]:.9g}, device {device[picture, index]:.9g}; {wanted} was asked for, and "
            f"{(~agree).any(axis=1).sum()} of {len(host)} pictures differ{most}",
            picture,
        )
    return Agreement(len(host), bool(same.all()), float(difference[~same].max(initial=0.0)), unit, tolerance, "")


def bits(values: np.ndarray) -> np.ndarray:
    """Return the bits of each value, as an unsigned integer of its size."""
    return np.ascontiguousarray(values).view(np.dtype(f"u{values.dtype.itemsize}"))


def first_difference(demo: Demo, model: Path, picture: np.ndarray, threads: int, tolerance: Tolerance) -> str:
    """Cut the model behind each operator in turn, run it on host and device, and say where they first differ.

    Args:
        demo: the program on the device.
        model: .tflite file of the whole model.
        picture: [1, …], of the model's input type.
        threads: of the run-time on the device.
        tolerance: of the output. Of an integer tensor so many steps are no difference, of a float one the share of its
            greatest magnitude, or of 1 where that is less; 0: none, whatever bits differ.

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
                    f"they first part at tensor {point.name} ({point.operator}, operator {point.number} of "
                    f"{point.operators}), where {int(different.sum())} of {len(here)} values differ, most of all "
                    f"element {most}: host {here[most]:.9g}, device {there[most]:.9g}"
                    + (f", {amount(distance[most], steps(host.output.scale))} apart" if whole else "")
                )
    return "cut behind each operator in turn they agree, so it is not one layer's kernel alone"
