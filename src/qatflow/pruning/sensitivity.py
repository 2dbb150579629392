"""How much accuracy it costs to prune one group of layers alone: measured once, saved after each measurement."""

from bisect import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.base.files import read_json, write_json
from qatflow.base.work_folder import digest
from qatflow.graph.graph import Graph
from qatflow.graph.store import graph_digest
from qatflow.pruning.candidates import Candidates

AccuracyOf = Callable[[Graph], float]
"""A graph to its accuracy, a share of 1."""


@dataclass(frozen=True)
class Sensitivity:
    """The sensitivity of one group.

    Attributes:
        ratios: shares of its units that were removed, ascending.
        losses: accuracy that each of them cost, shares of 1; negative where it rose.
    """

    ratios: tuple[float, ...]
    losses: tuple[float, ...]


def swept_ratios(delta_rate: float) -> list[float]:
    """Return delta_rate, 2 · delta_rate, … below 1."""
    count = int(1 / delta_rate) + 1
    return [ratio for n in range(1, count + 1) if (ratio := round(n * delta_rate, 6)) < 1]


def measure(
    candidates: Candidates,
    delta_rate: float,
    evaluate: AccuracyOf,
    file: Path,
    about: Mapping[str, Any],
    known: Mapping[str, Sensitivity] | None = None,
) -> dict[str, Sensitivity]:
    """Return the sensitivity of each group, by its name.

    The file is written after each evaluation, and what it holds is not measured again, so that a killed sweep can go
    on. If it was measured on something else, a message says so and the sweep starts over.

    Args:
        candidates: the groups, and the order in which their channels go.
        delta_rate: step of the ratios.
        evaluate: called with graphs of the same shapes as the graph of `candidates`.
        file: JSON; `groups` has PaddleSlim's form, `{name: {size, pruned_percent: […], loss: […]}}`.
        about: what else a measurement depends on, such as the pictures, in plain JSON values.
        known: sensitivities of groups that need not be measured.

    Raises:
        UserError: `known` names a group that does not exist.
    """
    known = known or {}
    for name in known:
        if name not in candidates.order:
            raise UserError(
                f"sensitivities: '{name}' is not a group of pruned layers; these are {', '.join(candidates.order)}"
            )
    order = {name: units.tolist() for name, units in candidates.order.items()}
    saved = _SavedSweep(file, digest({"about": about, "graph": graph_digest(candidates.graph), "order": order}))
    for group in (group for group in candidates.groups if group.name not in known):
        costs = {0: 0.0}  # by the number of units that go, so that a small group is not measured twice
        for ratio in swept_ratios(delta_rate):
            removed = candidates.removed(group.name, ratio)
            loss = saved.loss(group.name, ratio)
            if loss is None:
                if removed not in costs:
                    costs[removed] = saved.baseline(candidates, evaluate) - evaluate(
                        candidates.as_if_thin({group.name: ratio})
                    )
                loss = costs[removed]
                saved.add(group.name, group.size, ratio, loss)
                print(f"sensitivity of {group.name}: {ratio:g} pruned alone costs {100 * loss:.2f} points", flush=True)
            costs[removed] = loss
    return {name: known[name] if name in known else saved.sensitivity(name) for name in candidates.order}


class _SavedSweep:
    """The file of a sweep, and what it holds."""

    def __init__(self, file: Path, key: str) -> None:
        self._file = file
        self._content: dict[str, Any] = {"digest": key, "baseline": None, "groups": {}}
        if file.exists():
            content = read_json(file)
            if content["digest"] == key:
                self._content = content
            else:
                print(f"{file}: measured on another model, other pictures or settings: measuring again", flush=True)

    def baseline(self, candidates: Candidates, evaluate: AccuracyOf) -> float:
        if self._content["baseline"] is None:
            self._content["baseline"] = evaluate(candidates.graph)
        return float(self._content["baseline"])

    def loss(self, group: str, ratio: float) -> float | None:
        entry = self._content["groups"].get(group, {"pruned_percent": [], "loss": []})
        return dict(zip(entry["pruned_percent"], entry["loss"], strict=True)).get(ratio)

    def add(self, group: str, size: int, ratio: float, loss: float) -> None:
        entry = self._content["groups"].setdefault(group, {"size": size, "pruned_percent": [], "loss": []})
        place = bisect(entry["pruned_percent"], ratio)
        entry["pruned_percent"].insert(place, ratio)
        entry["loss"].insert(place, loss)
        write_json(self._file, self._content)

    def sensitivity(self, group: str) -> Sensitivity:
        entry = self._content["groups"][group]
        return Sensitivity(tuple(entry["pruned_percent"]), tuple(entry["loss"]))
