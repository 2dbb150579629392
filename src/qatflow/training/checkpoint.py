"""The state of a training run in one file, written atomically: variables, progress and history.

safetensors files hold no code, load on any device, and have the same bytes for the same state.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from qatflow.base.files import whole_file
from qatflow.training.history import EpochFigures


@dataclass(frozen=True)
class TrainingProgress:
    """How far a run is.

    Attributes:
        epoch: epoch to continue with, counted from 0.
        step: steps of that epoch already done.
        history: figures of the finished epochs.
        notes: what the strategies remember, as plain JSON values.
    """

    epoch: int = 0
    step: int = 0
    history: tuple[EpochFigures, ...] = ()
    notes: Mapping[str, Any] | None = None


def save(folder: Path, variables: Sequence[Any], progress: TrainingProgress, keep: int) -> Path:
    """Write a checkpoint and remove all but the `keep` newest.

    Args:
        folder: of the checkpoints.
        variables: TensorFlow variables, in an order that is the same at every start.
        progress: how far the run is.
        keep: number of checkpoints to keep.
    """
    path = folder / f"checkpoint-{progress.epoch:05d}-{progress.step:07d}.safetensors"
    arrays = {f"{place:05d}": np.asarray(variable.numpy()) for place, variable in enumerate(variables)}
    content = serialize(arrays, metadata={"progress": json.dumps(asdict(progress))})
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
    for old in checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in `folder`, oldest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def newest(folder: Path) -> tuple[TrainingProgress, list[np.ndarray]]:
    """Return how far the newest whole checkpoint is, and the values of its variables.

    `TrainingProgress()` and no values where there is no checkpoint. A damaged one is skipped with a message.
    """
    for path in reversed(checkpoints(folder)):
        try:
            with safe_open(path, framework="numpy") as file:
                saved = json.loads(file.metadata()["progress"])
                values = [file.get_tensor(name) for name in sorted(file.keys())]
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            print(f"{path}: damaged ({error}); going back to the one before", flush=True)
            continue
        history = tuple(EpochFigures(**figures) for figures in saved.pop("history"))
        return TrainingProgress(**saved, history=history), values
    return TrainingProgress(), []
