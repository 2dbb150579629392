"""Write the model card beside the model that ships: data, training, figures, limits, licence."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.base.files import write_text
from qatflow.base.sums import read_sealed
from qatflow.report.records.model_card import model_card
from qatflow.report.records.run import read_run


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", type=Path, required=True, help="summary.json")
    parser.add_argument("--evaluation", type=Path, required=True, help="evaluation.json")
    parser.add_argument("--config", type=Path, required=True, help="config.yaml beside the results")
    parser.add_argument("--recipe", type=Path, required=True, help="compress.yaml there")
    parser.add_argument("--model", type=Path, required=True, help=".tflite file that ships")
    parser.add_argument("--output", type=Path, required=True, help="MODEL_CARD.md to write")
    arguments = parser.parse_args(argv)
    run = read_run(arguments.summary, arguments.config, arguments.recipe, arguments.model)
    write_text(arguments.output, model_card(run, read_sealed(arguments.evaluation)))


if __name__ == "__main__":
    entry(main)
