"""The sections of a compress YAML for distillation: PaddleSlim's distillers and the strategy that uses them.

Keys and defaults are PaddleSlim's (`distiller.py`, `distillation_strategy.py`, 1.x). Its feature maps are variables of
a Paddle program; here they are names of layers in the student and in the teacher.
"""

from typing import Annotated, Literal

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section, Text

Weight = Annotated[
    float,
    Field(
        ge=bounds.LEAST_WEIGHT,
        le=bounds.LARGEST_WEIGHT,
        description="Weight of the distiller's loss, which is added to the other losses.",
    ),
]
Pairs = Annotated[list[Annotated[list[Text], Field(min_length=2, max_length=2)]], Field(min_length=1)]


class SoftLabelDistillerSection(Section):
    """The cross entropy between the softmax outputs of both networks (Hinton et al. 2015, arXiv:1503.02531)."""

    class_: Literal["SoftLabelDistiller"] = Field(alias="class", description="The distiller's class.")
    student_feature_map: Text | None = Field(None, description="Name of the student's layer. null: its logits.")
    teacher_feature_map: Text | None = Field(None, description="Name of the teacher's layer. null: its logits.")
    student_temperature: float = Field(
        1.0,
        ge=bounds.LEAST_TEMPERATURE,
        le=bounds.LARGEST_TEMPERATURE,
        description="Temperature that the student's logits are divided by.",
    )
    teacher_temperature: float = Field(
        1.0,
        ge=bounds.LEAST_TEMPERATURE,
        le=bounds.LARGEST_TEMPERATURE,
        description="Temperature that the teacher's logits are divided by.",
    )
    distillation_loss_weight: Weight = 1.0


class L2DistillerSection(Section):
    """The mean squared difference of two feature maps (Romero et al. 2015, arXiv:1412.6550)."""

    class_: Literal["L2Distiller"] = Field(alias="class", description="The distiller's class.")
    student_feature_map: Text = Field(description="Name of the student's layer.")
    teacher_feature_map: Text = Field(description="Name of the teacher's layer, which has an output of the same shape.")
    distillation_loss_weight: Weight = 1.0


class FSPDistillerSection(Section):
    """The mean squared difference of the flow matrices between pairs of layers (Yim et al. 2017, CVPR)."""

    class_: Literal["FSPDistiller"] = Field(alias="class", description="The distiller's class.")
    student_pairs: Pairs = Field(
        description="Pairs of the student's layers; both of a pair have the same height and width."
    )
    teacher_pairs: Pairs = Field(
        description="As many pairs of the teacher's layers, in the same order and with the same numbers of channels."
    )
    distillation_loss_weight: Weight = 1.0


DistillerSection = Annotated[
    SoftLabelDistillerSection | L2DistillerSection | FSPDistillerSection, Field(discriminator="class_")
]


class DistillationStrategySection(Section):
    """One strategy of class DistillationStrategy."""

    class_: Literal["DistillationStrategy"] = Field(alias="class", description="The strategy's class.")
    distillers: list[Text] = Field(min_length=1, description="Names of distillers, which are defined under distillers.")
    start_epoch: int = Field(
        0, ge=0, le=bounds.EPOCHS, description="First epoch with the distillers' losses, counted from 0."
    )
    end_epoch: int = Field(
        0,
        ge=0,
        le=bounds.EPOCHS,
        description="First epoch without the distillers' losses. It is exclusive, as in PaddleSlim; the end_epoch of "
        "a QuantizationStrategy is inclusive.",
    )
    labels: bool = Field(
        True,
        description="Whether the loss of the labels is minimised as well. false: training follows the teacher alone, "
        "and no label counts but for the figures. The strategy must then act in all epochs.",
    )
    unlabeled: bool = Field(
        False,
        description="Whether training shows the pictures of data.unlabeled too, whose loss is that of the distillers "
        "alone. The strategy must then act in all epochs.",
    )

    def acts_always(self, epochs: int) -> bool:
        """Return whether the strategy acts in all epochs of a training."""
        return self.start_epoch == 0 and self.end_epoch >= epochs
