"""best.json: the best candidate of a search, and all that were tried."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from qatflow.base.sums import read_sealed, write_sealed
from qatflow.search.candidate import Outcome, Size

FORMAT = 1


@dataclass(frozen=True)
class SearchResult:
    """A finished search.

    Attributes:
        strategy: class of the strategy that searched.
        metric_name: PaddleSlim's name of the accuracy that was measured.
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
        """Return the result in one sentence."""
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


def search_result(strategy: str, metric_name: str, whole: Size, outcomes: Sequence[Outcome]) -> SearchResult:
    """Return the result of a search with these outcomes; the attributes of `SearchResult` describe the arguments."""
    best = max(outcomes, key=lambda outcome: (outcome.reward, -outcome.candidate.number))
    return SearchResult(strategy, metric_name, whole, best, tuple(outcomes))


def write_result(result: SearchResult, path: Path, files: Sequence[str] = ()) -> None:
    """Write best.json, with the checksums of `files` beside it."""
    content = {
        "format_version": FORMAT,
        "strategy": result.strategy,
        "metric_name": result.metric_name,
        "whole": asdict(result.whole),
        "best": result.best.to_json(),
        "outcomes": [outcome.to_json() for outcome in result.outcomes],
    }
    write_sealed(path, content, files)


def read_result(path: Path) -> SearchResult:
    """Return the result that `write_result` wrote."""
    content = read_sealed(path)
    return SearchResult(
        content["strategy"],
        content["metric_name"],
        Size(**content["whole"]),
        Outcome.of(content["best"]),
        tuple(map(Outcome.of, content["outcomes"])),
    )
