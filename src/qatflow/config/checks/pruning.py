"""What the types of a compress YAML's pruning strategies cannot say: their pruners, epochs and sensitivities."""

from collections.abc import Iterator, Mapping

from qatflow.config.checks.references import check_defined, check_reached, check_used
from qatflow.config.problems import Problem
from qatflow.config.recipe.pruning import PruneStrategySection, SensitivePruneStrategySection, StructurePrunerSection
from qatflow.config.yaml.keys import Keys


def check_pruning(
    strategies: Mapping[str, object], pruners: Mapping[str, StructurePrunerSection], epoch: int
) -> Iterator[Problem]:
    """Yield what is wrong with the pruning strategies and the pruners.

    Args:
        strategies: all strategies by name; those that do not prune are passed over.
        pruners: by name.
        epoch: number of epochs in all.
    """
    pruning = {name: one for name, one in strategies.items() if isinstance(one, PruneStrategySection)}
    for name, strategy in pruning.items():
        yield from check_defined(("strategies", name, "pruner"), strategy.pruner, "pruners", pruners)
        yield from _epochs(name, strategy, epoch)
        if isinstance(strategy, SensitivePruneStrategySection):
            yield from _sensitivities(name, strategy)
    used = {strategy.pruner for strategy in pruning.values()}
    yield from check_used("pruners", pruners, used, "no pruning strategy names it as its pruner")


def last_pruned(strategy: PruneStrategySection) -> int:
    """Return the last epoch before which the strategy may remove channels."""
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
            f"must be at least {least}: {strategy.num_steps} steps from start_epoch {strategy.start_epoch} on take an "
            "epoch each, and the last is taken by end_epoch",
        )
    yield from check_reached(end, strategy.end_epoch, epoch)


def _sensitivities(name: str, strategy: SensitivePruneStrategySection) -> Iterator[Problem]:
    for kernel, given in strategy.sensitivities.items():
        keys: Keys = ("strategies", name, "sensitivities", kernel)
        if len(given.pruned_percent) != len(given.loss):
            yield Problem(
                ((*keys, "loss"), (*keys, "pruned_percent")),
                f"has {len(given.loss)} values for {len(given.pruned_percent)} of pruned_percent; give one for each",
            )
        if given.pruned_percent != sorted(set(given.pruned_percent)):
            yield Problem(((*keys, "pruned_percent"),), "must rise, each value larger than the one before")
