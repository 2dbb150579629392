"""Reports of device runs with figures that a test chooses."""

from collections.abc import Sequence

from qatflow.device.interface import CpuFrequency, DeviceDescription
from qatflow.device.results.report import (
    FORMAT,
    Agreement,
    DeviceAccuracy,
    DeviceReport,
    IntegerPart,
    ModelReport,
    Models,
    OperatorTime,
    Profile,
    Temperature,
    TensorForm,
    Timing,
)
from qatflow.device.results.warnings import ratio, slower_than_float

THREADS = (1, 2, 4)
FEATURES = ("fp", "asimd", "asimddp")
INT8_KERNELS = {"Convert (NC)": 2.0, "Fully Connected (NC, QS8, QC8W) GEMM": 96.0, "Softmax (NC, F32)": 2.0}


def description(
    emulated: bool = False, features: Sequence[str] = FEATURES, governor: str | None = "performance"
) -> DeviceDescription:
    return DeviceDescription(
        type="emulator" if emulated else "adb",
        name="phone",
        model="qatflow Phone",
        system="Android 11",
        machine="aarch64",
        abis=("arm64-v8a",),
        cpu="X1",
        features=tuple(features),
        cores=8,
        governor=governor,
        frequency=None if emulated else (CpuFrequency("0 1", governor, 300_000, 1_800_000, 2_400_000),),
        emulated=emulated,
    )


def timing(milliseconds: float, threads: int, emulated: bool = False, stddev: float = 0.01) -> Timing:
    return Timing(
        emulated, threads, warmup=1, runs=10, load_ms=20 * milliseconds, expand_ms=0.0, first_ms=2 * milliseconds,
        min_ms=0.9 * milliseconds, mean_ms=milliseconds, median_ms=milliseconds, p90_ms=1.1 * milliseconds,
        max_ms=1.2 * milliseconds, stddev_ms=stddev, peak_memory_bytes=int(milliseconds * 1_000_000),
    )  # fmt: skip


def model(
    milliseconds: Sequence[float],
    size: int,
    kernels: dict[str, float],
    emulated: bool = False,
    stddev: float = 0.01,
    instructions: int | None = None,
) -> ModelReport:
    operators = tuple(OperatorTime(i, name, p / 10, p / 20, p / 5, p) for i, (name, p) in enumerate(kernels.items()))
    return ModelReport(
        sha256="0" * 64,
        bytes=size,
        packed_bytes=None,
        input=TensorForm("float32", (1, 8, 8, 1)),
        output=TensorForm("float32", (1, 10)),
        agreement=Agreement(200, False, 2e-7, "of a probability", 1e-6, "as asked", IntegerPart("logits", True)),
        accuracy=DeviceAccuracy("validation", 200, 0.9, 0.99, 0.9, 0.99),
        timing=tuple(timing(ms, n, emulated, stddev) for ms, n in zip(milliseconds, THREADS, strict=True)),
        profile=Profile(emulated, 1, 10, operators),
        instructions=instructions,
    )


def report(
    float_ms: Sequence[float] = (8.0, 5.0, 3.0),
    int8_ms: Sequence[float] = (4.0, 2.0, 2.0),
    *,
    device: DeviceDescription | None = None,
    kernels: dict[str, float] | None = None,
    stddev: float = 0.01,
    instructions: tuple[int | None, int | None] = (None, None),
) -> DeviceReport:
    about = device or description()
    both = Models(
        float=model(float_ms, 4000, {"Softmax (NC, F32)": 100.0}, about.emulated, stddev, instructions[0]),
        int8=model(int8_ms, 1000, kernels or INT8_KERNELS, about.emulated, stddev, instructions[1]),
    )
    return DeviceReport(
        format_version=FORMAT,
        device=about,
        litert_version="2.3.0",
        models=both,
        ratio=ratio(both),
        threads_left_out=(),
        temperature=None if about.emulated else (Temperature("cpu-0-0", 41.5, 48.25),),
        warnings=tuple(slower_than_float(both, about)),
        provenance={},
    )
