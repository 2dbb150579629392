"""Run the optimised model on a device, compare it with the host, and report how right and how fast it is there."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.cli import entry
from qatflow.device.interface import DeviceSettings
from qatflow.device.registry import DEVICES
from qatflow.device.run import RunSettings, run_demo


def main(argv: Sequence[str]) -> None:
    """Parse the arguments, run, and print what the program printed on the device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--type", choices=sorted(DEVICES), required=True, help="kind of device")
    parser.add_argument("--name", required=True, help="what the device is called in the report")
    parser.add_argument("--serial", help="adb: serial number, as `adb devices` prints it")
    parser.add_argument("--cpu", default="cortex-a76", help="emulator: CPU to imitate (cortex-a76)")
    parser.add_argument("--model-dir", type=Path, required=True, help="folder of the optimised model")
    parser.add_argument("--library", type=Path, required=True, help="the built demo, inference_lite_lib.<target>")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.json of the data set")
    parser.add_argument("--pictures", type=int, default=100, help="test pictures to compare (100)")
    parser.add_argument("--tolerance", type=float, default=0.0, help="largest difference from the host; 0: equal bits")
    parser.add_argument("--threads", type=int, default=1, help="threads on the device (1)")
    parser.add_argument("--warmup", type=int, default=1, help="runs before timing starts (1)")
    parser.add_argument("--repeats", type=int, default=10, help="timed runs (10)")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder of output.txt and report.json")
    arguments = parser.parse_args(argv)
    settings = RunSettings(
        device=DeviceSettings(arguments.type, arguments.name, arguments.serial, arguments.cpu),
        pictures=arguments.pictures,
        tolerance=arguments.tolerance,
        threads=arguments.threads,
        warmup=arguments.warmup,
        repeats=arguments.repeats,
    )
    text = run_demo(settings, arguments.model_dir, arguments.library, arguments.manifest, arguments.output_dir)
    print(text, end="")


if __name__ == "__main__":
    entry(main)
