"""Build the C++ demo for a target, with the libraries it needs on the device."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.device.build.build import build
from qatflow.device.build.targets import find_target

SOURCES = Path(__file__).parents[2] / "demo" / "cxx" / "mobile_light"


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True, help="operating system and architecture, as android.armv8")
    parser.add_argument("--toolchain", default="gcc", help="family of the compiler: gcc (default), clang")
    parser.add_argument("--runtime", type=Path, required=True, help="libLiteRt.so of the target; clang: LiteRT's .aar")
    parser.add_argument("--output", type=Path, required=True, help="folder inference_lite_lib.<target> to make")
    parser.add_argument("--sources", type=Path, default=SOURCES, help="the demo's sources")
    parser.add_argument("--jobs", type=within(int, 1), default=1, help="compilers that run at once (1)")
    arguments = parser.parse_args(argv)
    target = find_target(arguments.target, arguments.toolchain)
    build(arguments.sources, target, arguments.runtime, arguments.output, arguments.jobs)


if __name__ == "__main__":
    entry(main)
