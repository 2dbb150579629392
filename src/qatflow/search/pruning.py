"""The search space of AutoPruneStrategy: for each group of layers, the share of its channels that goes."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from qatflow.base.errors import UserError
from qatflow.config.recipe.search import RATIO_STEP, AutoPruneStrategySection
from qatflow.graph.counts import total
from qatflow.graph.graph import Graph
from qatflow.pruning.candidates import candidates
from qatflow.search.candidate import Size, Tokens
from qatflow.search.space import SearchSetup


class PruningSpace:
    """Each token is the ratio of a group of tied layers, in steps of 0.01; groups are in the order of the graph."""

    def __init__(self, setup: SearchSetup, section: AutoPruneStrategySection):
        """Find the groups.

        Args:
            setup: the graph to prune.
            section: the YAML's settings.

        Raises:
            UserError: nothing that pruned_params names can be pruned, init_tokens does not fit its groups, or even the
                largest ratios remove less than min_ratio.
        """
        self.section = section
        pruner = setup.config.pruners[section.pruner]
        self._candidates = candidates(setup.graph, section.pruned_params, pruner.criterions)
        self.names = tuple(group.name for group in self._candidates.groups)
        self.range_table = (section.token_values,) * len(self.names)
        self._whole = total(setup.graph)
        self._sizes: dict[Tokens, Size] = {}
        if section.init_tokens is not None and len(section.init_tokens) != len(self.names):
            raise UserError(
                f"init_tokens: has {len(section.init_tokens)} tokens for {len(self.names)} groups of layers; give one "
                f"for each of {', '.join(self.names)}"
            )
        most = self._removed(tuple(values - 1 for values in self.range_table))
        if most < section.min_ratio:
            raise UserError(
                f"min_ratio: {100 * section.min_ratio:g} % of the multiply-adds cannot go, the layers that "
                f"pruned_params names hold {100 * most:.1f} % within uniform_range: give a smaller min_ratio, or let "
                "pruned_params name more layers"
            )

    @cached_property
    def initial(self) -> Tokens:
        """One ratio for all groups, the one nearest to the middle of the limits, as in uniform pruning."""
        middle = (self.section.min_ratio + self.section.max_ratio) / 2
        every = [(token,) * len(self.names) for token in range(self.section.token_values)]
        return min(every, key=lambda tokens: abs(self._removed(tokens) - middle))

    def ratios(self, tokens: Tokens) -> dict[str, float]:
        """Return the share of each group's channels that goes."""
        return {name: round(RATIO_STEP * token, 2) for name, token in zip(self.names, tokens, strict=True)}

    def graph(self, tokens: Tokens) -> Graph:
        """Return the graph without these channels."""
        return self._candidates.thin(self.ratios(tokens))

    def size(self, tokens: Tokens) -> Size:
        """Return the multiply-adds and parameters that are left."""
        if tokens not in self._sizes:
            left = total(self.graph(tokens))
            self._sizes[tokens] = Size(left.multiply_adds, left.parameters)
        return self._sizes[tokens]

    def refused(self, tokens: Tokens) -> str:
        """Return why too much, or too little, would go; an empty text if neither."""
        removed, section = self._removed(tokens), self.section
        if section.min_ratio <= removed <= section.max_ratio:
            return ""
        return (
            f"{100 * removed:.1f} % of the multiply-adds go, which is not from min_ratio ({section.min_ratio:g}) to "
            f"max_ratio ({section.max_ratio:g})"
        )

    def network(self, tokens: Tokens) -> Tokens:
        """Return how many units of each group go: with few channels, several ratios remove the same number."""
        return tuple(self._candidates.removed(name, ratio) for name, ratio in self.ratios(tokens).items())

    def described(self, tokens: Tokens) -> Mapping[str, Any]:
        """Return the ratios by group."""
        return {"ratios": self.ratios(tokens)}

    def _removed(self, tokens: Tokens) -> float:
        return 1 - self.size(tokens).multiply_adds / self._whole.multiply_adds
