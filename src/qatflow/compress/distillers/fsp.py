"""FSPDistiller: how features change between two layers of the student follows how they change in the teacher."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import tensorflow as tf

from qatflow.compress.distillers.distiller import Distiller, Shape
from qatflow.config.recipe.distillation import FSPDistillerSection


class FSPDistiller(Distiller):
    """The mean squared difference of the pairs' flow matrices, added up (Yim et al. 2017, CVPR, eq. 1 and 2)."""

    def __init__(self, section: FSPDistillerSection):
        super().__init__(
            section.distillation_loss_weight, tuple(chain(*section.student_pairs)), tuple(chain(*section.teacher_pairs))
        )

    def problem(self, student: Sequence[Shape], teacher: Sequence[Shape]) -> str:
        """Return what keeps the matrices from being made, or compared."""
        for shapes in (student, teacher):
            for first, second in zip(shapes[::2], shapes[1::2], strict=True):
                if len(first) != 3 or first[:2] != second[:2]:
                    return f"the layers of a pair need one height and width; a pair has {first} and {second}"
        channels = [[shape[2] for shape in shapes] for shapes in (student, teacher)]
        if channels[0] != channels[1]:
            return f"the layers need as many channels as the teacher's; they have {channels[0]} and {channels[1]}"
        return ""

    def loss(self, student: Sequence[Any], teacher: Sequence[Any]) -> Any:
        """Return the sum over the pairs of each picture, float32 [n]."""
        differences = [
            tf.reduce_mean(tf.math.squared_difference(flow(*ours), flow(*theirs)), axis=(1, 2))
            for ours, theirs in zip(_pairs(student), _pairs(teacher), strict=True)
        ]
        return tf.add_n(differences)


def flow(first: Any, second: Any) -> Any:
    """Return the flow matrices, float32 [n, c1, c2]: the mean over the places of first · secondᵀ.

    Args:
        first: float32 [n, height, width, c1].
        second: float32 [n, height, width, c2].
    """
    places = first.shape[1] * first.shape[2]
    return tf.einsum("nhwa,nhwb->nab", first, second) / places


def _pairs(outputs: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(outputs[::2], outputs[1::2], strict=True))
