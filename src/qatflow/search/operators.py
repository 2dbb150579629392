"""The operators of all networks of a search, each once: its latency table must have them all."""

from itertools import product
from math import prod

from qatflow.base.errors import UserError
from qatflow.search.candidate import Tokens
from qatflow.search.light_nas import LightNASSpace
from qatflow.search.space import SearchSetup
from qatflow.tflite.single_operator import single_operators

MOST = 20_000
"""Most networks that are looked at; a MobileNet with 14 groups in four widths needs some hundred."""


def operators_of(setup: SearchSetup) -> dict[str, bytes]:
    """Return a model of each operator alone, by the operator's key.

    An operator depends on a few tokens: a convolution on the widths of its input and output. Changing each token by
    itself shows which they are; then all values of these few are tried together.

    Raises:
        UserError: nothing can be searched, or an operator depends on too many tokens to try them all.
    """
    section = setup.config.light_nas
    assert section is not None
    space = LightNASSpace(setup, section)
    start = (0,) * len(space.range_table)
    models: dict[str, bytes] = {}
    depends: dict[str, set[int]] = {}
    base = _add_operators(space, start, models)
    for place, values in enumerate(space.range_table):
        for value in range(1, values):
            changed = _add_operators(space, _with(start, {place: value}), models)
            for name in base.keys() | changed.keys():
                if base.get(name) != changed.get(name):
                    depends.setdefault(name, set()).add(place)
    tried = {frozenset({place}) for place in range(len(start))}
    together = {frozenset(places) for places in depends.values()} - tried
    count = sum(prod(space.range_table[place] for place in places) for places in together)
    if count > MOST:
        raise UserError(
            f"the latency table would need the operators of {count} networks, since some depend on many of the "
            "searched layers: list fewer widths and kernel_sizes, or let searched_params name fewer layers"
        )
    for places in sorted(tuple(sorted(group)) for group in together):
        for tokens in product(*(range(space.range_table[place]) for place in places)):
            _add_operators(space, _with(start, dict(zip(places, tokens, strict=True))), models)
    return models


def _with(tokens: Tokens, changed: dict[int, int]) -> Tokens:
    return tuple(changed.get(place, token) for place, token in enumerate(tokens))


def _add_operators(space: LightNASSpace, tokens: Tokens, models: dict[str, bytes]) -> dict[str, str]:
    """Add the models of a network's operators; return their keys by the tensors that they compute."""
    keys = {}
    for operator in single_operators(space.int8(tokens)):
        if operator.key not in models:
            models[operator.key] = operator.model()
        keys[operator.output] = operator.key
    return keys
