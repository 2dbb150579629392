"""Checks of sparsity and clustering: epochs, patterns, and combinations with quantisation."""

from collections.abc import Iterator, Sequence

from qatflow.config.checks.pruning import last_pruned
from qatflow.config.checks.references import check_reached
from qatflow.config.recipe.pruning import PruneStrategySection
from qatflow.config.recipe.recipe import CompressConfig, QuantizationStrategySection
from qatflow.config.recipe.sparsity import ClusteringStrategySection, SparsityStrategySection
from qatflow.config.yaml.keys import Keys
from qatflow.config.yaml.problems import Problem

Both = SparsityStrategySection | ClusteringStrategySection


def check_sparsity(config: CompressConfig) -> Iterator[Problem]:
    """Yield the problems of the strategies that make kernels sparse or cluster them."""
    listed = [(name, config.strategies[name]) for name in config.compressor.strategies if name in config.strategies]
    sparse = [(name, section) for name, section in listed if isinstance(section, SparsityStrategySection)]
    clustered = [(name, section) for name, section in listed if isinstance(section, ClusteringStrategySection)]
    quantised = [(name, section) for name, section in listed if isinstance(section, QuantizationStrategySection)]
    both: list[tuple[str, Both]] = [*sparse, *clustered]
    for name, strategy in both:
        yield from _epochs(config, name, strategy)
        yield from _pruned_before(name, strategy, listed)
    for name, sparsity in sparse:
        yield from _pattern(name, sparsity)
    for name, _ in clustered[1:]:
        yield Problem(
            (("strategies", name), ("strategies", clustered[0][0])),
            f"only one ClusteringStrategy is allowed, and '{clustered[0][0]}' is one: put all kernels in its pattern",
        )
    for quantisation in quantised[-1:]:
        for name, sparsity in sparse:
            yield from _sparse_before(name, sparsity, quantisation, "start_epoch", "an epoch that is exported")
        for name, clustering in clustered:
            yield from _clustered_before(name, clustering, quantisation)
    for name, clustering in clustered:
        for other, sparsity in sparse:
            yield from _sparse_before(other, sparsity, (name, clustering), "end_epoch", "clusters that are fixed")


def _epochs(config: CompressConfig, name: str, strategy: Both) -> Iterator[Problem]:
    start: Keys = ("strategies", name, "start_epoch")
    end: Keys = ("strategies", name, "end_epoch")
    if strategy.start_epoch > strategy.end_epoch:
        yield Problem(
            (end, start),
            f"must be at least start_epoch ({strategy.start_epoch}): the strategy works from start_epoch to end_epoch",
        )
    yield from check_reached(end, strategy.end_epoch, config.compressor.epoch)


def _pruned_before(name: str, strategy: Both, listed: Sequence[tuple[str, object]]) -> Iterator[Problem]:
    for other, pruning in listed:
        if isinstance(pruning, PruneStrategySection) and last_pruned(pruning) > strategy.start_epoch:
            yield Problem(
                (("strategies", name, "start_epoch"), ("strategies", other)),
                f"must be at least {last_pruned(pruning)}: '{other}' removes channels until then",
            )


def _pattern(name: str, strategy: SparsityStrategySection) -> Iterator[Problem]:
    section: Keys = ("strategies", name)
    if strategy.schedule == "polynomial" and strategy.initial_sparsity > strategy.target_sparsity:
        yield Problem(
            ((*section, "initial_sparsity"), (*section, "target_sparsity")),
            f"must be at most target_sparsity ({strategy.target_sparsity:g})",
        )
    if strategy.m_by_n is None:
        return
    zeros, group = strategy.m_by_n
    if zeros >= group:
        yield Problem(
            ((*section, "m_by_n"),),
            f"[{zeros}, {group}]: fewer than all {group} weights must be zero; 2:4 sparsity is [2, 4]",
        )
    elif strategy.target_sparsity != zeros / group:
        yield Problem(
            ((*section, "target_sparsity"), (*section, "m_by_n")),
            f"must be {zeros / group:g}, the fraction of zeros in m_by_n [{zeros}, {group}]; leave out one of the two",
        )
    if strategy.schedule == "polynomial":
        yield Problem(
            ((*section, "schedule"), (*section, "m_by_n")),
            "must be constant with m_by_n: all zeros are set in the first step of start_epoch",
        )


def _sparse_before(
    name: str, sparsity: SparsityStrategySection, before: tuple[str, object], key: str, consequence: str
) -> Iterator[Problem]:
    """Yield a problem if `sparsity` ends after the epoch `key` of the strategy `before`; say what it would change."""
    other, strategy = before
    epoch = getattr(strategy, key)
    if sparsity.end_epoch > epoch:
        yield Problem(
            (("strategies", name, "end_epoch"), ("strategies", other, key)),
            f"must be at most {key} of '{other}' ({epoch}): {consequence} would not have the zeros of '{name}'",
        )


def _clustered_before(
    name: str, clustering: ClusteringStrategySection, before: tuple[str, QuantizationStrategySection]
) -> Iterator[Problem]:
    other, quantisation = before
    if clustering.start_epoch > quantisation.start_epoch:
        yield Problem(
            (("strategies", name, "start_epoch"), ("strategies", other, "start_epoch")),
            f"must be at most start_epoch of '{other}' ({quantisation.start_epoch}): quantised kernels cannot be "
            "clustered",
        )
    if quantisation.weight_quantize_type != "abs_max":
        yield Problem(
            (("strategies", other, "weight_quantize_type"), ("strategies", name)),
            f"must be abs_max with the ClusteringStrategy '{name}': with one scale per channel, one value would be a "
            "different integer in each channel, and a trained scale would merge the clusters' values",
        )
