"""Compare each layer of the int8 model with the float one: scales, clipping, noise, and what it costs alone."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.base.sums import read_checked, write_sealed
from qatflow.config.sections.inspect import InspectSection
from qatflow.config.sections.options import add_section
from qatflow.data.answers import measure_of
from qatflow.data.manifest import read_manifest
from qatflow.evaluate.layers import inspect_prepared, sensitivity_table, table
from qatflow.graph.store import load_files
from qatflow.inference.pictures import PreparedPictures
from qatflow.sensitivity.measure import measure
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
    add_section(parser, "inspect", InspectSection)
    parser.add_argument("--work", type=Path, default=Path("work/inspect"), help="state of a measurement (work/inspect)")
    parser.add_argument("--cores", type=within(int, 1), default=1, help="processes that run pictures")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args(argv)
    manifest = read_manifest(arguments.data)
    pictures = PreparedPictures.of(manifest, "validation", arguments.pictures, processes=arguments.cores)
    model, *weights = arguments.float_model
    content = convert(load_files(model, *weights).in_real_values()).content if weights else read_checked(model)
    int8_model = read_checked(arguments.int8)
    layers = inspect_prepared(content, int8_model, pictures)
    print(table(layers), flush=True)
    sensitivities = None
    if count := arguments.inspect.sensitivity_pictures:
        shown = PreparedPictures.of(manifest, "validation", count, processes=arguments.cores)
        sensitivities = measure(content, int8_model, shown, arguments.work)
        print(sensitivity_table(sensitivities, measure_of(manifest)))
    write_sealed(
        arguments.output,
        {
            "pictures": pictures.count,
            "layers": [asdict(layer) for layer in layers],
            "sensitivities": None if sensitivities is None else asdict(sensitivities),
        },
    )


if __name__ == "__main__":
    entry(main)
