"""The ratio of float to int8, and warnings: int8 that is not faster, cores that run below their full speed."""

from collections.abc import Iterator

from qatflow.device.interface import DeviceDescription
from qatflow.device.results.report import ModelReport, Models, Ratio, ThreadsRatio, Timing
from qatflow.device.results.words import threads

# The instructions that speed up int8 kernels most; from ARMv8.2 on, so not in Cortex-A53, A57, A72 and A73.
DOT_PRODUCT = "asimddp"
# Of the int8 model's time; a fully int8 model spends 1 to 3 % on converting its input and on the float softmax.
FLOAT_PERCENT = 10.0
SHORT_MS = 0.5


def ratio(models: Models) -> Ratio | None:
    """Return float divided by int8, without ratios for emulated times; None if there is no float model."""
    if models.float is None:
        return None
    both = list(zip(models.float.timing, models.int8.timing, strict=True))
    first_float, first_int8 = both[0]
    emulated = first_float.emulated or first_int8.emulated
    memory = (first_float.peak_memory_bytes, first_int8.peak_memory_bytes)
    long = (models.float.long_timing, models.int8.long_timing)
    instructions = (models.float.instructions, models.int8.instructions)
    return Ratio(
        bytes=models.float.bytes / models.int8.bytes,
        median_ms=None
        if emulated
        else tuple(ThreadsRatio(float_.threads, float_.median_ms / int8.median_ms) for float_, int8 in both),
        load_ms=None if emulated else first_float.load_ms / first_int8.load_ms,
        peak_memory_bytes=None if emulated or None in memory else memory[0] / memory[1],  # type: ignore[operator]
        instructions=None if None in instructions else instructions[0] / instructions[1],  # type: ignore[operator]
        long_ms=None if emulated or long[0] is None or long[1] is None else long[0].p90_ms / long[1].p90_ms,
    )


def slower_than_float(models: Models, device: DeviceDescription, quantised: str = "int8") -> Iterator[str]:
    """Yield a warning if int8 is not faster than float at some number of threads, with likely reasons and remedies.

    Emulated times are ignored; `quantised` is what the model that ships is called.
    """
    if models.float is None:
        return
    pairs = [
        (float_, int8)
        for float_, int8 in zip(models.float.timing, models.int8.timing, strict=True)
        if not int8.emulated and int8.median_ms >= float_.median_ms
    ]
    if not pairs:
        return
    times = ", ".join(
        f"{int8.median_ms:.3g} ms against {float_.median_ms:.3g} ms with {threads(int8.threads)}"
        for float_, int8 in pairs
    )
    reasons = " ".join(_reasons(models.int8, device, pairs, quantised))
    yield f"{quantised} is not faster than float on {device.name}: {times}. {reasons}"


def not_stable(models: Models, device: DeviceDescription) -> Iterator[str]:
    """Yield a warning for each model whose tries differ by more than the rules of the timing allow."""
    for name, model in models.named.items():
        long = model.long_timing
        if long is not None and not long.stable:
            yield (
                f"The times of {name} on {device.name} are not stable: the 90th percentiles of {len(long.tries)} tries "
                f"differ by {long.spread_percent:.1f} %, and {long.rules} allows {long.max_spread_percent:g} %. Run "
                "nothing else on the device, let it cool down, and fix its frequency if you can."
            )


def held_back(device: DeviceDescription) -> Iterator[str]:
    """Yield a warning for cores that are not allowed to run at their full speed."""
    for cores in device.frequency or ():
        if cores.max_khz is not None and cores.hardware_max_khz is not None and cores.max_khz < cores.hardware_max_khz:
            yield (
                f"cores {cores.cores} of {device.name} may run at {cores.max_khz / 1000:.0f} MHz of "
                f"{cores.hardware_max_khz / 1000:.0f}: is it hot, or saving battery? Its times are longer than they "
                "could be."
            )


def _reasons(
    int8: ModelReport, device: DeviceDescription, pairs: list[tuple[Timing, Timing]], quantised: str
) -> Iterator[str]:
    if all(abs(float_.median_ms - int8.median_ms) <= max(float_.stddev_ms, int8.stddev_ms) for float_, int8 in pairs):
        yield "The times differ by less than their spread: raise device.repeats, and run nothing else on the device."
    if device.features and DOT_PRODUCT not in device.features:
        yield (
            f"Its CPU has no dot-product instructions ({DOT_PRODUCT}, from ARMv8.2 on), which speed up int8 "
            "kernels most: expect little gain in time there; a smaller model.alpha or data.preprocessing.size gains "
            "more."
        )
    percent = sum(operator.percent for operator in int8.profile.operators if in_float(operator.kernel))
    if percent > FLOAT_PERCENT:
        yield (
            f"{percent:.0f} % of the {quantised} model's time is spent in operators that compute in float or convert "
            "(see its profile): quantise more layers (skip_pattern, quantizable_op_type in the compress YAML)."
        )
    if all(int8.median_ms < SHORT_MS for _, int8 in pairs):
        yield (
            f"A run takes less than {SHORT_MS:g} ms, much of which is the same for any model: {quantised} gains "
            "more with larger models, and with one thread."
        )
    elif len(pairs) < len(int8.timing) and pairs[0][1].threads > 1:
        yield (
            f"With fewer threads {quantised} is faster: more threads than the model has work for cost more than they "
            "gain."
        )
    if device.governor not in (None, "performance"):
        yield (
            f"The frequency of its cores is set by the governor {device.governor}: raise device.warmup and "
            "device.repeats, so that both models are timed at full speed."
        )
    yield "The times of the operators in report.json show where the time goes."


def in_float(kernel: str) -> bool:
    """Return whether an operator computes in float or converts between float and int8, judging by its LiteRT name."""
    return "F32" in kernel or "F16" in kernel or kernel.startswith("Convert")
