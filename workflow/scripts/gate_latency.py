"""The latency gate: whether the int8 model takes longer on the device than is allowed."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.config.sections.device import DeviceSection
from qatflow.config.sections.options import add_section
from qatflow.device.results.latency_gate import gate_latency


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, required=True, help="report.json of the device run")
    parser.add_argument("--output", type=Path, required=True, help="latency_gate.json to write")
    add_section(parser, "device", DeviceSection, only=("max_latency_ms",))
    arguments = parser.parse_args(argv)
    print(gate_latency(arguments.report, arguments.device.max_latency_ms, arguments.output))


if __name__ == "__main__":
    entry(main)
