"""best.json: what a search has found, and all that it has tried."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from qatflow.base.sums import read_sealed, write_sealed
from qatflow.search.candidate import Outcome, Size

FORMAT = 1


@dataclass(frozen=True)
class Found:
    """A finished search.

    Attributes:
        strategy: class of the strategy that searched.
        metric_name: the accuracy that was measured, by PaddleSlim's name.
        whole: size of the network that the search began with.
        best: the outcome with the largest reward; of equal ones the first.
        outcomes: of all candidates, in their order.
    """

    strategy: str
    metric_name: str
    whole: Size
    best: Outcome
    outcomes: tuple[Outcome, ...]

    def text(self) -> str:
        """Return the whole in one sentence."""
        first, size = self.outcomes[0], self.best.candidate.size
        latency = "" if size.latency is None else f", {size.latency:.6g} {size.latency_unit} by the latency table"
        gone = 100 * (1 - size.multiply_adds / self.whole.multiply_adds)
        return (
            f"{self.strategy} tried {len(self.outcomes)} candidates: the best is number {self.best.candidate.number}, "
            f"{self.metric_name} on the validation pictures {100 * self.best.metric:.2f} % "
            f"({100 * first.metric:.2f} % for the first), multiply-adds {self.whole.multiply_adds / 1e6:.3g} M → "
            f"{size.multiply_adds / 1e6:.3g} M (−{gone:.1f} %), parameters {self.whole.parameters / 1e6:.3g} M → "
            f"{size.parameters / 1e6:.3g} M{latency}"
        )


def found_of(strategy: str, metric_name: str, whole: Size, outcomes: Sequence[Outcome]) -> Found:
    """Return what outcomes come to."""
    best = max(outcomes, key=lambda outcome: (outcome.reward, -outcome.candidate.number))
    return Found(strategy, metric_name, whole, best, tuple(outcomes))


def write_found(found: Found, path: Path, files: Sequence[str] = ()) -> None:
    """Write best.json, with the sums of `files` beside it."""
    about = {"format_version": FORMAT, "strategy": found.strategy, "metric_name": found.metric_name}
    outcomes = [outcome.to_json() for outcome in found.outcomes]
    told = {**about, "whole": asdict(found.whole), "best": found.best.to_json(), "outcomes": outcomes}
    write_sealed(path, told, files)


def read_found(path: Path) -> Found:
    """Read what `write_found` wrote."""
    said = read_sealed(path)
    outcomes = tuple(map(Outcome.of, said["outcomes"]))
    return Found(said["strategy"], said["metric_name"], Size(**said["whole"]), Outcome.of(said["best"]), outcomes)
