"""Checks of the strategies that search: their controllers, ranges and tokens."""

from collections.abc import Iterator

from qatflow.config.checks.references import check_defined, check_used
from qatflow.config.recipe.distillation import SoftLabelDistillerSection
from qatflow.config.recipe.recipe import CompressConfig, has_int4_storage, undeployable
from qatflow.config.recipe.search import (
    RATIO_STEP,
    AutoPruneStrategySection,
    LightNASStrategySection,
    SearchStrategySection,
)
from qatflow.config.sections.config import Config
from qatflow.config.sections.devices import devices
from qatflow.config.yaml.keys import Keys
from qatflow.config.yaml.problems import Problem, problem


def check_search(config: CompressConfig) -> Iterator[Problem]:
    """Yield the problems of the strategies that search and their controllers."""
    strategies = config.strategies.items()
    searching = {name: section for name, section in strategies if isinstance(section, SearchStrategySection)}
    for name, strategy in searching.items():
        yield from check_defined(
            ("strategies", name, "controller"), strategy.controller, "controllers", config.controllers
        )
        if isinstance(strategy, AutoPruneStrategySection):
            yield from _ratios(name, strategy)
        elif isinstance(strategy, LightNASStrategySection):
            yield from _light_nas(name, strategy, config)
    for name in list(searching)[1:]:
        first = next(iter(searching))
        yield Problem(
            (("strategies", name), ("strategies", first)),
            f"only one strategy may search, and '{first}' does: search in two experiments, the second one with "
            "compressor.init_model",
        )
    used = {strategy.controller for strategy in searching.values()}
    yield from check_used("controllers", config.controllers, used, "no strategy names it as its controller")


def _ratios(name: str, strategy: AutoPruneStrategySection) -> Iterator[Problem]:
    section: Keys = ("strategies", name)
    if strategy.min_ratio > strategy.max_ratio:
        yield Problem(
            ((*section, "min_ratio"), (*section, "max_ratio")),
            f"must be at most max_ratio ({strategy.max_ratio:g}): the removed fraction is between the two",
        )
    largest = strategy.token_values - 1
    for index, token in enumerate(strategy.init_tokens or ()):
        if token > largest:
            yield Problem(
                ((*section, "init_tokens", index), (*section, "uniform_range")),
                f"must be at most {largest}: a token is a ratio in steps of {RATIO_STEP:g}, below uniform_range",
            )


def _light_nas(name: str, strategy: LightNASStrategySection, config: CompressConfig) -> Iterator[Problem]:
    section: Keys = ("strategies", name)
    for key, values in (("widths", strategy.widths), ("kernel_sizes", strategy.kernel_sizes)):
        for index, value in enumerate(values):
            if value in values[:index]:
                yield Problem(((*section, key, index),), f"{value:g} is listed already: list each value once")
    for index, size in enumerate(strategy.kernel_sizes):
        if size % 2 == 0:
            yield Problem(((*section, "kernel_sizes", index),), f"must be odd, so that a kernel has a middle: {size}")
    if max(len(strategy.widths), len(strategy.kernel_sizes)) < 2:
        yield Problem(
            ((*section, "widths"), (*section, "kernel_sizes")),
            "leaves nothing to search, and neither does kernel_sizes: list at least two values in one of them",
        )
    if config.compressor.init_model is not None:
        yield Problem(
            (("compressor", "init_model"), section),
            "sets weights to start from, but the networks of LightNASStrategy have weights of their own: remove one of "
            "the two",
        )
    for distiller, kind in config.distillers.items():
        if not isinstance(kind, SoftLabelDistillerSection):
            yield Problem(
                (("distillers", distiller), section),
                "compares tensors inside the networks, whose widths LightNASStrategy changes: use SoftLabelDistiller",
            )


def check_light_nas(config: Config, compress: CompressConfig) -> Iterator[Problem]:
    """Yield the problems of the configuration together with a LightNASStrategy."""
    strategy = compress.light_nas
    if strategy is None:
        return
    yaml = f"LightNASStrategy in {config.compress.config}"
    if config.compress.freeze_batch_norm:
        yield problem(
            f"must be false: {yaml} trains networks from new weights, and their batch-norm has no statistics yet",
            "compress.freeze_batch_norm",
            "compress.config",
        )


def check_limited_latency(config: Config, compress: CompressConfig) -> Iterator[Problem]:
    """Yield the problems of the configuration together with a limit of the latency by a table of operators."""
    if not compress.limits_latency:
        return
    searches = compress.light_nas is not None
    limit = "target_latency of LightNASStrategy" if searches else "max_latency of auto_bits"
    limit = f"{limit} in {config.compress.config}"
    first = devices(config)[0]
    if first.section.runs_here:
        yield Problem(
            (first.own("type"), ("compress", "config")),
            f"{limit} is in instructions for type 'emulator', and none are counted where this machine is arm64 itself: "
            "use type 'ssh' (the limit is then in ms), or a machine with another processor",
        )
    elif first.section.type == "emulator" and not first.section.count_instructions:
        yield Problem(
            (first.keys("count_instructions"), ("compress", "config")),
            f"must be true: {limit} is in instructions, counted on device {first.section.name}",
        )
    for key, reason in undeployable(compress.quantization).items():
        yield problem(f"{limit} is that of an int8 model, but {key}: {reason}", "compress.config")
    if has_int4_storage(compress.quantization):
        yield problem(
            f"{limit} counts kernels that are stored as int8, but int4_storage stores some as INT4, which take longer: "
            "leave one of the two out",
            "compress.config",
        )
