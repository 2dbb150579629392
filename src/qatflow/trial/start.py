"""The way of a graph to the device, tried before it is trained: what fails there would else fail after hours.

In a process of its own, `python -m qatflow.trial`: nothing of a training's state can change by it, a crash of LiteRT's
is a message, and the code of a training does not depend on that of later stages, whose changes would begin it anew.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.store import write

PROGRAM = "qatflow.trial"
FLOAT_PROGRAM = "qatflow.trial.float_model"
PICTURES, OUTPUTS = "pictures.npy", "outputs.npy"
"""Files beside the graph: what the float model is run on, and what it makes of that."""
LAST_LINES = 3  # of what a process that broke has printed


def try_lowering(
    graph: Graph,
    settings: Mapping[str, object],
    data: Path,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> None:
    """Make the int8 model that the graph would become, and run it on a picture.

    Args:
        graph: in float.
        settings: how it is to be quantised, as `quantise.placement.QuantSettings` has it: at 8 bits, by types that
            kernels have. What is left out is as a strategy has it that says nothing.
        data: manifest.json of the prepared pictures; scales are found on some of those for calibration.
        inputs: the YAML's save_in_nodes, where what is exported begins; None: as the graph.
        outputs: its save_out_nodes, where that ends.

    Raises:
        UserError: no int8 model can be made of it, or it cannot run; names the layer, and says what to do.
    """
    with tempfile.TemporaryDirectory() as folder:
        write(graph, Path(folder))
        asked = {
            "graph": folder, "settings": dict(settings), "data": str(data),
            "inputs": inputs, "outputs": outputs,
        }  # fmt: skip
        problem = _problem(PROGRAM, asked)
    if problem:
        raise UserError(f"before training, the way to the device was tried, and it ends: {problem}")
    print("tried before training: the int8 model of this network loads and runs", flush=True)


def float_model_outputs(graph: Graph, pictures: np.ndarray) -> np.ndarray:
    """Return what the float .tflite of a graph makes of pictures.

    Args:
        graph: in float.
        pictures: float32 [n, height, width, channels].

    Returns:
        float32 [n, classes], by LiteRT.

    Raises:
        UserError: no .tflite can be made of it, or it cannot run.
    """
    with tempfile.TemporaryDirectory() as folder:
        write(graph, Path(folder))
        np.save(Path(folder, PICTURES), pictures)
        if problem := _problem(FLOAT_PROGRAM, {"graph": folder}):
            raise UserError(problem)
        outputs: np.ndarray = np.load(Path(folder, OUTPUTS))
    return outputs


def _problem(program: str, asked: Mapping[str, object]) -> str:
    """Run a program with what it is asked as JSON on its standard input; return its problem, or nothing."""
    # without the folder it is started in on the module path, where a file of the user's could be called as ours
    command = [sys.executable, "-P", "-X", "utf8", "-m", program]
    ran = subprocess.run(
        command, input=json.dumps(asked), capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if ran.returncode == 0:
        return ""
    problem = ran.stdout.strip()
    if ran.returncode == 1 and problem:
        return problem
    last = " ".join(ran.stderr.strip().splitlines()[-LAST_LINES:])
    return f"the trial broke (status {ran.returncode}): {last}"
