"""SoftLabelDistiller: the student's probabilities follow the teacher's."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from qatflow.compress.distillers.distiller import Distiller, Shape
from qatflow.config.recipe.distillation import SoftLabelDistillerSection


class SoftLabelDistiller(Distiller):
    """−Σ softmax(teacher / T_t) · log softmax(student / T_s) (Hinton et al. 2015, arXiv:1503.02531, §2).

    As in PaddleSlim the gradient is not multiplied by T².
    """

    softmaxes = True

    def __init__(self, section: SoftLabelDistillerSection):
        super().__init__(
            section.distillation_loss_weight, (section.student_feature_map,), (section.teacher_feature_map,)
        )
        self.section = section

    def problem(self, student: Sequence[Shape], teacher: Sequence[Shape]) -> str:
        """Return what keeps the two from being compared: one value a class is needed, for as many classes."""
        if len(student[0]) != 1 or student != teacher:
            return f"one value a class is needed of both; the outputs are {student[0]} and {teacher[0]}"
        return ""

    def loss(self, student: Sequence[Any], teacher: Sequence[Any]) -> Any:
        """Return the cross entropy of each picture, float32 [n], of logits [n, classes]."""
        target = tf.nn.softmax(teacher[0] / self.section.teacher_temperature)
        return tf.nn.softmax_cross_entropy_with_logits(target, student[0] / self.section.student_temperature)
