"""Proposes the candidates of a round, from the outcomes of the round before."""

from collections.abc import Sequence
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.graph.counts import total
from qatflow.search.candidate import Candidate, Size, Tokens, read_outcomes
from qatflow.search.controller import SAController, State
from qatflow.search.rounds import Round, read_round, write_round
from qatflow.search.space import SearchSetup, Space
from qatflow.search.table import space_of


def propose(setup: SearchSetup, count: int, before: Path | None, outcomes: Sequence[Path], output: Path) -> None:
    """Write candidates.json of a round.

    Args:
        setup: what is searched over.
        count: candidates to propose.
        before: candidates.json of the round before; None: this is the first.
        outcomes: outcome.json of each of its candidates.
        output: file to write.

    Raises:
        UserError: no candidates that keep the limits are found, or the settings do not fit the graph.
    """
    section = setup.config.search
    assert section is not None
    space = space_of(setup)
    chosen = setup.config.controllers[section.controller]
    controller = SAController(
        space.range_table,
        chosen.reduce_rate,
        chosen.init_temperature,
        chosen.max_iter_number,
        setup.seed if chosen.seed is None else chosen.seed,
    )
    if before is None:
        state = State(_first(space, section.init_tokens))
    else:
        rewards = [(outcome.candidate.tokens, outcome.reward) for outcome in read_outcomes(outcomes)]
        state = controller.update(read_round(before).state, rewards)
    proposed = controller.propose(state, count, lambda tokens: not space.refused(tokens), space.network)
    candidates = tuple(
        Candidate(number, tokens, space.size(tokens), space.described(tokens))
        for number, tokens in enumerate(proposed, state.iteration + 1)
    )
    whole = total(setup.graph)
    write_round(Round(state, Size(whole.multiply_adds, whole.parameters), candidates), output)
    for candidate in candidates:
        print(f"candidate {candidate.number}: {candidate.tokens}, {candidate.size}", flush=True)


def _first(space: Space, init_tokens: Sequence[int] | None) -> Tokens:
    if init_tokens is None:
        return space.initial
    tokens = tuple(init_tokens)
    reason = space.refused(tokens)
    if reason:
        raise UserError(f"init_tokens: {reason}; leave the key out for tokens that do")
    return tokens
