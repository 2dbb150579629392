"""The result of a search: the best candidate, and all that were tried."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.files import whole_folder, write_text
from qatflow.base.sums import read_checked
from qatflow.search.candidate import Outcome, read_outcomes
from qatflow.search.result import search_result, write_result
from qatflow.search.rounds import read_round

COLUMNS = (
    "candidate", "round", "metric", "reward", "best_reward", "multiply_adds", "parameters", "latency", "tokens",
)  # fmt: skip


def conclude(strategy: str, metric: str, rounds: Sequence[Path], folders: Sequence[Path], output: Path) -> None:
    """Write best.json, history.csv and the best candidate's network.

    Args:
        strategy: name of the strategy that searched.
        metric: name of the metric.
        rounds: candidates.json of each round, in order.
        folders: of each candidate, with outcome.json, model and weights.
        output: folder to write: `best.json` (the best candidate, and every outcome), `history.csv` (one line per
            candidate), `model` and `weights` (of the best, as it was evaluated).
    """
    all_rounds = [read_round(path) for path in rounds]
    round_of = {candidate.number: place for place, this in enumerate(all_rounds, 1) for candidate in this.candidates}
    by_number = {outcome.candidate.number: (outcome, folder) for folder in folders for outcome in _outcome(folder)}
    outcomes = [by_number[number][0] for number in sorted(by_number)]
    result = search_result(strategy, metric, all_rounds[0].whole, outcomes)
    number = result.best.candidate.number
    with whole_folder(output) as temporary:
        for name in ("model", "weights"):
            (temporary / name).write_bytes(read_checked(by_number[number][1] / name))
        write_text(temporary / "history.csv", _history(outcomes, round_of))
        write_result(result, temporary / "best.json", files=("model", "weights", "history.csv"))
    print(result.text(), flush=True)


def _outcome(folder: Path) -> list[Outcome]:
    return read_outcomes([folder / "outcome.json"])


def _history(outcomes: Sequence[Outcome], round_of: dict[int, int]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    best = float("-inf")
    for outcome in outcomes:
        candidate, size = outcome.candidate, outcome.candidate.size
        best = max(best, outcome.reward)
        latency = "" if size.latency is None else size.latency
        writer.writerow(
            [
                candidate.number, round_of[candidate.number], outcome.metric, outcome.reward, best, size.multiply_adds,
                size.parameters, latency, " ".join(map(str, candidate.tokens)),
            ]
        )  # fmt: skip
    return buffer.getvalue()
