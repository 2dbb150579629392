"""Checks of auto_bits: the limits, and what cannot go with a choice that is made before training."""

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
    limits = ("max_drop", "max_bytes", "max_latency")
    if sum(getattr(auto, key) is not None for key in limits) != 1:
        yield Problem(
            tuple((*section, key) for key in limits),
            "set one of max_drop, max_bytes and max_latency: the smallest model within a loss, or the best one within "
            "a size or a latency",
        )
    if auto.max_latency is not None and not (auto.float_layers or auto.wide_activations):
        yield Problem(
            ((*section, "max_latency"), (*section, "float_layers"), (*section, "wide_activations")),
            "leaves nothing to choose: weights of fewer bits take as long as those of 8. Set wide_activations or "
            "float_layers to true, or limit max_bytes instead",
        )
    if auto.wide_activations and strategy.activation_quantize_type == "moving_average_min_max":
        yield Problem(
            ((*section, "wide_activations"), (*above, "activation_quantize_type")),
            "needs scales without zero points, which the device's int16 kernels do not take: use "
            "moving_average_abs_max or range_abs_max, or set wide_activations to false",
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
