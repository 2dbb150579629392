"""Instructions that one inference executes: in the emulator, where times mean nothing, they take their place."""

from qatflow.device.build.bundle import Bundle
from qatflow.device.interface import Device

CALL_SECONDS = 600.0
BEFORE = 1  # runs before the counted ones: the first one also sets things up
RUNS = 5


def count_instructions(device: Device, bundle: Bundle, folder: str, runs: int = RUNS) -> int | None:
    """Return how many instructions of the processor one inference of a model executes, with one thread.

    The program runs twice, the second time with `runs` more inferences, and the difference is divided by `runs`:
    start-up, loading and printing are the same in both, and cancel out. The counted inferences have an input of ones,
    and each includes the two readings of the clock around it. The same model, bundle and CPU give the same number.

    Args:
        device: where the program is.
        bundle: the program, pushed there already (see `demo.Demo`).
        folder: the model's folder on the device.
        runs: number of counted inferences.

    Returns:
        The number, rounded to an integer; None if the device cannot count.

    Raises:
        DeviceError: the program failed, or did not end in time.
    """
    counts = []
    for warmup in (BEFORE, BEFORE + runs):
        # same length in both calls: else the stack starts elsewhere, and functions that depend on alignment differ
        times = f"--warmup={warmup:07}"
        command = bundle.command(f"--model_dir={folder}", "--threads=1", times, "--repeats=1")
        count = device.count_instructions(command, CALL_SECONDS)
        if count is None:
            return None
        counts.append(count)
    return round((counts[1] - counts[0]) / runs)
