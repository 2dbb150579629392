"""The demo program on a device: copied there with a model, called, and its output read and checked."""

import json
import math
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.base.errors import UserError
from qatflow.device.build.bundle import PROGRAM, Bundle
from qatflow.device.build.targets import NO_ARM_32, is_arm_32
from qatflow.device.endings import explain_ending
from qatflow.device.interface import Completed, Device, DeviceError
from qatflow.device.results.report import OperatorTime, Profile, Timing
from qatflow.tflite.run import TensorType

CALL_SECONDS = 600.0
PICTURE_SECONDS = 30.0
DIMENSION = re.compile(r"Output dim: (\d+)")
OUTPUT = re.compile(r"Output\[(\d+)\]: (-?\d+\.\d+|-?nan|-?inf)")
AGAIN = "is it the demo of this checkout? build it again with `snakemake --cores all build_demo`"


class Demo:
    """mobilenetv1_light_api on a device."""

    def __init__(self, device: Device, bundle: Bundle) -> None:
        """Put program and libraries on the device; raises UserError if they are for another processor."""
        self._device, self._bundle = device, bundle
        self.description = device.describe()
        if is_arm_32(self.description.machine):
            raise UserError(f"device {self.description.name} runs {self.description.machine} programs, and {NO_ARM_32}")
        if self.description.machine != bundle.machine:
            raise UserError(
                f"the demo in {bundle.folder} is for {bundle.machine}, device {self.description.name} runs "
                f"{self.description.machine} programs: build it for another target, or choose another device"
            )
        for name, file in bundle.files.items():
            device.push(file, name)

    def push_model(self, files: dict[str, Path], folder: str) -> None:
        """Put a model's files, by name, into a folder on the device."""
        for name, file in files.items():
            self._device.push(file, f"{folder}/{name}")

    def all_ones(
        self, folder: str, threads: int, warmup: int, repeats: int, min_seconds: int = 0
    ) -> tuple[str, Timing]:
        """Call the program with an input of ones; return its output and the times.

        There are `repeats` timed runs, and more until they have taken `min_seconds` together.
        """
        longer = [f"--min_seconds={min_seconds}"] if min_seconds else []
        answer = self._call(
            f"--model_dir={folder}", f"--threads={threads}", f"--warmup={warmup}", f"--repeats={repeats}",
            *longer, "--json=timing.json",
            timeout=CALL_SECONDS + min_seconds + PICTURE_SECONDS * (warmup + repeats),
        )  # fmt: skip
        program = f"{PROGRAM} on {self.description.name}"
        check_printed(answer.stdout, program)
        numbers: dict[str, Any] = read_numbers(self._read("timing.json", program), _names(Timing, "emulated"), program)
        numbers["peak_memory_bytes"] = numbers["peak_memory_bytes"] or None  # the program writes 0 where it is unknown
        return answer.stdout, Timing(emulated=self.description.emulated, **numbers)

    def profile(self, folder: str, threads: int, warmup: int, repeats: int) -> Profile:
        """Call the program with an input of ones; return the times of its operators."""
        self._call(
            f"--model_dir={folder}", f"--threads={threads}", f"--warmup={warmup}", f"--repeats={repeats}",
            "--profile", "--json=profile.json", timeout=CALL_SECONDS + PICTURE_SECONDS * (warmup + 2 * repeats),
        )  # fmt: skip
        return Profile(self.description.emulated, threads, repeats, self.operators("profile.json"))

    def operators(self, name: str) -> tuple[OperatorTime, ...]:
        """Return the operators of a profile that the program has written to file `name` on the device."""
        program = f"{PROGRAM} on {self.description.name}"
        operators = []
        for operator in read_list(self._read(name, program), "operators", program):
            numbers: dict[str, Any] = read_numbers(operator, _names(OperatorTime, "kernel", "instructions"), program)
            operators.append(OperatorTime(kernel=str(operator.get("kernel", "")), **numbers))
        return tuple(operators)

    def outputs(self, folder: str, inputs: np.ndarray, output: TensorType, threads: int) -> np.ndarray:
        """Run each row of `inputs` on the device.

        Args:
            folder: the model's folder on the device.
            inputs: [n, ...], of the model's input type.
            output: type and shape of the model's output.
            threads: number of threads of the runtime.

        Returns:
            [n, elements of the output], of the output's type.
        """
        with tempfile.TemporaryDirectory() as temporary:
            sent, received = Path(temporary) / "inputs.bin", Path(temporary) / "outputs.bin"
            sent.write_bytes(np.ascontiguousarray(inputs).tobytes())
            self._device.push(sent, "inputs.bin")
            self._call(
                f"--model_dir={folder}", "--input=inputs.bin", "--output=outputs.bin", f"--threads={threads}",
                timeout=CALL_SECONDS + PICTURE_SECONDS * len(inputs),
            )  # fmt: skip
            self._device.pull("outputs.bin", received)
            values = np.fromfile(received, output.dtype)
        if values.size != len(inputs) * int(np.prod(output.shape)):
            raise DeviceError(
                f"{PROGRAM} on {self.description.name} wrote {values.size} values for {len(inputs)} pictures with "
                f"{int(np.prod(output.shape))} outputs each"
            )
        return values.reshape(len(inputs), -1)

    def _read(self, name: str, program: str) -> dict[str, Any]:
        """Return the JSON object that the program wrote."""
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / name
            self._device.pull(name, path)
            return read_object(path, program)

    def _call(self, *flags: str, timeout: float) -> Completed:
        answer = self._device.run(self._bundle.command(*flags), timeout)
        if answer.status != 0:
            raise DeviceError(
                f"{PROGRAM} on {self.description.name} ended with status {answer.status}: {explain_ending(answer)}"
            )
        return answer


def check_printed(text: str, program: str) -> None:
    """Raise DeviceError unless `text` is `Output dim: n` and lines `Output[i]: value` with i below n."""
    first, *others = text.splitlines() or [""]
    dimension = DIMENSION.fullmatch(first)
    wrong = None if dimension else first
    if dimension:
        matches = [(line, OUTPUT.fullmatch(line)) for line in others]
        wrong = next((line for line, match in matches if match is None or int(match[1]) >= int(dimension[1])), None)
        wrong = "nothing after its first line" if not others else wrong
    if wrong is not None:
        raise DeviceError(f"{program} printed {wrong[:80]!r} where its outputs were expected: {AGAIN}")


def read_object(path: Path, program: str) -> dict[str, Any]:
    """Return the JSON object that the demo wrote; raises DeviceError if it is not one."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise DeviceError(f"{program} wrote times that cannot be read ({error}): {AGAIN}") from None
    if not isinstance(content, dict):
        raise DeviceError(f"{program} wrote times that cannot be read (not an object): {AGAIN}")
    return content


def read_numbers(content: Mapping[str, Any], names: Iterable[str], program: str) -> dict[str, float]:
    """Return numbers by name from an object that the demo wrote; raises DeviceError if one is missing."""
    numbers = {name: content.get(name) for name in names}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise DeviceError(f"{program} wrote {value!r} for {name}, which is not a number: {AGAIN}")
    return numbers  # type: ignore[return-value]


def read_list(content: Mapping[str, Any], name: str, program: str) -> list[dict[str, Any]]:
    """Return a list of objects from an object that the demo wrote; raises DeviceError if it is not one."""
    items = content.get(name)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise DeviceError(f"{program} wrote {name} that cannot be read: {AGAIN}")
    return items


def _names(cls: type, *without: str) -> list[str]:
    return [field.name for field in fields(cls) if field.name not in without]
