"""What a job needs on a cluster, from figures measured here: memory, and time by the size of the experiment.

Measured with MobileNetV1 on two cores of an AMD EPYC, memory as the peak resident set of the rule's program, in MiB;
of programs with several processes all together, with shared memory counted once.
The test holds these figures against what is asked for:

    program                 32 × 32, width 0.5, batch 128   224 × 224 × 3, width 1, batch 32
                            (55,000 training, 5,000         (197 training, 400 validation,
                            validation, 10,000 test)        400 test)
    pretrained.py           883                             3303
    compress.py             1081                            3782
    evaluate_candidate.py   943 (40,000, 20,000)            -
    evaluate_fake_quant.py  785                             1369
    evaluate.py, gate.py    60                              170
      with two processes                                    357
      with four             159
    ptq.py                  74                              198
      with four                                             600
    inspect_layers.py       62                              156
    others                  at most 137 (build_demo.py)     at most 139

Activations, and the work on them, grow with pixels and channels, which `scale` counts.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from qatflow.config.sections.config import Config
from qatflow.config.sections.device import DeviceSection
from qatflow.data.evaluation_batch import evaluation_batch
from qatflow.training.batch import default_batch

MEASURED_CORES = 2
"""Of the machine on which the times were measured."""
MARGIN = 1.5
"""Of memory, over what is expected."""
SLOWER = 4
"""Of time: a cluster's node may be that much slower, shared as it is."""
SNAKEMAKE_MB = 300
"""A job on a cluster holds a Snakemake of 175 MB, which is counted twice for a moment, as it forks its program."""
START_MINUTES = 10
"""Imports from a shared file system, and whatever else does not grow with the data."""
LONGEST_MINUTES = 24 * 60
"""No first attempt asks for more, for few partitions have more to give: training goes on from its state in the next."""

TENSORFLOW_MB = 700
LITERT_MB = 60
IN_MEMORY_MB = 2000
"""Training keeps each split in memory up to here (`qatflow.data.pipeline.IN_MEMORY`), and has it twice at first."""
# A picture's activations in MB, and its time in ms on two cores, at `scale` 1: in float training, in training for int8,
# evaluated by Keras, and by LiteRT with one thread, whose pictures are decoded first.
FLOAT_MB, FLOAT_MS = 0.87, 0.75
INT8_MB, INT8_MS = 1.5, 1.0
FORWARD_MB = 0.16
LITERT_ARENA_MB, LITERT_MS = 0.5, 0.1
DECODE_MS = 0.5
EXCHANGED_MS = 7.0
"""A picture at `scale` 1 with each layer exchanged by itself, twice, on one core."""
INSPECTED = 50
"""Pictures that inspect_layers looks at tensor by tensor."""
PROCESS_MB = 40
"""Of each process that runs pictures by LiteRT: its batch, decoded and normalised, and what it does not share."""


@dataclass(frozen=True)
class Cost:
    """What a job is expected to take.

    Attributes:
        mb: memory of its program.
        seconds: on two cores of the machine that was measured.
    """

    mb: float
    seconds: float

    def memory_mb(self, attempt: int) -> int:
        """Return the memory to ask for, twice as much at each further attempt (counted from 1)."""
        return math.ceil(self.mb * MARGIN + SNAKEMAKE_MB) * 2 ** (attempt - 1)

    def runtime_minutes(self, attempt: int) -> int:
        """Return the time to ask for, twice as much at each further attempt (counted from 1)."""
        first = min(math.ceil(START_MINUTES + self.seconds * SLOWER / 60), LONGEST_MINUTES)
        return first * 2 ** (attempt - 1)


# Activations of a network at width 1, as many times MobileNetV1's, by counting them; not measured. For a model of one's
# own the most is taken.
ACTIVATIONS = {
    "MobileNetV1": 1.0, "MobileNetV2": 1.5, "MobileNetV3Small": 0.5, "ResNet50": 3.0, "EfficientNetB0": 2.5,
}  # fmt: skip
WIDENED = ("MobileNetV1", "MobileNetV2", "MobileNetV3Small")
LARGEST = max(ACTIVATIONS.values())
LIGHT = Cost(mb=140, seconds=20)
"""Programs that look at no picture but a few: what they ask for."""
LIGHT_SECONDS = 2.0
"""What they are expected to take."""
BUILD_SECONDS = 15.0
"""Of the C++ program."""
START_S, COUNTED_S = 0.4, 1.5
"""A start of the C++ program with a model, in the emulator or over adb; and one whose instructions are counted."""
EMULATED_MS, COUNTED_MS, PHONE_MS = 45.0, 700.0, 2.0
"""A picture at `scale` 1, by float and int8: in the emulator, counted there on the way, and on a phone."""


def scale(config: Config) -> float:
    """Return how many times as large a picture's activations are as MobileNetV1's at 32 × 32 and width 0.5."""
    network = config.model.network
    width = config.model.width if network in WIDENED else 1.0
    return config.data.preprocessing.picture_size.pixels / 32**2 * ACTIVATIONS.get(network or "", LARGEST) * width / 0.5


def decoded_mb(config: Config, pictures: int, value_bytes: int = 4) -> float:
    """Return the memory of decoded and resized pictures, float32 by default."""
    section = config.data.preprocessing
    return pictures * section.picture_size.pixels * section.channels * value_bytes / 1e6


def pictures(manifest: Path) -> dict[str, int]:
    """Return how many pictures each split of prepared data has.

    Raises:
        FileNotFoundError: they are not prepared yet; Snakemake asks again when they are.
    """
    splits = json.loads(manifest.read_text(encoding="utf-8"))["splits"]
    return {name: split["count"] for name, split in splits.items()}


