"""`qatflow optimize`: a model file as the folder that goes to the device, as the rules optimize_* make it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.api.loading import load
from qatflow.base.errors import UserError
from qatflow.optimize.describe import optimised
from qatflow.optimize.optimize import optimize_graph


def main(argv: Sequence[str]) -> None:
    """Optimise a model and print what was done.

    Raises:
        UserError: it cannot be read, or cannot run on the device; see `load` and `optimize_graph`.
    """
    parser = argparse.ArgumentParser(
        prog="qatflow optimize",
        description="Fuses the layers of a model, writes a .tflite for LiteRT, and checks it: a float model stays in "
        "float, and a quantised one keeps its integers and scales.",
        epilog="Examples: qatflow optimize my.keras --output my_float; qatflow optimize results/base/output/int8 "
        "--output device --data data/goods/manifest.json",
    )
    parser.add_argument(
        "model", type=Path, help="a .keras, .h5 or .onnx file, a SavedModel, or a folder with `model` and `weights`"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder to make")
    parser.add_argument("--data", type=Path, metavar="FILE", help="manifest.json of the data: labels, preprocessing")
    parser.add_argument("--int4-storage", action="store_true", help="store kernels of up to 4 bits as INT4")
    arguments = parser.parse_args(argv)
    if arguments.output.exists():
        raise UserError(f"optimize: {arguments.output} exists: remove it, or give another folder")
    graph, model = load(arguments.model), arguments.model
    # a SavedModel's folder, with the files of its variables, or the two files of a graph
    files = sorted(path for path in model.rglob("*") if path.is_file()) if model.is_dir() else [model]
    converted = optimize_graph(graph, files, arguments.data, arguments.output, arguments.int4_storage)
    print("\n".join(optimised(converted, arguments.output, arguments.data is not None)))
