"""Checks of pruning strategies: their pruners, epochs and sensitivities."""

from collections.abc import Iterator, Mapping

from qatflow.config.checks.references import check_defined, check_reached, check_used
from qatflow.config.recipe.pruning import PruneStrategySection, SensitivePruneStrategySection, StructurePrunerSection
from qatflow.config.yaml.keys import Keys
from qatflow.config.yaml.problems import Problem


def check_pruning(
    strategies: Mapping[str, object], pruners: Mapping[str, StructurePrunerSection], epoch: int
) -> Iterator[Problem]:
    """Yield the problems of the pruning strategies and the pruners.

    Args:
        strategies: all strategies by name; only those that prune are checked.
        pruners: the pruners by name.
        epoch: compressor.epoch, the number of epochs.
    """
    pruning = {name: section for name, section in strategies.items() if isinstance(section, PruneStrategySection)}
    for name, strategy in pruning.items():
        yield from check_defined(("strategies", name, "pruner"), strategy.pruner, "pruners", pruners)
        yield from _epochs(name, strategy, epoch)
        if isinstance(strategy, SensitivePruneStrategySection):
            yield from _sensitivities(name, strategy)
    used = {strategy.pruner for strategy in pruning.values()}
    yield from check_used("pruners", pruners, used, "no pruning strategy names it as its pruner")


def last_pruned(strategy: PruneStrategySection) -> int:
    """Return the epoch before which the strategy removes channels for the last time."""
    if isinstance(strategy, SensitivePruneStrategySection) and strategy.num_steps > 1:
        return strategy.end_epoch
    return strategy.start_epoch


def _epochs(name: str, strategy: PruneStrategySection, epoch: int) -> Iterator[Problem]:
    start: Keys = ("strategies", name, "start_epoch")
    end: Keys = ("strategies", name, "end_epoch")
    yield from check_reached(start, strategy.start_epoch, epoch, "nothing would be pruned")
    if not isinstance(strategy, SensitivePruneStrategySection) or strategy.num_steps == 1:
        return
    least = strategy.start_epoch + strategy.num_steps - 1
    if strategy.end_epoch < least:
        yield Problem(
            (end, start, ("strategies", name, "num_steps")),
            f"must be at least {least}: {strategy.num_steps} steps from start_epoch {strategy.start_epoch} on take one "
            "epoch each, and the last one is taken by end_epoch",
        )
    yield from check_reached(end, strategy.end_epoch, epoch)


def _sensitivities(name: str, strategy: SensitivePruneStrategySection) -> Iterator[Problem]:
    for kernel, sensitivity in strategy.sensitivities.items():
        keys: Keys = ("strategies", name, "sensitivities", kernel)
        removed, losses = sensitivity.pruned_percent, sensitivity.loss
        if len(removed) != len(losses):
            yield Problem(
                ((*keys, "loss"), (*keys, "pruned_percent")),
                f"has {len(losses)} values for {len(removed)} of pruned_percent; give one for each",
            )
        if removed != sorted(set(removed)):
            yield Problem(((*keys, "pruned_percent"),), "must rise: each value larger than the one before")
