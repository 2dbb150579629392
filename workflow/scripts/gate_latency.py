"""The latency gate: whether the int8 model takes longer on the device than is allowed."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.config.sections.flags import within
from qatflow.device.results.latency_gate import gate_latency


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, required=True, help="report.json of the device run")
    parser.add_argument(
        "--max-latency-ms", type=_limit, required=True, help="longest median time of a picture in ms, or none"
    )
    parser.add_argument("--output", type=Path, required=True, help="latency_gate.json to write")
    arguments = parser.parse_args(argv)
    print(gate_latency(arguments.report, arguments.max_latency_ms, arguments.output))


def _limit(text: str) -> float | None:
    return None if text == "none" else within(float, 0)(text)


if __name__ == "__main__":
    entry(main)
