"""Optimise an exported model for the device, with the flags of Paddle-Lite's tool of the name."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.graph.store import load_files
from qatflow.optimize.describe import all_operations, model_operations, optimised, supported_operations
from qatflow.optimize.optimize import optimize

OPTIMISES = ("model_file", "param_file", "optimize_out")


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model_file", type=Path, help="`model` of the exported folder")
    parser.add_argument("--param_file", type=Path, help="`weights` of the exported folder")
    parser.add_argument("--optimize_out", type=Path, help="folder to make")
    parser.add_argument("--optimize_out_type", choices=["naive_buffer"], default="naive_buffer", help="a .tflite")
    parser.add_argument("--valid_targets", choices=["arm"], default="arm", help="where the model is to run")
    parser.add_argument("--int4_storage", action="store_true", help="store kernels of up to 4 bits as INT4")
    parser.add_argument("--data", type=Path, help="manifest.json of the data: labels, preprocessing")
    parser.add_argument("--print_supported_ops", action="store_true", help="name the operations that the device runs")
    parser.add_argument("--print_all_ops", action="store_true", help="name all operations, and what becomes of them")
    parser.add_argument("--print_model_ops", action="store_true", help="name the operations of the model")
    arguments = parser.parse_args(argv)
    missing = [f"--{name}" for name in OPTIMISES if getattr(arguments, name) is None]
    if arguments.print_all_ops:
        print(all_operations())
    if arguments.print_supported_ops:
        print("\n".join(supported_operations()))
    if arguments.print_model_ops:
        if {"--model_file", "--param_file"} & set(missing):
            parser.error("--print_model_ops needs --model_file and --param_file")
        print(model_operations(load_files(arguments.model_file, arguments.param_file)))
    if arguments.print_all_ops or arguments.print_supported_ops or arguments.print_model_ops:
        return
    if missing:
        parser.error(f"these are missing: {', '.join(missing)}")
    converted = optimize(
        arguments.model_file, arguments.param_file, arguments.data, arguments.optimize_out, arguments.int4_storage
    )
    print("\n".join(optimised(converted, arguments.optimize_out, arguments.data is not None)))


if __name__ == "__main__":
    entry(main)
