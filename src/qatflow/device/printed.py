"""What the demo printed and wrote, read with the doubt that a program on another machine deserves."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from qatflow.device.interface import DeviceError

DIMENSION = re.compile(r"Output dim: (\d+)")
OUTPUT = re.compile(r"Output\[(\d+)\]: (-?\d+\.\d+|-?nan|-?inf)")
AGAIN = "is it the demo of this checkout? build it again with `snakemake --cores 4 build_demo`"


def check_printed(text: str, program: str) -> None:
    """Raise DeviceError unless `text` is `Output dim: n` and lines `Output[i]: value` with i below n."""
    first, *others = text.splitlines() or [""]
    dimension = DIMENSION.fullmatch(first)
    wrong = None if dimension else first
    if dimension:
        found = [(line, OUTPUT.fullmatch(line)) for line in others]
        wrong = next((line for line, match in found if match is None or int(match[1]) >= int(dimension[1])), None)
        wrong = "nothing after its first line" if not others else wrong
    if wrong is not None:
        raise DeviceError(f"{program} printed {wrong[:80]!r} where its outputs were expected: {AGAIN}")


def read_numbers(path: Path, names: Iterable[str], program: str) -> dict[str, float]:
    """Return numbers by name out of a JSON object that the demo wrote; raises DeviceError where one is missing."""
    try:
        told = json.loads(path.read_bytes())
        numbers = {name: told[name] for name in names}
    except (ValueError, KeyError, TypeError) as error:
        raise DeviceError(f"{program} wrote times that cannot be read ({error!r}): {AGAIN}") from None
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DeviceError(f"{program} wrote {value!r} for {name}, which is no number: {AGAIN}")
    return numbers
