"""Measure on a device each operator that the networks of a search can have; a killed run goes on where it was."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.config.sections.base import SEEDS
from qatflow.config.sections.compress import CompressSection
from qatflow.config.sections.device import LATENCY_KEYS, DeviceSection
from qatflow.config.sections.flags import add_flags, read_flags, within
from qatflow.config.sections.model import ModelSection
from qatflow.device.interface import DeviceSettings
from qatflow.device.run.operator_latency import LatencySettings, measure
from qatflow.search.operators import operators_of
from qatflow.search.start import setup
from qatflow.tflite.latency_table import write_table


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", type=Path, required=True, help="folder of the float model")
    parser.add_argument("--seed", type=within(int, 0, SEEDS - 1), default=1, help="seed of the experiment")
    parser.add_argument("--library", type=Path, required=True, help="the built demo, inference_lite_lib.<target>")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps what is measured")
    parser.add_argument("--output", type=Path, required=True, help="latency_table.json to write")
    add_flags(parser, ModelSection, only=("keep_in_float",))
    add_flags(parser, CompressSection, only=("config", "overrides"))
    add_flags(parser, DeviceSection, only=LATENCY_KEYS)
    arguments = parser.parse_args(argv)
    compress, device = read_flags(arguments, CompressSection), read_flags(arguments, DeviceSection)
    begun = setup(compress, arguments.pretrained, arguments.seed, keep_in_float=arguments.keep_in_float)
    settings = LatencySettings(
        DeviceSettings(device.type, device.name, device.serial, device.cpu, device.keep, device.target),
        "instructions" if device.type == "emulator" else "ms",
        device.threads[0],
        device.warmup,
        device.repeats,
    )
    operators = operators_of(begun)
    write_table(arguments.output, measure(settings, operators, arguments.library, arguments.work))


if __name__ == "__main__":
    entry(main)
