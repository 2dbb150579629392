"""`qatflow inspect`: the layers of a model file, with their widths, scales and sizes."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.sums import read_checked
from qatflow.inspection.layers import Contents, of_graph, of_tflite
from qatflow.inspection.text import text


def main(argv: Sequence[str]) -> None:
    """Print what a model has.

    Raises:
        UserError: it cannot be read; see `qatflow.api.loading.load`.
    """
    parser = argparse.ArgumentParser(
        prog="qatflow inspect",
        description="The layers of a model in the order of execution: output, type, scale and zero point, kernel with "
        "the bits and the number of its scales, parameters and bytes.",
        epilog="Examples: qatflow inspect model.tflite; qatflow inspect results/base/output/int8 --json",
    )
    parser.add_argument(
        "model",
        type=Path,
        help="a .tflite, .keras, .h5 or .onnx file, a SavedModel, or a folder with model.tflite, or with `model` and "
        "`weights`",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    contents = _contents(arguments.model)
    print(json.dumps(asdict(contents), indent=2, ensure_ascii=False) if arguments.json else text(contents), end="")
    if arguments.json:
        print()


def _contents(path: Path) -> Contents:
    file = path / "model.tflite" if (path / "model.tflite").is_file() else path
    if file.suffix == ".tflite" and file.is_file():
        content = read_checked(file)
        try:
            return of_tflite(content, str(file))
        except Exception as error:  # flatbuffers raises many kinds for damaged files
            raise UserError(f"{file} is no .tflite file, or damaged ({error}): fetch or make it again") from error
    from qatflow.api.loading import load  # with TensorFlow, where it is a model of Keras

    graph = load(path)
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    return of_graph(graph, str(path), sum(one.stat().st_size for one in files))
