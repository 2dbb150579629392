"""report.json: the results of a device run. These classes define its schema, its table in docs/devices.md, its reader.

Fields are described only here; `python -m qatflow.device.results.schema` makes schema and table from the docstrings.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed, write_sealed
from qatflow.device.interface import DeviceDescription

FORMAT = 6
AGAIN = "run the model on the device again (target run_demo)"


@dataclass(frozen=True)
class IntegerPart:
    """The model up to its last integer tensor, compared without the float operators after it.

    Attributes:
        tensor: name of that tensor.
        bit_equal: whether it has the same bits on host and device for each picture.
    """

    tensor: str
    bit_equal: bool


@dataclass(frozen=True)
class Agreement:
    """How well the outputs of host and device agree.

    Attributes:
        pictures: number of pictures compared.
        bit_equal: whether every output has the same bits.
        largest_difference: greatest absolute difference of an output, in `unit`.
        unit: unit of the differences: steps of an integer output, `of a probability`, or `(absolute)` for other values.
        tolerance: greatest difference allowed, in `unit`; 0 where equal bits were required.
        reason: why the tolerance has this value.
        integer_part: the part computed in integers, compared bit for bit; null where that was not required, or where
            the output itself is an integer tensor or does not depend on a single one.
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
    """Accuracy on the device, and on the host for the same pictures, as fractions from 0 to 1.

    Without labels there is none, but how often the model answers as the float model does; not for that one itself.

    Attributes:
        split: split that the pictures are from.
        pictures: number of pictures, starting with the first.
        device_top1: fraction whose label is the device's best class.
        device_top5: fraction whose label is among the device's five best.
        host_top1: the same on the host.
        host_top5: the same on the host.
        device_float_agreement: without labels, fraction for which the device's best class is the float model's.
        host_float_agreement: the same on the host.
    """

    split: str
    pictures: int
    device_top1: float | None
    device_top5: float | None
    host_top1: float | None
    host_top5: float | None
    device_float_agreement: float | None = None
    host_float_agreement: float | None = None


@dataclass(frozen=True)
class Timing:
    """Times of one picture at one number of threads, in milliseconds, as the program on the device measured them.

    Attributes:
        emulated: whether they are from an emulator, and say nothing about real devices.
        threads: number of threads of the runtime.
        warmup: runs before the timed ones.
        runs: number of timed runs.
        load_ms: time to read and prepare the model; with the time to expand a packed one.
        expand_ms: time to expand a packed model; 0 for a .tflite file.
        first_ms: time of the very first run.
        min_ms: fastest timed run.
        mean_ms: mean of the timed runs.
        median_ms: median of the timed runs.
        p90_ms: 90th percentile of the timed runs, nearest rank.
        max_ms: slowest timed run.
        stddev_ms: sample standard deviation; 0 for one run.
        peak_memory_bytes: peak resident memory of the program (of qemu, where emulated); null where the system does
            not report it.
    """

    emulated: bool
    threads: int
    warmup: int
    runs: int
    load_ms: float
    expand_ms: float
    first_ms: float
    min_ms: float
    mean_ms: float
    median_ms: float
    p90_ms: float
    max_ms: float
    stddev_ms: float
    peak_memory_bytes: int | None


@dataclass(frozen=True)
class Temperature:
    """A sensor of the device before and after the timing, in degrees Celsius.

    Attributes:
        sensor: its name on the device.
        before: temperature just before the first timed run.
        after: temperature just after the last; null if it could no longer be read.
    """

    sensor: str
    before: float
    after: float | None


@dataclass(frozen=True)
class Try:
    """A try of a long timing.

    Attributes:
        runs: number of timed runs.
        seconds: time of these runs together.
        median_ms: median of the runs.
        p90_ms: 90th percentile of the runs, nearest rank.
        temperature: the device's sensors before and after the try; null if none can be read.
    """

    runs: int
    seconds: float
    median_ms: float
    p90_ms: float
    temperature: tuple[Temperature, ...] | None


@dataclass(frozen=True)
class LongTiming:
    """Times of one picture over several tries with pauses, which show how far heat slows the device down.

    Attributes:
        rules: value of `device.rules`.
        threads: number of threads of the runtime.
        min_runs: least number of runs in a try.
        min_seconds: least time of these runs together.
        pause_seconds: wait between two tries.
        tries: the tries, in their order.
        p90_ms: 90th percentile of the slowest try, in ms: the latency by these rules.
        spread_percent: by how much the slowest try's 90th percentile is above the fastest's.
        max_spread_percent: largest spread of stable tries.
        stable: whether the spread is within it.
    """

    rules: str
    threads: int
    min_runs: int
    min_seconds: float
    pause_seconds: float
    tries: tuple[Try, ...]
    p90_ms: float
    spread_percent: float
    max_spread_percent: float
    stable: bool


@dataclass(frozen=True)
class OperatorTime:
    """Time of one operator per run, from LiteRT's profiler, which has a resolution of one microsecond.

    Attributes:
        index: position in the order of execution.
        kernel: LiteRT's name of the kernel.
        mean_ms: mean over the runs.
        min_ms: fastest run.
        max_ms: slowest run.
        percent: percentage of the time of all operators.
        instructions: instructions executed by one run with one thread; null where not counted.
    """

    index: int
    kernel: str
    mean_ms: float
    min_ms: float
    max_ms: float
    percent: float
    instructions: int | None = None


