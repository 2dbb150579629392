"""The device gate: whether the int8 model takes more time, memory or instructions there than is allowed."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.config.sections.device import RUN_LIMITS, DeviceSection
from qatflow.config.sections.options import add_section
from qatflow.device.results.device_gate import gate_device


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, required=True, help="report.json of the device run")
    parser.add_argument("--output", type=Path, required=True, help="device_gate.json to write")
    add_section(parser, "device", DeviceSection, only=RUN_LIMITS)
    arguments = parser.parse_args(argv)
    limits = {key: getattr(arguments.device, key) for key in RUN_LIMITS}
    print(gate_device(arguments.report, limits, arguments.output))


if __name__ == "__main__":
    entry(main)
