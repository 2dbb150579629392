"""candidates.json: a round of a search, with the state that it begins with and the candidates to be tried."""

from dataclasses import asdict, dataclass
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed, write_sealed
from qatflow.search.candidate import Candidate, Size
from qatflow.search.controller import State


@dataclass(frozen=True)
class Round:
    """Candidates that are evaluated side by side.

    Attributes:
        state: from which they were drawn.
        whole: size of the network that the search began with.
        candidates: to be tried.
    """

    state: State
    whole: Size
    candidates: tuple[Candidate, ...]

    def candidate(self, number: int) -> Candidate:
        """Return the candidate with a number.

        Raises:
            UserError: the round has no such candidate.
        """
        for candidate in self.candidates:
            if candidate.number == number:
                return candidate
        there = ", ".join(str(candidate.number) for candidate in self.candidates)
        raise UserError(f"there is no candidate {number} in this round, but {there}")


def write_round(this: Round, path: Path) -> None:
    """Write candidates.json."""
    candidates = [asdict(candidate) for candidate in this.candidates]
    write_sealed(path, {"state": this.state.to_json(), "whole": asdict(this.whole), "candidates": candidates})


def read_round(path: Path) -> Round:
    """Return the round that `write_round` wrote."""
    content = read_sealed(path)
    candidates = tuple(map(Candidate.of, content["candidates"]))
    return Round(State.of(content["state"]), Size(**content["whole"]), candidates)
