"""SAController: PaddleSlim's simulated annealing over tokens, as a function of its state and a seed.

Unlike PaddleSlim (`searcher/controller.py`, 1.x), the first candidate is the first tokens themselves, so that a search
never ends with less than it began with. A candidate is not tried again while another is allowed, since its outcome is
known. And where no change of one token keeps the limits, two are changed, then three, and so on; PaddleSlim returns the
last one drawn, whether it keeps the limits or not.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qatflow.base.errors import UserError
from qatflow.search.candidate import Tokens

DRAW, ACCEPT = 0, 1
"""Streams of random numbers: the draws of a candidate and the decision on it are independent."""


@dataclass(frozen=True)
class State:
    """The state of annealing.

    Attributes:
        tokens: the current tokens, which the next candidates are drawn from.
        reward: of the current tokens; None as long as nothing has been evaluated.
        iteration: number of candidates whose outcome is known.
        tried: all tokens that were evaluated, in order.
    """

    tokens: Tokens
    reward: float | None = None
    iteration: int = 0
    tried: tuple[Tokens, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return asdict(self)

    @staticmethod
    def of(values: dict[str, Any]) -> "State":
        """Return the state from the plain JSON values of `to_json`."""
        tried = tuple(map(tuple, values["tried"]))
        return State(tuple(values["tokens"]), values["reward"], values["iteration"], tried)


@dataclass(frozen=True)
class SAController:
    """Simulated annealing.

    Attributes:
        range_table: number of values of each token.
        reduce_rate: factor of the temperature from one candidate to the next.
        init_temperature: of the first.
        max_iter_number: draws with the same number of changed tokens.
        seed: of the draws and decisions. Those of a candidate depend only on the seed and the candidate's number.
    """

    range_table: tuple[int, ...]
    reduce_rate: float = 0.85
    init_temperature: float = 1024.0
    max_iter_number: int = 300
    seed: int = 0

    def temperature(self, iteration: int) -> float:
        """Return the temperature at a candidate, by its number, counted from 1."""
        return self.init_temperature * self.reduce_rate**iteration

    def propose(
        self,
        state: State,
        count: int,
        allowed: Callable[[Tokens], bool],
        network: Callable[[Tokens], Hashable] = lambda tokens: tokens,
    ) -> list[Tokens]:
        """Return the next candidates, all drawn from the current tokens of the state.

        Args:
            state: after the previous candidates.
            count: how many; no two are the same network.
            allowed: whether tokens keep the limits.
            network: returns the same for tokens that stand for the same network.

        Raises:
            UserError: not enough candidates that keep the limits were found.
        """

        def wanted(tokens: Tokens) -> bool:
            return network(tokens) not in known and allowed(tokens)

        candidates: list[Tokens] = []
        tried = {network(tokens) for tokens in state.tried}
        for place in range(count):
            number = state.iteration + place + 1
            first = not state.tried and not candidates
            known = {*tried, *map(network, candidates)}
            tokens = state.tokens if first and allowed(state.tokens) else self._drawn(state, number, wanted)
            if tokens is None:  # all neighbours have been tried: annealing may still move to one of them
                known = set(map(network, candidates))
                tokens = self._drawn(state, number, wanted)
            if tokens is None:
                raise UserError(
                    f"candidate {number}: none that keeps the limits was found in {self.max_iter_number} draws with "
                    "one token changed, nor with more: widen the limits, or raise the controller's max_iter_number"
                    + (", or lower parallel" if candidates else "")
                )
            candidates.append(tokens)
        return candidates

    def update(self, state: State, outcomes: Sequence[tuple[Tokens, float]]) -> State:
        """Return the state after the outcomes of candidates, taken one after the other by Metropolis' rule.

        A better candidate becomes the current one; one that is worse by d does with probability exp(−d / temperature).

        Args:
            state: from which they were proposed.
            outcomes: tokens and reward of each, in their order.
        """
        for tokens, reward in outcomes:
            iteration = state.iteration + 1
            tried = (*state.tried, tokens)
            if self._accepts(iteration, reward, state.reward):
                state = State(tokens, reward, iteration, tried)
            else:
                state = State(state.tokens, state.reward, iteration, tried)
        return state

    def _accepts(self, iteration: int, reward: float, current: float | None) -> bool:
        if current is None or reward > current:
            return True
        temperature = self.temperature(iteration)
        if temperature == 0:  # too small for a float
            return reward == current
        chance = math.exp((reward - current) / temperature)
        return bool(np.random.default_rng([self.seed, ACCEPT, iteration]).random() <= chance)

    def _drawn(self, state: State, number: int, wanted: Callable[[Tokens], bool]) -> Tokens | None:
        random = np.random.default_rng([self.seed, DRAW, number])
        places = [place for place, values in enumerate(self.range_table) if values > 1]
        for changed in range(1, len(places) + 1):
            for _ in range(self.max_iter_number):
                tokens = self._changed(state.tokens, random.choice(places, changed, replace=False), random)
                if wanted(tokens):
                    return tokens
        return None

    def _changed(self, tokens: Tokens, places: np.ndarray, random: np.random.Generator) -> Tokens:
        new = list(tokens)
        for place in places:
            values = self.range_table[place]
            # any other value, with equal probability
            new[place] = int((new[place] + 1 + random.integers(values - 1)) % values)
        return tuple(new)
