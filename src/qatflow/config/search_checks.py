"""What the types of a compress YAML's searches cannot say: their controllers, ranges and tokens."""

from collections.abc import Iterator

from qatflow.config.compress_model import CompressConfig
from qatflow.config.keys import Keys
from qatflow.config.search_model import RATIO_STEP, AutoPruneStrategySection, SearchStrategySection
from qatflow.config.validate import Problem, nearest


def check_search(config: CompressConfig) -> Iterator[Problem]:
    """Yield what is wrong with the strategies that search and their controllers."""
    searching = {name: one for name, one in config.strategies.items() if isinstance(one, SearchStrategySection)}
    for name, strategy in searching.items():
        yield from _controller(name, strategy, config)
        if isinstance(strategy, AutoPruneStrategySection):
            yield from _ratios(name, strategy)
    for name in list(searching)[1:]:
        first = next(iter(searching))
        yield Problem(
            (("strategies", name), ("strategies", first)),
            f"there may be one strategy that searches, and '{first}' is one: search in two experiments, the second "
            "with compressor.init_model",
        )
    used = {strategy.controller for strategy in searching.values()}
    for name in config.controllers:
        if name not in used:
            yield Problem((("controllers", name),), "is defined but no strategy names it as its controller")


def _controller(name: str, strategy: SearchStrategySection, config: CompressConfig) -> Iterator[Problem]:
    if strategy.controller not in config.controllers:
        defined = ", ".join(config.controllers) or "none"
        yield Problem(
            (("strategies", name, "controller"), ("controllers",)),
            f"'{strategy.controller}' is not defined under controllers; defined: {defined}"
            f"{nearest(strategy.controller, config.controllers)}",
        )


def _ratios(name: str, strategy: AutoPruneStrategySection) -> Iterator[Problem]:
    section: Keys = ("strategies", name)
    if strategy.min_ratio > strategy.max_ratio:
        yield Problem(
            ((*section, "min_ratio"), (*section, "max_ratio")),
            f"must be at most max_ratio ({strategy.max_ratio:g}): what goes of the multiply-adds lies between",
        )
    largest = strategy.token_values - 1
    for place, token in enumerate(strategy.init_tokens or ()):
        if token > largest:
            yield Problem(
                ((*section, "init_tokens", place), (*section, "uniform_range")),
                f"must be at most {largest}: a token is a ratio in steps of {RATIO_STEP:g}, below uniform_range",
            )
