"""The table of search spaces, by the sections of the compress YAML."""

from collections.abc import Callable
from typing import Any

from qatflow.config.recipe.search import AutoPruneStrategySection, LightNASStrategySection
from qatflow.config.sections.base import Section
from qatflow.search.light_nas import LightNASSpace
from qatflow.search.pruning import PruningSpace
from qatflow.search.space import SearchSetup, Space

SPACES: dict[type[Section], Callable[[SearchSetup, Any], Space]] = {
    AutoPruneStrategySection: PruningSpace,
    LightNASStrategySection: LightNASSpace,
}


def space_of(setup: SearchSetup) -> Space:
    """Return the space of the YAML's strategy that searches.

    Raises:
        UserError: its settings do not fit the graph.
    """
    section = setup.config.search
    assert section is not None
    return SPACES[type(section)](setup, section)
