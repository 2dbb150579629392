"""The operators of all networks of a search, each once: its latency table must have them all."""

from qatflow.search.light_nas import LightNASSpace
from qatflow.search.space import SearchSetup
from qatflow.tflite.single_operator import every_operator


def operators_of(setup: SearchSetup) -> dict[str, bytes]:
    """Return a model of each operator alone, by the operator's key.

    Raises:
        UserError: nothing can be searched, or an operator depends on too many tokens to try them all.
    """
    section = setup.config.light_nas
    assert section is not None
    space = LightNASSpace(setup, section)
    return every_operator(
        space.range_table, space.int8, "list fewer widths and kernel_sizes, or let searched_params name fewer layers"
    )
