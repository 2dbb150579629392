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

from qatflow.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.store import write

PROGRAM = "qatflow.trial"
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
        settings: how it is to be quantised, as `compress.settings.QuantSettings` has it: at 8 bits, by types that
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
        # without the folder it is started in on the module path, where a file of the user's could be called as ours
        program = [sys.executable, "-P", "-X", "utf8", "-m", PROGRAM]
        tried = subprocess.run(
            program, input=json.dumps(asked), capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    if tried.returncode == 0:
        print("tried before training: the int8 model of this network loads and runs", flush=True)
        return
    problem = tried.stdout.strip()
    if tried.returncode != 1 or not problem:
        last = " ".join(tried.stderr.strip().splitlines()[-LAST_LINES:])
        problem = f"the trial broke (status {tried.returncode}): {last}"
    raise UserError(f"before training, the way to the device was tried, and it ends: {problem}")
