"""report.json: what a device run tells. These classes are its schema, its table in docs/devices.md, and its reader.

Each field is described here alone; `python -m qatflow.device.results.schema` makes schema and table of the docstrings.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed, write_sealed
from qatflow.device.interface import DeviceDescription

FORMAT = 3
AGAIN = "run the model on the device again (target run_demo)"


@dataclass(frozen=True)
class IntegerPart:
    """The model up to its last integer tensor, compared apart from the float operators behind it.

    Attributes:
        tensor: name of that tensor.
        bit_equal: whether it has the same bits on host and device for each picture.
    """

    tensor: str
    bit_equal: bool


@dataclass(frozen=True)
class Agreement:
    """Outputs of host and device that agree.

    Attributes:
        pictures: number of pictures compared.
        bit_equal: whether every output has the same bits.
        largest_difference: greatest absolute difference of an output, in `unit`.
        unit: of the differences: steps of an integer output, `of a probability`, or `(absolute)` for other real values.
        tolerance: the greatest that was allowed, in `unit`; 0 where equal bits were asked for.
        reason: why it was that one.
        integer_part: what is computed in integers, compared bit for bit; null where that was not asked for, or where
            the output itself is an integer tensor or none leads to it.
    """

    pictures: int
    bit_equal: bool
    largest_difference: float
    unit: str
    tolerance: float
    reason: str
    integer_part: IntegerPart | None = None


@dataclass(frozen=True)
class DeviceAccuracy:
    """Accuracy on the device, and on the host for the same pictures; shares of 1.

    Attributes:
        split: the pictures' split.
        pictures: how many, from the first on.
        device_top1: share whose label is the device's best class.
        device_top5: share whose label is among the device's five best.
        host_top1: the same on the host.
        host_top5: the same on the host.
    """

    split: str
    pictures: int
    device_top1: float
    device_top5: float
    host_top1: float
    host_top5: float


@dataclass(frozen=True)
class Timing:
    """Times of one picture at one number of threads, in milliseconds, as the program on the device measured them.

    Attributes:
        emulated: whether they are an emulator's, and say nothing of real devices.
        threads: of the run-time.
        warmup: runs before those counted.
        runs: runs counted.
        load_ms: reading and preparing the model.
        first_ms: the very first run.
        min_ms: quickest of `runs`.
        mean_ms: their mean.
        median_ms: their median.
        p90_ms: their 90th percentile, nearest rank.
        max_ms: slowest.
        stddev_ms: sample standard deviation; 0 for one run.
        peak_memory_bytes: largest resident memory of the program (of qemu, where emulated); null where the system does
            not tell.
    """

    emulated: bool
    threads: int
    warmup: int
    runs: int
    load_ms: float
    first_ms: float
    min_ms: float
    mean_ms: float
    median_ms: float
    p90_ms: float
    max_ms: float
    stddev_ms: float
    peak_memory_bytes: int | None


@dataclass(frozen=True)
class OperatorTime:
    """Time of one operator, as LiteRT's profiler measures it, in whole microseconds a run.

    Attributes:
        index: its place in the order of the run.
        kernel: what ran it, in LiteRT's words.
        mean_ms: mean over the runs.
        min_ms: quickest.
        max_ms: slowest.
        percent: of all operators together.
    """

    index: int
    kernel: str
    mean_ms: float
    min_ms: float
    max_ms: float
    percent: float


@dataclass(frozen=True)
class Profile:
    """Times of the operators, of runs of their own: measuring makes them slower.

    Attributes:
        emulated: whether they are an emulator's, and say nothing of real devices.
        threads: of the run-time.
        runs: runs measured.
        operators: in the order of the run; those that LiteRT fuses count as one.
    """

    emulated: bool
    threads: int
    runs: int
    operators: tuple[OperatorTime, ...]


@dataclass(frozen=True)
class TensorForm:
    """An input or output.

    Attributes:
        type: of its elements.
        shape: with its batch of 1.
    """

    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelReport:
    """One model on the device.

    Attributes:
        sha256: of the .tflite file.
        bytes: of the .tflite file.
        input: its input.
        output: its output.
        agreement: with the host on the same tensors.
        accuracy: on the device and on the host.
        timing: times and memory, one for each number of threads, in the order of device.threads.
        profile: times of the operators, at the first number of threads.
        instructions: instructions executed for one picture with one thread; null where they are not counted.
    """

    sha256: str
    bytes: int
    input: TensorForm
    output: TensorForm
    agreement: Agreement
    accuracy: DeviceAccuracy
    timing: tuple[Timing, ...]
    profile: Profile
    instructions: int | None


@dataclass(frozen=True)
class Models:
    """The models side by side.

    Attributes:
        float: the float model, made by the same tool; null where the one that ships came quantised.
        int8: the model that ships.
    """

    float: ModelReport | None
    int8: ModelReport

    @property
    def named(self) -> "dict[str, ModelReport]":
        """The models that there are, by name, float first."""
        both = {"float": self.float, "int8": self.int8}
        return {name: model for name, model in both.items() if model is not None}


@dataclass(frozen=True)
class ThreadsRatio:
    """Float's median time divided by int8's.

    Attributes:
        threads: number of threads.
        ratio: above 1 where int8 is faster.
    """

    threads: int
    ratio: float


@dataclass(frozen=True)
class Ratio:
    """Float divided by int8: above 1 where int8 is smaller or faster. Emulated times and memory have none.

    Attributes:
        bytes: of the files.
        median_ms: of the median times, one for each number of threads; null where emulated.
        load_ms: of the load times at the first number of threads; null where emulated.
        peak_memory_bytes: of the peak memory at the first number of threads; null where emulated or not told.
        instructions: of the instructions; null where they are not counted.
    """

    bytes: float
    median_ms: tuple[ThreadsRatio, ...] | None
    load_ms: float | None
    peak_memory_bytes: float | None
    instructions: float | None


@dataclass(frozen=True)
class Temperature:
    """A sensor of the device before and after the timing, in degrees Celsius.

    Attributes:
        sensor: its name there.
        before: just before the first timed run.
        after: just after the last; null where it could no longer be read.
    """

    sensor: str
    before: float
    after: float | None


@dataclass(frozen=True)
class DeviceReport:
    """A device run.

    Attributes:
        format_version: of this file.
        device: what the models ran on.
        litert_version: of the run-time there; null when unknown.
        models: the float model and the one that ships, with the same fields.
        ratio: float against int8; null where there is no float model.
        threads_left_out: numbers of threads of device.threads above the device's cores, which were not timed.
        temperature: the device's sensors; null where none can be read.
        warnings: what the user should know before believing or shipping.
        provenance: sha256 of the inputs, settings, versions of the tools, commit.
    """

    format_version: int
    device: DeviceDescription
    litert_version: str | None
    models: Models
    ratio: Ratio | None
    threads_left_out: tuple[int, ...]
    temperature: tuple[Temperature, ...] | None
    warnings: tuple[str, ...]
    provenance: dict[str, Any]


FILE, TEXT = "report.json", "output.txt"
"""What a device run leaves: the report, and what the program printed."""
ADAPTER = TypeAdapter(DeviceReport)


def write_report(path: Path, report: DeviceReport) -> None:
    """Write report.json, whole or not at all, with the sum of the output.txt beside it, where there is one."""
    write_sealed(path, asdict(report), files=[TEXT] if (path.parent / TEXT).is_file() else [])


def read_report(path: Path) -> DeviceReport:
    """Read report.json.

    Raises:
        UserError: it is missing, damaged, or of another version.
    """
    try:
        content = read_sealed(path, AGAIN)
        if content.get("format_version") != FORMAT:
            raise UserError(f"{path} has format {content.get('format_version')}, expected {FORMAT}: {AGAIN}")
        return ADAPTER.validate_python(content)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}: {AGAIN}") from None
    except (ValueError, AttributeError) as error:
        problem = error.errors()[0] if isinstance(error, ValidationError) else error
        raise UserError(f"{path} is damaged ({problem}): {AGAIN}") from None
