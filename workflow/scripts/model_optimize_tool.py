"""Optimise an exported model for the device, with the flags of Paddle-Lite's tool of the name."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.cli import entry
from qatflow.optimize.optimize import optimize


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model_file", type=Path, required=True, help="`model` of the exported folder")
    parser.add_argument("--param_file", type=Path, required=True, help="`weights` of the exported folder")
    parser.add_argument("--optimize_out", type=Path, required=True, help="folder to make")
    parser.add_argument("--optimize_out_type", choices=["naive_buffer"], default="naive_buffer", help="a .tflite")
    parser.add_argument("--valid_targets", choices=["arm"], default="arm", help="where the model is to run")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the data: labels, preprocessing")
    arguments = parser.parse_args(argv)
    converted = optimize(arguments.model_file, arguments.param_file, arguments.data, arguments.optimize_out)
    for name, lines in converted.done.items():
        for line in lines:
            print(f"{name}: {line}")
    print(f"optimised model: {arguments.optimize_out}/model.tflite, {len(converted.lowered.content)} bytes")


if __name__ == "__main__":
    entry(main)
