"""Make the folder that goes to the device of a model that is quantised already."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.config.sections.model import QuantizedModelSection
from qatflow.config.sections.options import add_section
from qatflow.optimize.ready import adopt


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="quantised .tflite or .onnx file, or folder of ours")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the data: labels, preprocessing")
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--packed", action="store_true", help="a packed file is made of the model afterwards")
    add_section(parser, "quantized-model", QuantizedModelSection, only=("drop_background",))
    arguments = parser.parse_args(argv)
    drop_background = arguments.quantized_model.drop_background
    size = adopt(arguments.model, arguments.data, arguments.output, drop_background, arguments.packed)
    print(f"{arguments.output}/model.tflite: {size} bytes")


if __name__ == "__main__":
    entry(main)
