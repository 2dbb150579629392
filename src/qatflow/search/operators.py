"""The operators of all networks of a search, each once: what its latency table must have."""

from itertools import product
from math import prod

from qatflow.base.errors import UserError
from qatflow.search.candidate import Tokens
from qatflow.search.light_nas import LightNASSpace
from qatflow.search.space import Setup
from qatflow.tflite.single_operator import single_operators

MOST = 20_000
"""Networks that are looked at; a MobileNet of 14 groups in four widths needs some hundred."""


def operators_of(setup: Setup) -> dict[str, bytes]:
    """Return a model of each operator alone, by the operator's key.

    An operator depends on a few tokens, a convolution on the width that it reads and the one that it makes. Which
    those are shows as each token is changed by itself; then all values of these few are tried together.

    Raises:
        UserError: nothing can be searched, or an operator depends on so many that they cannot all be tried.
    """
    section = setup.config.light_nas
    assert section is not None
    space = LightNASSpace(setup, section)
    start = (0,) * len(space.range_table)
    found: dict[str, bytes] = {}
    depends: dict[str, set[int]] = {}
    base = _take_up(space, start, found)
    for place, values in enumerate(space.range_table):
        for value in range(1, values):
            other = _take_up(space, _with(start, {place: value}), found)
            for name in base.keys() | other.keys():
                if base.get(name) != other.get(name):
                    depends.setdefault(name, set()).add(place)
    tried = {frozenset({place}) for place in range(len(start))}
    together = {frozenset(places) for places in depends.values()} - tried
    count = sum(prod(space.range_table[place] for place in places) for places in together)
    if count > MOST:
        raise UserError(
            f"the latency table would need the operators of {count} networks, since some depend on many of the "
            "searched layers: list fewer widths and kernel_sizes, or let searched_params name fewer layers"
        )
    for places in sorted(tuple(sorted(one)) for one in together):
        for tokens in product(*(range(space.range_table[place]) for place in places)):
            _take_up(space, _with(start, dict(zip(places, tokens, strict=True))), found)
    return found


def _with(tokens: Tokens, changed: dict[int, int]) -> Tokens:
    return tuple(changed.get(place, token) for place, token in enumerate(tokens))


def _take_up(space: LightNASSpace, tokens: Tokens, found: dict[str, bytes]) -> dict[str, str]:
    """Add a network's operators; return their keys by the tensors that they make."""
    keys = {}
    for operator in single_operators(space.int8(tokens)):
        if operator.key not in found:
            found[operator.key] = operator.model()
        keys[operator.output] = operator.key
    return keys
