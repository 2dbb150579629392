"""Program that runs the float .tflite of a graph on pictures.

The folder of graph and pictures comes as JSON on standard input; a problem is printed as one line.
"""

import json
import sys
from pathlib import Path

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.store import load
from qatflow.tflite.lower import convert
from qatflow.tflite.run import Model
from qatflow.trial.start import OUTPUTS, PICTURES


def main() -> int:
    """Return 0 if the model runs, else 1, with the problem on standard output."""
    folder = Path(json.load(sys.stdin)["graph"])
    try:
        model = Model(convert(load(folder)).content)
        np.save(folder / OUTPUTS, model.outputs(np.load(folder / PICTURES)))
    except UserError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
