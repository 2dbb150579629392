"""Checks of auto_bits: the limit, and what cannot go with a choice that is made before training."""

from collections.abc import Iterator

from qatflow.config.recipe.pruning import PruneStrategySection
from qatflow.config.recipe.recipe import CompressConfig, QuantizationStrategySection
from qatflow.config.recipe.sparsity import ClusteringStrategySection
from qatflow.config.recipe.widths import DEVICE
from qatflow.config.yaml.keys import Keys
from qatflow.config.yaml.problems import Problem


def check_auto_bits(config: CompressConfig, name: str, strategy: QuantizationStrategySection) -> Iterator[Problem]:
    """Yield the problems of a strategy whose widths are to be chosen."""
    auto = strategy.auto_bits
    if auto is None:
        return
    above: Keys = ("strategies", name)
    section: Keys = (*above, "auto_bits")
    if (auto.max_drop is None) == (auto.max_bytes is None):
        yield Problem(
            ((*section, "max_drop"), (*section, "max_bytes")),
            "set one of max_drop and max_bytes: the smallest model within a loss, or the best one within a size",
        )
    if len(set(auto.widths)) < len(auto.widths):
        yield Problem(((*section, "widths"),), "names a width twice: each is tried once")
    if strategy.weight_bits != DEVICE:
        yield Problem(
            ((*above, "weight_bits"), section),
            f"must be {DEVICE}, or left out: auto_bits chooses the width of each layer",
        )
    if strategy.activation_bits != DEVICE or strategy.activation_quantize_type == "abs_max":
        key = "activation_bits" if strategy.activation_bits != DEVICE else "activation_quantize_type"
        yield Problem(
            ((*above, key), section),
            f"auto_bits measures with activations of {DEVICE} bits and one range for all pictures: use these",
        )
    changing = (PruneStrategySection, ClusteringStrategySection)
    for other in config.compressor.strategies:
        if isinstance(config.strategies.get(other), changing):
            yield Problem(
                (section, ("strategies", other)),
                f"the widths are chosen before training, for other kernels than '{other}' leaves: give widths by "
                "weight_bits, or train twice, with that experiment's widths",
            )
    if config.compressor.init_model is not None or config.light_nas is not None:
        yield Problem(
            (section, ("compressor", "init_model")),
            "the widths are chosen for the float weights, and training begins with another model: give them by "
            "weight_bits",
        )
