"""Run the optimised model and the float one on a device: report how right and how fast they are there."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.config.sections.device import BUILD_KEYS, LIMITS, DeviceSection
from qatflow.config.sections.options import add_section
from qatflow.device.run.run import RunSettings, run_demo


def main(argv: Sequence[str]) -> None:
    """Parse the arguments, run, and print what the program printed on the device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True, help="folder of the int8 model")
    parser.add_argument("--packed", type=Path, help="the int8 model packed, to send in place of its .tflite")
    parser.add_argument("--float-dir", type=Path, help="folder of the float model, where there is one")
    parser.add_argument("--library", type=Path, required=True, help="the built demo, inference_lite_lib.<target>")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.json of the data set")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder of output.txt and report.json")
    # other programs have what is left out
    add_section(parser, "device", DeviceSection, leave_out=(*LIMITS, "packed", *BUILD_KEYS))
    arguments = parser.parse_args(argv)
    text = run_demo(
        RunSettings.of(arguments.device),
        int8_dir=arguments.model_dir,
        float_dir=arguments.float_dir,
        library=arguments.library,
        manifest=arguments.manifest,
        output_dir=arguments.output_dir,
        packed=arguments.packed,
    )
    print(text, end="")


if __name__ == "__main__":
    entry(main)
