"""L2Distiller: a feature map of the student follows one of the teacher."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from qatflow.compress.distillers.distiller import Distiller, Shape
from qatflow.config.recipe.distillation import L2DistillerSection


class L2Distiller(Distiller):
    """The mean of (student − teacher)² over a feature map (Romero et al. 2015, arXiv:1412.6550, eq. 3)."""

    def __init__(self, section: L2DistillerSection):
        super().__init__(
            section.distillation_loss_weight, (section.student_feature_map,), (section.teacher_feature_map,)
        )

    def problem(self, student: Sequence[Shape], teacher: Sequence[Shape]) -> str:
        """Return what keeps the two from being compared: they need one shape."""
        return "" if student == teacher else f"outputs of one shape are needed; they are {student[0]} and {teacher[0]}"

    def loss(self, student: Sequence[Any], teacher: Sequence[Any]) -> Any:
        """Return the mean squared difference of each picture, float32 [n]."""
        difference = tf.math.squared_difference(student[0], teacher[0])
        return tf.reduce_mean(tf.reshape(difference, [tf.shape(difference)[0], -1]), axis=1)
