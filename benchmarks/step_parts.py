"""Where the time of a training step goes: parts of fake quantisation switched off, and TensorFlow's profile."""

import contextlib
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

PROFILED, SHOWN = 10, 22
"""Steps in a profile, and operations in its table."""
QUANTIZERS = "qatflow.compress.quantizers"


def parts() -> dict[str, Callable[[], Any]]:
    """Return the parts of the default types' fake quantisation, each with a context in which models lack it."""
    return {
        "weights": lambda: patch(f"{QUANTIZERS}.weights.fake_quant_weight", lambda kernel, *_: kernel),
        "range statistics": _without_statistics,
        "gradient's mask": _without_mask,
        "activations": lambda: patch(f"{QUANTIZERS}.activations.fake_quant", lambda x, *_: x),
        "activations, range statistics": _without_activations,
    }


@contextlib.contextmanager
def _without_statistics() -> Iterator[None]:
    from qatflow.compress.quantizers.moving_average_abs_max import MovingAverageAbsMax

    observe = MovingAverageAbsMax.observe

    def known_in_training(self: Any, inputs: Any, state: Any) -> Any:
        return (observe if self.phase.mode == "calibrate" else MovingAverageAbsMax.known)(self, inputs, state)

    with patch.object(MovingAverageAbsMax, "observe", known_in_training):
        yield


@contextlib.contextmanager
def _without_mask() -> Iterator[None]:
    import tensorflow as tf

    from qatflow.compress.quantizers.activations import fake_quant

    def straight_through(x: Any, *grid: Any) -> Any:
        @tf.custom_gradient
        def all_pass(values: Any) -> tuple[Any, Any]:
            return fake_quant(values, *grid), lambda upstream: upstream

        return all_pass(x)

    with patch(f"{QUANTIZERS}.activations.fake_quant", straight_through):
        yield


@contextlib.contextmanager
def _without_activations() -> Iterator[None]:
    with _without_statistics(), patch(f"{QUANTIZERS}.activations.fake_quant", lambda x, *_: x):
        yield


def profiled(
    case: str, steps: Mapping[str, Callable[[Any, Any], Any]], data: Sequence[tuple[Any, Any]]
) -> Iterator[str]:
    """Yield the lines of a table of ms by operation, those first that differ most between the first two steps."""
    profiles = [_profile(step, data) for step in steps.values()]
    every = set().union(*profiles)
    shown = sorted(every, key=lambda name: -abs(profiles[1][name] - profiles[0][name]))[:SHOWN]
    yield f"| {case} | {' | '.join(steps)} |"
    yield "|---" * (len(profiles) + 1) + "|"
    for name in shown:
        yield f"| {name} | {' | '.join(f'{profile[name]:.2f}' for profile in profiles)} |"
    rest = [sum(value for name, value in profile.items() if name not in shown) for profile in profiles]
    yield f"| all others | {' | '.join(f'{value:.2f}' for value in rest)} |"
    yield ""


def _profile(step: Callable[[Any, Any], Any], data: Sequence[tuple[Any, Any]]) -> Counter[str]:
    """Return the ms that each operation takes in a step."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    float(step(*data[0]))
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for batch in itertools.islice(itertools.cycle(data), PROFILED):
            float(step(*batch))
        tf.profiler.experimental.stop()
        (file,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    spent: Counter[str] = Counter()
    for plane in space.planes:
        if "CPU" in plane.name:
            for line in plane.lines:
                for event in line.events:
                    name = plane.event_metadata[event.metadata_id].name
                    node, _, operation = name.rpartition(":")
                    if node and not node.endswith(":") and operation.isalnum() | operation.startswith("_Mkl"):
                        spent[operation.removeprefix("_MklNative")] += event.duration_ps / 1e9 / PROFILED
    return spent
