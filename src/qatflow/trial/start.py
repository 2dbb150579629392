"""The path of a graph to the device, tried before training: what fails there would otherwise fail hours later.

Each trial is a process of its own (`python -m qatflow.trial.int8_model`). So it cannot change the state of a training,
a crash of LiteRT becomes a message, and the code of a training does not depend on later stages, where every change
would make the training start again.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from qatflow.base.errors import UserError
from qatflow.base.modules import run_module
from qatflow.graph.graph import Graph
from qatflow.graph.store import write

INT8_PROGRAM = "qatflow.trial.int8_model"
FLOAT_PROGRAM = "qatflow.trial.float_model"
PICTURES, OUTPUTS = "pictures.npy", "outputs.npy"
"""Files beside the graph: the inputs of the float model, and its outputs."""
LAST_LINES = 3  # of a crashed process's output


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
        settings: how to quantise it, fields of `quantise.placement.QuantSettings`, with widths and types that kernels
            support. Missing fields have the defaults of a strategy.
        data: manifest.json of the prepared pictures; some calibration pictures set the scales.
        inputs: the YAML's save_in_nodes, where the exported part begins; None: the graph's inputs.
        outputs: its save_out_nodes, where that part ends; None: the graph's outputs.

    Raises:
        UserError: no int8 model can be made, or it cannot run; names the layer, and says what to do.
    """
    with tempfile.TemporaryDirectory() as folder:
        write(graph, Path(folder))
        task = {
            "graph": folder, "settings": dict(settings), "data": str(data),
            "inputs": inputs, "outputs": outputs,
        }  # fmt: skip
        problem = _problem(INT8_PROGRAM, task)
    if problem:
        raise UserError(f"before training, the path to the device was tried, and it failed: {problem}")
    print("tried before training: the int8 model of this network loads and runs", flush=True)


def float_model_outputs(graph: Graph, pictures: np.ndarray) -> np.ndarray:
    """Return the outputs of a graph's float .tflite for pictures.

    Args:
        graph: in float.
        pictures: float32 [n, height, width, channels].

    Returns:
        float32 [n, classes], computed by LiteRT.

    Raises:
        UserError: no .tflite can be made, or it cannot run.
    """
    with tempfile.TemporaryDirectory() as folder:
        write(graph, Path(folder))
        np.save(Path(folder, PICTURES), pictures)
        if problem := _problem(FLOAT_PROGRAM, {"graph": folder}):
            raise UserError(problem)
        outputs: np.ndarray = np.load(Path(folder, OUTPUTS))
    return outputs


def _problem(program: str, task: Mapping[str, object]) -> str:
    """Run a program with its task as JSON on standard input; return its problem, or an empty text."""
    process = run_module(program, given=json.dumps(task))
    if process.returncode == 0:
        return ""
    problem = process.stdout.strip()
    if process.returncode == 1 and problem:
        return problem
    last = " ".join(process.stderr.strip().splitlines()[-LAST_LINES:])
    return f"the trial crashed (status {process.returncode}): {last}"
