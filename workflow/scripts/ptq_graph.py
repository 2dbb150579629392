"""Quantise the float graph after training, layer by layer if asked, and write the quantised graph."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.config.recipe.recipe import AFTER_TRAINING, QuantizationStrategySection
from qatflow.config.sections.base import SEEDS
from qatflow.config.sections.model import ModelSection
from qatflow.config.sections.options import SectionOption, add_section
from qatflow.config.sections.ptq import PtqSection
from qatflow.ptq.graph_folder import write_quantised_graph


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", type=Path, required=True, help="folder of the float model")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the data")
    parser.add_argument("--seed", type=within(int, 0, SEEDS - 1), default=1, help="seed of everything random")
    parser.add_argument("--cores", type=within(int, 1), default=1, help="processes that run pictures and train")
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument(
        "--quantization",
        action=SectionOption,
        section=QuantizationStrategySection,
        keys=("class", *AFTER_TRAINING),
        required=True,
        help="types and widths: keys of the compress YAML's QuantizationStrategy",
    )
    add_section(parser, "model", ModelSection, only=("keep_in_float",))
    add_section(parser, "ptq", PtqSection)
    arguments = parser.parse_args(argv)
    write_quantised_graph(
        pretrained=arguments.pretrained,
        data=arguments.data,
        output=arguments.output,
        strategy=arguments.quantization,
        section=arguments.ptq,
        seed=arguments.seed,
        keep_in_float=arguments.model.keep_in_float,
        cores=arguments.cores,
    )


if __name__ == "__main__":
    entry(main)
