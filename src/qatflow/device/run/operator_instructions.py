"""Instructions of each operator of a model, from one profiled run in the emulator.

LiteRT's profiler reads the clock where an operator begins and ends. The emulator logs each such system call with its
result, between the blocks that the program executes. So an operator is the stretch between two readings of the clock
that lie as far apart as the profiler says; what was executed in between is what the operator executed. It includes one
reading of the clock (some ten instructions) and, of operators that LiteRT computes itself, what its profiler does on
the way (some hundred). Nothing is spread or estimated: where the stretches are not certain, there are no figures.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from qatflow.device.build.bundle import Bundle
from qatflow.device.interface import Device, SystemCall
from qatflow.device.results.report import Profile
from qatflow.device.run.demo import Demo

FILE = "instructions.json"
CALL_SECONDS = 600.0
ATTEMPTS = 2
"""Stretches that by chance are as long as each other differ in the next run."""
READING = re.compile(r"CLOCK_MONOTONIC,.*tv_sec = (\d+),\s*tv_nsec = (\d+)")
MEMORY = ["getrusage", "openat", "read", "close"]
"""What LiteRT calls to note its memory, after it has read the clock where one of its own operators begins."""


@dataclass(frozen=True)
class Stretch:
    """What lies between two readings of the clock, one after the other.

    Attributes:
        nanoseconds: between the readings.
        instructions: executed.
    """

    nanoseconds: int
    instructions: int


def operator_instructions(device: Device, bundle: Bundle, demo: Demo, folder: str, profile: Profile) -> Profile:
    """Return the profile with the instructions of each operator, with one thread; without, where they are not known.

    Args:
        device: where the program is.
        bundle: the program.
        demo: the same program, to read what it writes.
        folder: the model's folder on the device.
        profile: times of the model's operators.

    Raises:
        DeviceError: the program failed, or did not end in time.
    """
    command = bundle.command(
        f"--model_dir={folder}", "--threads=1", "--warmup=0", "--repeats=1", "--profile", f"--json={FILE}"
    )
    for _ in range(ATTEMPTS):
        calls = device.system_calls(command, CALL_SECONDS)
        if calls is None:
            return profile
        operators = demo.operators(FILE)
        if [one.kernel for one in operators] != [one.kernel for one in profile.operators]:
            return profile
        counted = matched(list(stretches(calls)), [round(1000 * one.mean_ms) for one in operators])
        if counted is not None:
            return profile.with_instructions(counted)
    return profile


def stretches(calls: Iterable[SystemCall]) -> Iterator[Stretch]:
    """Yield what lies between the readings of the clock; LiteRT's own notes of memory are left out."""
    last: int | None = None
    begin = 0
    between: list[str] = []
    for call in calls:
        reading = READING.search(call.text) if call.name == "clock_gettime" else None
        if reading is None:
            between.append(call.name)
            if between == MEMORY:
                begin = call.instructions
            continue
        now = int(reading[1]) * 10**9 + int(reading[2])
        if last is not None:
            yield Stretch(now - last, call.instructions - begin)
        last, begin, between = now, call.instructions, []


def matched(found: Sequence[Stretch], microseconds: Sequence[int]) -> list[int] | None:
    """Return the instructions of operators that take so long, in this order; None where they are not certain.

    The last run is the profiled one, so they are looked for from the end; then again from before the first of these on,
    which must give the same: what lies between the first two operators may be as long as the first.
    """
    backwards = _places(list(reversed(found)), list(reversed(microseconds)))
    if not backwards:
        return None
    places = [len(found) - 1 - place for place in reversed(backwards)]
    begin = max(places[0] - 1, 0)
    again = _places(found[begin:], microseconds)
    if again is None or [begin + place for place in again] != places:
        return None
    return [found[place].instructions for place in places]


def _places(found: Sequence[Stretch], microseconds: Sequence[int]) -> list[int] | None:
    """Return where the first stretches of these lengths are, each behind the one before; None where one is missing."""
    places: list[int] = []
    at = 0
    for length in microseconds:
        # the profiler has rounded both ends, or the difference, to microseconds
        while at < len(found) and abs(found[at].nanoseconds / 1000 - length) > 1:
            at += 1
        if at == len(found):
            return None
        places.append(at)
        at += 1
    return places
