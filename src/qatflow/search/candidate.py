"""The candidates of a search, and their outcomes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qatflow.base.sums import read_sealed

Tokens = tuple[int, ...]
"""A candidate as whole numbers, one for each choice, each below the number at its place in the range table."""


@dataclass(frozen=True)
class Size:
    """What a candidate costs.

    Attributes:
        multiply_adds: of one picture.
        parameters: elements of all its weights.
        latency: of one picture by the latency table; None without a table.
        latency_unit: `instructions` or `ms`.
    """

    multiply_adds: int
    parameters: int
    latency: float | None = None
    latency_unit: str | None = None


@dataclass(frozen=True)
class Candidate:
    """A network to be tried.

    Attributes:
        number: within the search, counted from 1.
        tokens: the network as the controller sees it.
        size: what it costs.
        about: the network as its space describes it, as plain JSON values: `{"ratios": {group: share}}` for pruning.
    """

    number: int
    tokens: Tokens
    size: Size
    about: Mapping[str, Any]

    @staticmethod
    def of(values: Mapping[str, Any]) -> "Candidate":
        """Return the candidate from the plain JSON values of `asdict`."""
        return Candidate(values["number"], tuple(values["tokens"]), Size(**values["size"]), values["about"])


@dataclass(frozen=True)
class Outcome:
    """The outcome of a candidate.

    Attributes:
        candidate: the network that was tried.
        metric: accuracy on the validation pictures, a share of 1.
        reward: what the controller maximises.
    """

    candidate: Candidate
    metric: float
    reward: float

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as plain JSON values."""
        return {**asdict(self.candidate), "metric": self.metric, "reward": self.reward}

    @staticmethod
    def of(values: Mapping[str, Any]) -> "Outcome":
        """Return the outcome from the plain JSON values of `to_json`."""
        return Outcome(Candidate.of(values), values["metric"], values["reward"])


def read_outcomes(files: Sequence[Path]) -> list[Outcome]:
    """Return the outcomes in the files of evaluated candidates, by the candidates' numbers."""
    outcomes = [Outcome.of(read_sealed(path)) for path in files]
    return sorted(outcomes, key=lambda outcome: outcome.candidate.number)
