"""Compare each layer of the int8 model with the float one: scales, clipping, signal to quantisation noise."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.base.sums import read_checked, write_sealed
from qatflow.data.manifest import read_manifest
from qatflow.evaluate.layers import inspect_prepared, table
from qatflow.graph.store import load_files
from qatflow.inference.pictures import PreparedPictures
from qatflow.tflite.lower import convert


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--float",
        type=Path,
        required=True,
        nargs="+",
        metavar="FILE",
        dest="float_model",
        help="float .tflite; or of a quantised graph its two files, model and weights, whose real values are taken",
    )
    parser.add_argument("--int8", type=Path, required=True, help="int8 .tflite of the same network")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the data")
    parser.add_argument("--pictures", type=within(int, 1), default=50, help="validation pictures to look at (50)")
    parser.add_argument("--cores", type=within(int, 1), default=1, help="processes that run pictures")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args(argv)
    manifest = read_manifest(arguments.data)
    pictures = PreparedPictures.of(manifest, "validation", arguments.pictures, processes=arguments.cores)
    model, *weights = arguments.float_model
    content = convert(load_files(model, *weights).in_real_values()).content if weights else read_checked(model)
    layers = inspect_prepared(content, read_checked(arguments.int8), pictures)
    write_sealed(arguments.output, {"pictures": pictures.count, "layers": [asdict(layer) for layer in layers]})
    print(table(layers))


if __name__ == "__main__":
    entry(main)
