"""Quantise the float model after training, with ai-edge-quantizer, and write the folder that goes to the device."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.config.recipe.calibration import CalibrationMethod
from qatflow.config.sections.model import ModelSection
from qatflow.config.sections.options import add_section
from qatflow.ptq.run import quantise_after_training


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--float", type=Path, required=True, help="float .tflite", dest="float_model")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the data")
    parser.add_argument("--cores", type=within(int, 1), default=1, help="processes that run pictures")
    parser.add_argument(
        "--calibration-method",
        choices=get_args(CalibrationMethod),
        default="max",
        help="how the range of a tensor is found from the calibration pictures",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    add_section(parser, "model", ModelSection, only=("keep_in_float",))
    arguments = parser.parse_args(argv)
    size = quantise_after_training(
        arguments.float_model,
        arguments.data,
        arguments.output,
        keep_in_float=arguments.model.kept_by_name,
        cores=arguments.cores,
        method=arguments.calibration_method,
    )
    print(f"{arguments.output}/model.tflite: {size} bytes")


if __name__ == "__main__":
    entry(main)