def training(
    config: Config,
    counts: dict[str, int],
    *,
    epochs: int,
    batch_size: int,
    picture_mb: float,
    picture_ms: float,
    kept: bool = True,
) -> Cost:
    """Return what a training takes.

    Args:
        config: the experiment.
        counts: pictures of each split.
        epochs: passes over the training pictures, each followed by one over the validation pictures.
        batch_size: pictures a step.
        picture_mb: memory of a picture's activations and gradients at `scale` 1.
        picture_ms: time of a training picture at `scale` 1.
        kept: whether small splits are kept in memory; pictures that are seen once are not.
    """
    evaluated = evaluation_batch(config.data.preprocessing.picture_size)
    batch_mb = scale(config) * max(batch_size * picture_mb, evaluated * FORWARD_MB)
    value_bytes = 1 if config.data.preprocessing.resize == "pad" else 4
    splits = (decoded_mb(config, counts[split], value_bytes) for split in ("train", "validation"))
    kept_mb = sum(2 * min(mb, IN_MEMORY_MB) for mb in splits) if kept else 0.0
    seen = epochs * (counts["train"] + counts["validation"] / 3)  # the way forward is a third of the work
    return Cost(TENSORFLOW_MB + batch_mb + kept_mb, seen * scale(config) * picture_ms / 1000)


def _batch(batch_size: int | None, counts: dict[str, int]) -> int:
    return batch_size or default_batch(counts["train"])


def float_training(config: Config, counts: dict[str, int]) -> Cost:
    """Return what make_pretrained takes, where it trains; weights that are only read take less."""
    section = config.pretrained.train
    return training(
        config,
        counts,
        epochs=section.epochs,
        batch_size=_batch(section.batch_size, counts),
        picture_mb=FLOAT_MB,
        picture_ms=FLOAT_MS,
    )


def int8_training(config: Config, counts: dict[str, int], epochs: int) -> Cost:
    """Return what train_int8 takes with that many epochs; pictures without labels count as if it shows them."""
    shown = {**counts, "train": counts["train"] + counts.get("unlabeled", 0)}
    return training(
        config,
        shown,
        epochs=epochs,
        batch_size=_batch(config.compress.batch_size, counts),
        picture_mb=INT8_MB,
        picture_ms=INT8_MS,
    )


def candidate_evaluation(config: Config, counts: dict[str, int], epochs: int) -> Cost:
    """Return what evaluate_candidate takes with that many epochs, counted as one more for the evaluation."""
    return training(
        config,
        counts,
        epochs=epochs + 1,
        batch_size=_batch(config.compress.batch_size, counts),
        picture_mb=FLOAT_MB,
        picture_ms=FLOAT_MS,
    )


def fake_quant_evaluation(config: Config, counts: dict[str, int]) -> Cost:
    """Return what evaluating a fake-quantised Keras model on the test pictures takes."""
    batch, seen = evaluation_batch(config.data.preprocessing.picture_size), {"train": counts["test"], "validation": 0}
    return training(config, seen, epochs=1, batch_size=batch, picture_mb=FORWARD_MB, picture_ms=INT8_MS, kept=False)


def inspection(config: Config, pictures: int, cores: int) -> Cost:
    """Return what inspect_layers takes: a pass over a few pictures, then for each of the others one for each layer.

    Args:
        config: the experiment.
        pictures: of the validation split.
        cores: that the job is given.
    """
    first = inference(config, min(INSPECTED, pictures), models=5, cores=cores)
    exchanged = min(config.inspect.sensitivity_pictures, pictures)
    return Cost(first.mb, first.seconds + exchanged * scale(config) * EXCHANGED_MS / 1000 / cores)


def choice_of_widths(config: Config, pictures: int, precisions: int, cores: int) -> Cost:
    """Return what choose_widths takes: ranges, then for each picture each layer in each precision, and the curve.

    Args:
        config: the experiment.
        pictures: on which the layers are tried.
        precisions: that a layer may have.
        cores: that the job is given.
    """
    ranges = inference(config, config.data.calibration, models=2 + 3 * precisions, cores=1)
    tried = pictures * scale(config) * EXCHANGED_MS * precisions / 1000 / cores
    return Cost(inference(config, pictures, models=2 + 3 * precisions, cores=cores).mb, ranges.seconds + tried)


def inference(config: Config, pictures: int, models: int, cores: int) -> Cost:
    """Return what LiteRT takes for pictures, by each of so many models, with a process on each core.

    Args:
        config: the experiment.
        pictures: their number, on which memory does not depend: they are read batch by batch.
        models: that each process holds.
        cores: that the job is given.
    """
    return Cost(
        LITERT_MB + cores * (PROCESS_MB + models * scale(config) * LITERT_ARENA_MB),
        pictures * (DECODE_MS + models * scale(config) * LITERT_MS) / 1000 / cores,
    )


def device_run(config: Config, device: DeviceSection, validation: int | None) -> Cost:
    """Return what run_on_device takes: pictures, timed runs and profiles, and the instructions in the emulator.

    Args:
        config: the experiment.
        device: section of the device.
        validation: number of validation pictures; None: there are enough.
    """
    shown = device.pictures if validation is None else min(device.pictures, validation)
    timed = len(device.threads) * (1 + device.warmup + device.repeats) + device.warmup + 2 * device.repeats
    emulated = device.type == "emulator" and not device.runs_here
    seconds = 2 * (len(device.threads) + 2) * START_S
    seconds += (shown + timed) * scale(config) * (EMULATED_MS if emulated else PHONE_MS) / 1000
    if emulated and device.count_instructions:
        seconds += 5 * COUNTED_S + scale(config) * COUNTED_MS / 1000
    return Cost(LIGHT.mb, seconds)
