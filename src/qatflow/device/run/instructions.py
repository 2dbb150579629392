"""Instructions that one inference executes: what stands for its time where times mean nothing, in the emulator."""

from qatflow.device.build.bundle import Bundle
from qatflow.device.interface import Device

CALL_SECONDS = 600.0
BEFORE = 1  # runs before those counted: the first sets up what later ones find
RUNS = 5


def count_instructions(device: Device, bundle: Bundle, folder: str, runs: int = RUNS) -> int | None:
    """Return how many instructions of the processor one inference of a model executes, with one thread.

    The program is run twice, with `runs` inferences more the second time, and the difference divided by them: start-up,
    loading and printing are the same in both and cancel. The inferences counted are those of an input of ones, each
    with the two readings of the clock around it. The same model, bundle and CPU give the same number.

    Args:
        device: where the program lies.
        bundle: the program, pushed there already (see `demo.Demo`).
        folder: of the model on the device.
        runs: inferences that are counted.

    Returns:
        The number, rounded to a whole one; None where the device cannot count.

    Raises:
        DeviceError: the program failed, or did not end in time.
    """
    counts = []
    for warmup in (BEFORE, BEFORE + runs):
        # of one length, or the stack begins elsewhere, and functions that go by alignment take another way
        times = f"--warmup={warmup:07}"
        command = bundle.command(f"--model_dir={folder}", "--threads=1", times, "--repeats=1")
        count = device.count_instructions(command, CALL_SECONDS)
        if count is None:
            return None
        counts.append(count)
    return round((counts[1] - counts[0]) / runs)
