"""What filter pruning did to a network, from trained/manifest.json: in words and as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qatflow.base.sums import read_sealed
from qatflow.graph.counts import Count
from qatflow.pruning.record import PrunedLayer
from qatflow.pruning.sensitivity import Sensitivity


@dataclass(frozen=True)
class Pruning:
    """One removal of channels.

    Attributes:
        epoch: the epoch before which channels were removed.
        metric: PaddleSlim's name of the accuracy on the validation pictures.
        metric_before: its value before, from 0 to 1.
        metric_after: its value after, before the smaller network was trained.
        before: multiply-adds and parameters of the network before.
        after: the same after.
        ratios: fraction of channels removed, by group of layers.
        layers: every layer with a kernel.
        sensitivities: sensitivities by group; none if all groups lost the same fraction.
    """

    epoch: int
    metric: str
    metric_before: float
    metric_after: float
    before: Count
    after: Count
    ratios: Mapping[str, float]
    layers: tuple[PrunedLayer, ...]
    sensitivities: Mapping[str, Sensitivity]

    def text(self) -> str:
        """Return the removal in one sentence."""
        adds, parameters = (
            f"{_millions(getattr(self.before, count))} → {_millions(getattr(self.after, count))} "
            f"(−{100 * (1 - getattr(self.after, count) / getattr(self.before, count)):.1f} %)"
            for count in ("multiply_adds", "parameters")
        )
        return (
            f"pruned before epoch {self.epoch}: multiply-adds {adds}, parameters {parameters}; {self.metric} on the "
            f"validation pictures {100 * self.metric_before:.2f} → {100 * self.metric_after:.2f} %, before training"
        )


def read_pruning(manifest: Path) -> tuple[Pruning, ...]:
    """Return the removals from the manifest.json next to a trained graph, in order."""
    return tuple(map(_pruning, read_sealed(manifest)["pruning"]))


def whole(steps: Sequence[Pruning]) -> tuple[PrunedLayer, ...]:
    """Return each layer before the first step and after the last."""
    if not steps:
        return ()
    last = {layer.layer: layer for layer in steps[-1].layers}
    return tuple(
        replace(first, channels_after=last[first.layer].channels_after, after=last[first.layer].after)
        for first in steps[0].layers
    )


def _pruning(step: Mapping[str, Any]) -> Pruning:
    values = {
        **step,
        "before": Count(**step["before"]),
        "after": Count(**step["after"]),
        "layers": tuple(
            PrunedLayer(**{**layer, "before": Count(**layer["before"]), "after": Count(**layer["after"])})
            for layer in step["layers"]
        ),
        "sensitivities": {
            name: Sensitivity(tuple(sensitivity["pruned_percent"]), tuple(sensitivity["loss"]))
            for name, sensitivity in step["sensitivities"].items()
        },
    }
    return Pruning(**values)


def _millions(number: int) -> str:
    return f"{number / 1e6:.3g} M"
