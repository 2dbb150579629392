"""The sections of a compress YAML for filter pruning: PaddleSlim's pruners and the strategies that use them.

The strategy that searches its ratios is in `search`.

Keys and defaults are PaddleSlim's (`prune_strategy.py`, `pruner.py`, 1.x), except `pruned_params`: PaddleSlim's default
`conv.*_weights` matches no kernel here. `target` and `geometric_median` are not in PaddleSlim.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section, Text

CriterionName = Literal["l1_norm", "geometric_median"]


def _expression(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from error
    return pattern


PrunedFraction = Annotated[float, Field(ge=bounds.LEAST_SHARE, lt=1)]
AccuracyLoss = Annotated[float, Field(ge=-1, le=1)]
Expression = Annotated[Text, AfterValidator(_expression)]


class StructurePrunerSection(Section):
    """A pruner, which chooses the channels to remove."""

    class_: Literal["StructurePruner"] = Field(alias="class", description="The pruner's class.")
    pruning_axis: dict[Text, Literal[0]] = Field(
        {"*": 0}, description="Always 0: a layer's output channels. PaddleSlim has this key, but does not read it."
    )
    criterions: dict[Text, CriterionName] = Field(
        {"*": "l1_norm"},
        description="How the importance of a filter is measured, by the name of its kernel (`<layer>/kernel`), with * "
        "for all other kernels. l1_norm: the sum of the magnitudes of its weights; geometric_median: the sum of its "
        "distances to the layer's other filters.",
    )


class PruneStrategySection(Section):
    """The keys of all strategies that prune filters."""

    pruner: Text = Field(description="Name of a pruner, which is defined under pruners.")
    start_epoch: int = Field(
        0, ge=0, le=bounds.EPOCHS, description="Channels are removed before this epoch, counted from 0."
    )
    metric_name: Literal["acc_top1", "acc_top5"] = Field(
        "acc_top1",
        description="Accuracy on the validation pictures that is printed, and that sensitivities are measured by.",
    )
    pruned_params: Expression = Field(
        ".*",
        description="Regular expression for the beginning of the names of the kernels to prune (`<layer>/kernel`). "
        "Layers that must have the same channels are pruned together.",
    )


class TargetedPruneStrategySection(PruneStrategySection):
    """The keys of the strategies that remove a given fraction of the network."""

    target_ratio: float = Field(0.5, ge=bounds.LEAST_SHARE, lt=1, description="Fraction that is removed, from 0 to 1.")
    target: Literal["flops", "params"] = Field(
        "flops",
        description="What target_ratio is a fraction of. flops: multiply-adds, as in PaddleSlim; params: parameters.",
    )


class UniformPruneStrategySection(TargetedPruneStrategySection):
    """A strategy of class UniformPruneStrategy: all layers lose the same fraction of their channels."""

    class_: Literal["UniformPruneStrategy"] = Field(alias="class", description="The strategy's class.")
    end_epoch: int = Field(
        0, ge=0, le=bounds.EPOCHS, description="PaddleSlim's key, without effect: training continues to the last epoch."
    )


class SensitivitySection(Section):
    """How much accuracy pruning one layer costs, as in the sensitivities file."""

    size: int | None = Field(
        None, ge=1, le=bounds.CHANNELS, description="Number of channels of the layer. null: not known, and not needed."
    )
    pruned_percent: list[PrunedFraction] = Field(
        min_length=1, description="Removed fractions of its channels, from 0 to 1, ascending."
    )
    loss: list[AccuracyLoss] = Field(
        min_length=1, description="Accuracy that is lost by removing each of them, from 0 to 1."
    )


class SensitivePruneStrategySection(TargetedPruneStrategySection):
    """A strategy of class SensitivePruneStrategy: layers whose pruning costs less accuracy lose more channels."""

    class_: Literal["SensitivePruneStrategy"] = Field(alias="class", description="The strategy's class.")
    end_epoch: int = Field(
        0,
        ge=0,
        le=bounds.EPOCHS,
        description="With num_steps above 1: the last step is taken by this epoch, even if training has not converged.",
    )
    delta_rate: float = Field(
        0.2,
        ge=0.01,
        le=0.5,
        description="Sensitivities are measured by pruning each layer alone by this fraction, twice, three times this "
        "fraction, and so on below 1.",
    )
    sensitivities_file: Text = Field(
        "./sensitivities.data",
        description="JSON file for the measured sensitivities, within the experiment's folder. The file of a later "
        "step is beside it and has .epoch<n> behind its name.",
    )
    sensitivities: dict[Text, SensitivitySection] = Field(
        {},
        description="Sensitivities that are already known and are not measured, by the name of the first kernel of "
        "each group.",
    )
    num_steps: int = Field(
        1,
        ge=1,
        le=20,
        description="Number of steps to the target. Each removes the same fraction of what is left.",
    )
    eval_rate: float | None = Field(
        None,
        ge=bounds.LEAST_SHARE,
        le=1,
        description="Fraction of the validation pictures that sensitivities are measured on. null: all of them.",
    )
