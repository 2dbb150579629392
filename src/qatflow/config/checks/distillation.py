"""Checks of distillers and distillation strategies: names, epochs, and pairs of layers."""

from collections.abc import Iterator

from qatflow.config.checks.references import check_defined, check_used
from qatflow.config.recipe.distillation import DistillationStrategySection, FSPDistillerSection
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.yaml.problems import Problem


def check_distillation(config: CompressConfig) -> Iterator[Problem]:
    """Yield the problems of the distillers and the strategies that use them."""
    used: set[str] = set()
    for name, strategy in config.strategies.items():
        if isinstance(strategy, DistillationStrategySection):
            used.update(strategy.distillers)
            yield from _strategy(config, name, strategy)
    yield from check_used("distillers", config.distillers, used, "no DistillationStrategy lists it under distillers")
    for name, distiller in config.distillers.items():
        if isinstance(distiller, FSPDistillerSection) and len(distiller.student_pairs) != len(distiller.teacher_pairs):
            yield Problem(
                (("distillers", name, "teacher_pairs"), ("distillers", name, "student_pairs")),
                f"has {len(distiller.teacher_pairs)} pairs, and student_pairs has {len(distiller.student_pairs)}: both "
                "need the same number",
            )


def _strategy(config: CompressConfig, name: str, strategy: DistillationStrategySection) -> Iterator[Problem]:
    section = ("strategies", name)
    for index, distiller in enumerate(strategy.distillers):
        yield from check_defined((*section, "distillers", index), distiller, "distillers", config.distillers)
    if strategy.end_epoch <= strategy.start_epoch:
        yield Problem(
            ((*section, "end_epoch"), (*section, "start_epoch")),
            f"must be above start_epoch ({strategy.start_epoch}): it is the first epoch without distillation",
        )
    last = config.compressor.epoch
    if not strategy.labels and name in config.compressor.strategies and not strategy.acts_always(last):
        yield Problem(
            ((*section, "labels"), (*section, "end_epoch")),
            f"false leaves nothing to learn from in other epochs: set start_epoch to 0 and end_epoch to {last}",
        )
    if strategy.end_epoch > config.compressor.epoch:  # not check_reached: with as many, distillation lasts to the end
        yield Problem(
            ((*section, "end_epoch"), ("compressor", "epoch")),
            f"epoch {strategy.end_epoch} is never reached: compressor.epoch is {config.compressor.epoch}",
        )
