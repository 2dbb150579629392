"""What the types of a compress YAML's pruning strategies cannot say: their pruners, epochs and sensitivities."""

from collections.abc import Iterator, Mapping

from qatflow.config.keys import Keys
from qatflow.config.problems import Problem, nearest
from qatflow.config.recipe.pruning import PruneStrategySection, SensitivePruneStrategySection, StructurePrunerSection


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
        yield from _pruner(name, strategy, pruners)
        yield from _epochs(name, strategy, epoch)
        if isinstance(strategy, SensitivePruneStrategySection):
            yield from _sensitivities(name, strategy)
    used = {strategy.pruner for strategy in pruning.values()}
    for name in pruners:
        if name not in used:
            yield Problem((("pruners", name),), "is defined but no pruning strategy names it as its pruner")


def last_pruned(strategy: PruneStrategySection) -> int:
    """Return the last epoch before which the strategy may remove channels."""
    if isinstance(strategy, SensitivePruneStrategySection) and strategy.num_steps > 1:
        return strategy.end_epoch
    return strategy.start_epoch


def _pruner(
    name: str, strategy: PruneStrategySection, pruners: Mapping[str, StructurePrunerSection]
) -> Iterator[Problem]:
    if strategy.pruner not in pruners:
        defined = ", ".join(pruners) or "none"
        yield Problem(
            (("strategies", name, "pruner"), ("pruners",)),
            f"'{strategy.pruner}' is not defined under pruners; defined: {defined}{nearest(strategy.pruner, pruners)}",
        )


def _epochs(name: str, strategy: PruneStrategySection, epoch: int) -> Iterator[Problem]:
    start: Keys = ("strategies", name, "start_epoch")
    end: Keys = ("strategies", name, "end_epoch")
    whole: Keys = ("compressor", "epoch")
    if strategy.start_epoch >= epoch:
        yield Problem(
            (start, whole),
            f"epoch {strategy.start_epoch} is never reached and nothing would be pruned: epochs count from 0 and "
            f"compressor.epoch is {epoch}, so the last is {epoch - 1}",
        )
    if not isinstance(strategy, SensitivePruneStrategySection) or strategy.num_steps == 1:
        return
    least = strategy.start_epoch + strategy.num_steps - 1
    if strategy.end_epoch < least:
        yield Problem(
            (end, start, ("strategies", name, "num_steps")),
            f"must be at least {least}: {strategy.num_steps} steps from start_epoch {strategy.start_epoch} on take an "
            "epoch each, and the last is taken by end_epoch",
        )
    if strategy.end_epoch >= epoch:
        yield Problem((end, whole), f"epoch {strategy.end_epoch} is never reached: the last is {epoch - 1}")


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
