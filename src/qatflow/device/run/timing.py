"""How fast the models are on the device: times for each number of threads, and for each operator."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from qatflow.base.errors import UserError
from qatflow.device.interface import Device, DeviceDescription
from qatflow.device.results.report import LongTiming, Profile, Temperature, Timing, Try
from qatflow.device.results.words import cores
from qatflow.device.run.demo import Demo
from qatflow.device.run.inputs import ModelFolder
from qatflow.device.timing_rules import TimingRules


@dataclass(frozen=True)
class Measured:
    """A model's times.

    Attributes:
        text: the program's output at the first number of threads.
        timing: one entry per number of threads.
        profile: times of the operators, at the first number of threads.
    """

    text: str
    timing: tuple[Timing, ...]
    profile: Profile


def threads_to_time(threads: Sequence[int], about: DeviceDescription) -> tuple[int, ...]:
    """Return the numbers of threads that the device has cores for: more of them share cores, and times say little.

    Raises:
        UserError: the first number, which gate and profile use, is too high.
    """
    if threads[0] > about.cores:
        raise UserError(
            f"device.threads starts with {threads[0]}, but device {about.name} has {cores(about)} that can be used: "
            "start with no more"
        )
    return tuple(number for number in threads if number <= about.cores)


def time_models(
    demo: Demo, models: Sequence[ModelFolder], threads: Sequence[int], warmup: int, repeats: int
) -> list[Measured]:
    """Time models that are on the device already, alternating at each number of threads, so that all run equally warm.

    Args:
        demo: the program on the device.
        models: the models.
        threads: numbers of threads.
        warmup: runs before the timed ones.
        repeats: timed runs.

    Raises:
        UserError: the device failed.
    """
    runs = [[demo.all_ones(model.name, number, warmup, repeats) for model in models] for number in threads]
    return [
        Measured(
            text=runs[0][place][0],
            timing=tuple(run[place][1] for run in runs),
            profile=demo.profile(model.name, threads[0], warmup, repeats),
        )
        for place, model in enumerate(models)
    ]


def time_long(
    demo: Demo, device: Device, models: Sequence[ModelFolder], threads: int, warmup: int, rules: TimingRules
) -> list[LongTiming]:
    """Time models that are on the device already by rules that show heat: in each try one model after the other.

    Args:
        demo: the program on the device.
        device: it.
        models: the models.
        threads: number of threads.
        warmup: runs before the timed ones of each try.
        rules: how often and how long.

    Raises:
        UserError: the device failed.
    """
    tries: list[list[Try]] = [[] for _ in models]
    for number in range(1, rules.tries + 1):
        if number > 1:
            print(f"pause of {rules.pause_seconds:g} s before the next try", file=sys.stderr, flush=True)
            time.sleep(rules.pause_seconds)
        for model, done in zip(models, tries, strict=True):
            before = device.temperatures()
            _, timing = demo.all_ones(model.name, threads, warmup, rules.min_runs, rules.min_seconds)
            seconds = timing.mean_ms * timing.runs / 1000
            done.append(Try(timing.runs, seconds, timing.median_ms, timing.p90_ms, temperatures_around(before, device)))
            print(
                f"{model.name}, try {number} of {rules.tries}: 90th percentile {timing.p90_ms:.3f} ms of {timing.runs} "
                f"runs in {seconds:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    return [long_timing(rules, threads, done) for done in tries]


def long_timing(rules: TimingRules, threads: int, tries: Sequence[Try]) -> LongTiming:
    """Return the latency and the spread of tries."""
    slowest, fastest = (choose(one.p90_ms for one in tries) for choose in (max, min))
    spread = round(100 * (slowest / fastest - 1), 9)  # 4.2 to 4.0 are 5 %, whatever the bits of the quotient
    return LongTiming(
        rules=rules.name,
        threads=threads,
        min_runs=rules.min_runs,
        min_seconds=rules.min_seconds,
        pause_seconds=rules.pause_seconds,
        tries=tuple(tries),
        p90_ms=slowest,
        spread_percent=spread,
        max_spread_percent=rules.max_spread_percent,
        stable=spread <= rules.max_spread_percent,
    )


def temperatures_around(before: dict[str, float], device: Device) -> tuple[Temperature, ...] | None:
    """Return the sensors' readings from `before` and now; None if there were none."""
    after = device.temperatures() if before else {}
    return tuple(Temperature(sensor, celsius, after.get(sensor)) for sensor, celsius in before.items()) or None
