"""The first layer at which host and device do not compute the same."""

import tempfile
from pathlib import Path

import numpy as np

from qatflow.device.run.cut import cut_at, places
from qatflow.device.run.demo import Demo
from qatflow.device.run.parity import bits
from qatflow.device.run.tolerance import Tolerance, amount, steps
from qatflow.tflite.run import Model


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
        for place in places(content):
            file.write_bytes(cut_at(content, place.tensor))
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
                    f"they first part at tensor {place.name} ({place.operator}, operator {place.number} of "
                    f"{place.operators}), where {int(different.sum())} of {len(here)} values differ, most of all "
                    f"element {most}: host {here[most]:.9g}, device {there[most]:.9g}"
                    + (f", {amount(distance[most], steps(host.output.scale))} apart" if whole else "")
                )
    return "cut behind each operator in turn they agree, so it is not one layer's kernel alone"
