"""How fast the models are on the device: times for each number of threads, and for each operator."""

from collections.abc import Sequence
from dataclasses import dataclass

from qatflow.base.errors import UserError
from qatflow.device.interface import Device, DeviceDescription
from qatflow.device.results.report import Profile, Temperature, Timing
from qatflow.device.results.words import cores
from qatflow.device.run.demo import Demo
from qatflow.device.run.inputs import ModelFolder


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


def temperatures_around(before: dict[str, float], device: Device) -> tuple[Temperature, ...] | None:
    """Return the sensors' readings from `before` and now; None if there were none."""
    after = device.temperatures() if before else {}
    return tuple(Temperature(sensor, celsius, after.get(sensor)) for sensor, celsius in before.items()) or None