@dataclass(frozen=True)
class Profile:
    """Times of the operators, from separate runs: the profiler slows them down.

    Attributes:
        emulated: whether they are from an emulator, and say nothing about real devices.
        threads: number of threads of the runtime.
        runs: number of measured runs.
        operators: in the order of execution; operators that LiteRT fuses count as one.
    """

    emulated: bool
    threads: int
    runs: int
    operators: tuple[OperatorTime, ...]

    def with_instructions(self, counted: Sequence[int]) -> "Profile":
        """Return the profile with the instructions of each operator."""
        both = zip(self.operators, counted, strict=True)
        return replace(self, operators=tuple(replace(operator, instructions=count) for operator, count in both))


@dataclass(frozen=True)
class TensorForm:
    """An input or output.

    Attributes:
        type: type of its elements.
        shape: shape, including the batch dimension of 1.
    """

    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelReport:
    """One model on the device.

    Attributes:
        sha256: SHA-256 of the .tflite file.
        bytes: size of the .tflite file.
        packed_bytes: size of the packed file that was sent in its place; null if it was sent itself.
        input: type and shape of the input.
        output: type and shape of the output.
        agreement: agreement with the host on the same tensors.
        accuracy: accuracy on the device and on the host.
        timing: times and memory, one entry per number of threads, in the order of device.threads.
        profile: times of the operators, at the first number of threads.
        instructions: instructions executed for one picture with one thread; null where not counted.
        long_timing: the timing by `device.rules`; null with `short`.
    """

    sha256: str
    bytes: int
    packed_bytes: int | None
    input: TensorForm
    output: TensorForm
    agreement: Agreement
    accuracy: DeviceAccuracy
    timing: tuple[Timing, ...]
    profile: Profile
    instructions: int | None
    long_timing: LongTiming | None = None

    @property
    def latency_ms(self) -> float:
        """The time of one picture that limits and comparisons use, at the first number of threads."""
        return self.timing[0].median_ms if self.long_timing is None else self.long_timing.p90_ms

    @property
    def latency_words(self) -> str:
        """What that time is."""
        long = self.long_timing
        if long is None:
            return f"median of {self.timing[0].runs} runs"
        return f"90th percentile, slowest of {len(long.tries)} tries{'' if long.stable else ', not stable'}"


@dataclass(frozen=True)
class Models:
    """The models side by side.

    Attributes:
        float: the float model, converted by the same tool; null if the model that ships was quantised elsewhere.
        int8: the model that ships.
    """

    float: ModelReport | None
    int8: ModelReport

    @property
    def named(self) -> "dict[str, ModelReport]":
        """The models by name, float first if there is one."""
        both = {"float": self.float, "int8": self.int8}
        return {name: model for name, model in both.items() if model is not None}


@dataclass(frozen=True)
class ThreadsRatio:
    """Float's median time divided by int8's.

    Attributes:
        threads: number of threads.
        ratio: above 1 if int8 is faster.
    """

    threads: int
    ratio: float


@dataclass(frozen=True)
class Ratio:
    """Float divided by int8: above 1 where int8 is smaller or faster. Emulated times and memory have no ratio.

    Attributes:
        bytes: ratio of the file sizes.
        median_ms: ratio of the median times, one entry per number of threads; null where emulated.
        load_ms: ratio of the load times at the first number of threads; null where emulated.
        peak_memory_bytes: ratio of the peak memory at the first number of threads; null where emulated or not reported.
        instructions: ratio of the instructions; null where not counted.
        long_ms: ratio of the 90th percentiles by `device.rules`; null with `short`.
    """

    bytes: float
    median_ms: tuple[ThreadsRatio, ...] | None
    load_ms: float | None
    peak_memory_bytes: float | None
    instructions: float | None
    long_ms: float | None = None

    @property
    def latency(self) -> float | None:
        """The ratio of `ModelReport.latency_ms`; None where emulated."""
        return self.long_ms or (self.median_ms[0].ratio if self.median_ms else None)


@dataclass(frozen=True)
class DeviceReport:
    """A device run.

    Attributes:
        format_version: version of this file's format.
        device: what the models ran on.
        litert_version: version of LiteRT on the device; null when unknown.
        models: the float model and the one that ships, with the same fields.
        ratio: float divided by int8; null if there is no float model.
        threads_left_out: numbers in device.threads that exceed the device's cores, and were not timed.
        temperature: the device's sensors; null if none can be read.
        warnings: what the user should know before trusting the results or shipping the model.
        provenance: SHA-256 of the inputs, settings, versions of the tools, commit.
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
"""The files of a device run: the report, and the program's output."""
ADAPTER = TypeAdapter(DeviceReport)


def write_report(path: Path, report: DeviceReport) -> None:
    """Write report.json, whole or not at all, with the checksum of the output.txt next to it, if there is one."""
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
