"""What the demo printed and wrote, read with the doubt that a program on another machine deserves."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qatflow.device.interface import DeviceError

DIMENSION = re.compile(r"Output dim: (\d+)")
OUTPUT = re.compile(r"Output\[(\d+)\]: (-?\d+\.\d+|-?nan|-?inf)")
AGAIN = "is it the demo of this checkout? build it again with `snakemake --cores all build_demo`"


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


def read_object(path: Path, program: str) -> dict[str, Any]:
    """Return the JSON object that the demo wrote; raises DeviceError where it wrote none."""
    try:
        told = json.loads(path.read_bytes())
    except ValueError as error:
        raise DeviceError(f"{program} wrote times that cannot be read ({error}): {AGAIN}") from None
    if not isinstance(told, dict):
        raise DeviceError(f"{program} wrote times that cannot be read (no object): {AGAIN}")
    return told


def read_numbers(told: Mapping[str, Any], names: Iterable[str], program: str) -> dict[str, float]:
    """Return numbers by name out of an object that the demo wrote; raises DeviceError where one is missing."""
    numbers = {name: told.get(name) for name in names}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise DeviceError(f"{program} wrote {value!r} for {name}, which is no number: {AGAIN}")
    return numbers  # type: ignore[return-value]


def read_list(told: Mapping[str, Any], name: str, program: str) -> list[dict[str, Any]]:
    """Return a list of objects out of an object that the demo wrote; raises DeviceError where there is none."""
    found = told.get(name)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise DeviceError(f"{program} wrote {name} that cannot be read: {AGAIN}")
    return found
