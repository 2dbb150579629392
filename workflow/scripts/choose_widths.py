"""Choose the precision of each layer, before training, by what fewer bits cost it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.base.errors import UserError
from qatflow.config.recipe.option import add_recipe, recipe_of
from qatflow.config.sections.compress import CompressSection
from qatflow.config.sections.model import ModelSection, kept_by_name
from qatflow.config.sections.options import add_section
from qatflow.data.manifest import read_manifest
from qatflow.graph.store import load
from qatflow.inference.pictures import PreparedPictures
from qatflow.mixed_precision.choose import choose_widths, write_widths
from qatflow.mixed_precision.record import table
from qatflow.tflite.latency_table import read_table


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", type=Path, required=True, help="folder of the float model")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the prepared pictures")
    parser.add_argument("--latency", type=Path, help="latency_table.json, where the recipe has max_latency")
    parser.add_argument("--cores", type=within(int, 1), default=1, help="processes that run pictures")
    parser.add_argument("--work", type=Path, default=Path("work/widths"), help="what is measured (work/widths)")
    parser.add_argument("--output", type=Path, required=True, help="widths.json to write")
    add_recipe(parser)
    add_section(parser, "model", ModelSection, only=("keep_in_float",))
    add_section(parser, "compress", CompressSection, only=("equalize_channels",))
    arguments = parser.parse_args(argv)
    recipe = recipe_of(arguments)
    section = recipe.quantization.auto_bits
    if section is None:
        raise UserError("the recipe's QuantizationStrategy has no auto_bits: there is nothing to choose")
    pictures = PreparedPictures.of(
        read_manifest(arguments.data), "validation", section.pictures, processes=arguments.cores
    )
    choice = choose_widths(
        load(arguments.pretrained),
        recipe,
        kept_by_name(arguments.model.keep_in_float),
        pictures,
        arguments.work,
        equal=arguments.compress.equalize_channels,
        table=None if arguments.latency is None else read_table(arguments.latency),
    )
    files = [arguments.data, *(arguments.pretrained / name for name in ("model", "weights"))]
    files += [] if arguments.latency is None else [arguments.latency]
    write_widths(choice, recipe, files, arguments.output)
    print(table(choice))


if __name__ == "__main__":
    entry(main)
