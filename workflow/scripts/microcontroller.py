"""Write the model that ships as C++ source for microcontrollers, with labels, preprocessing and the planned memory."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.optimize.microcontroller import write_microcontroller


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True, help="folder of the model that ships")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder of model.h and model.cc")
    arguments = parser.parse_args(argv)
    arena = write_microcontroller(arguments.model_dir, arguments.output_dir)
    print(f"microcontroller: {arguments.output_dir}/model.cc, {arena:,} bytes planned for tensors")


if __name__ == "__main__":
    entry(main)
