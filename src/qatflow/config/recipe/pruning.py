"""The sections of a compress YAML for filter pruning: PaddleSlim's pruners and the strategies that use them.

The strategy that searches its ratios is in `search_model`.

Keys and defaults are PaddleSlim's (`prune_strategy.py`, `pruner.py`, 1.x), except `pruned_params`: its default
`conv.*_weights` names no kernel here. `target` and `geometric_median` are beyond PaddleSlim.
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
        raise ValueError(f"is no regular expression: {error}") from error
    return pattern


Share = Annotated[float, Field(ge=bounds.LEAST_SHARE, lt=1)]
Loss = Annotated[float, Field(ge=-1, le=1)]
Expression = Annotated[Text, AfterValidator(_expression)]


class StructurePrunerSection(Section):
    """A pruner: how the channels to remove are chosen."""

    class_: Literal["StructurePruner"] = Field(alias="class", description="The pruner's class.")
    pruning_axis: dict[Text, Literal[0]] = Field(
        {"*": 0}, description="Always 0, a layer's output channels: PaddleSlim's key, which its code does not read."
    )
    criterions: dict[Text, CriterionName] = Field(
        {"*": "l1_norm"},
        description="How much a filter matters, by the kernel's name (`<layer>/kernel`), * for all others. l1_norm: "
        "the sum of its magnitudes; geometric_median: the sum of its distances to the layer's others.",
    )


class PruneStrategySection(Section):
    """What all strategies have that prune filters."""

    pruner: Text = Field(description="Name of a pruner under pruners.")
    start_epoch: int = Field(
        0, ge=0, le=bounds.EPOCHS, description="Channels are removed before this epoch, counted from 0."
    )
    metric_name: Literal["acc_top1", "acc_top5"] = Field(
        "acc_top1", description="Accuracy on the validation pictures that is printed, and that sensitivities are of."
    )
    pruned_params: Expression = Field(
        ".*",
        description="Regular expression that the beginning of a kernel's name (`<layer>/kernel`) matches; layers tied "
        "to one of these are pruned with it.",
    )


class TargetedPruneStrategySection(PruneStrategySection):
    """What the strategies have that remove a given share."""

    target_ratio: float = Field(0.5, ge=bounds.LEAST_SHARE, lt=1, description="Share that is removed, of 1.")
    target: Literal["flops", "params"] = Field(
        "flops", description="What target_ratio is a share of: multiply-adds, as in PaddleSlim, or parameters."
    )


class UniformPruneStrategySection(TargetedPruneStrategySection):
    """One strategy of class UniformPruneStrategy: all layers lose the same share of their channels."""

    class_: Literal["UniformPruneStrategy"] = Field(alias="class", description="The strategy's class.")
    end_epoch: int = Field(
        0, ge=0, le=bounds.EPOCHS, description="PaddleSlim's key, without effect: training goes on to the last epoch."
    )


class SensitivitySection(Section):
    """What pruning one layer costs, in the form of the sensitivities file."""

    size: int | None = Field(None, ge=1, le=bounds.CHANNELS, description="Channels of the layer; not needed.")
    pruned_percent: list[Share] = Field(min_length=1, description="Shares of its channels that went, ascending, of 1.")
    loss: list[Loss] = Field(min_length=1, description="Accuracy lost by each, of 1.")


class SensitivePruneStrategySection(TargetedPruneStrategySection):
    """One strategy of class SensitivePruneStrategy: layers whose pruning costs less accuracy lose more channels."""

    class_: Literal["SensitivePruneStrategy"] = Field(alias="class", description="The strategy's class.")
    end_epoch: int = Field(
        0,
        ge=0,
        le=bounds.EPOCHS,
        description="With num_steps above 1, the last steps are taken by this epoch, converged or not.",
    )
    delta_rate: float = Field(
        0.2,
        ge=0.01,
        le=0.5,
        description="Each layer alone is pruned by this share, by twice it, … below 1.",
    )
    sensitivities_file: Text = Field(
        "./sensitivities.data",
        description="JSON file of what was measured, within the experiment's folder; that of a further step lies "
        "beside it, with .epoch<n> behind the name.",
    )
    sensitivities: dict[Text, SensitivitySection] = Field(
        {},
        description="Sensitivities that are known and not measured, by the name of the group's first kernel.",
    )
    num_steps: int = Field(
        1,
        ge=1,
        le=20,
        description="Steps to the target, each removing the same share of what is left.",
    )
    eval_rate: float | None = Field(
        None,
        ge=bounds.LEAST_SHARE,
        le=1,
        description="Share of the validation pictures that sensitivities are measured on; null: all.",
    )
