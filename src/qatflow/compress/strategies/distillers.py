"""The distillers: losses between a student and its teacher, and the check before training that they can compare."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import tensorflow as tf

from qatflow.base.errors import UserError
from qatflow.config.recipe.distillation import FSPDistillerSection, L2DistillerSection, SoftLabelDistillerSection
from qatflow.config.sections.base import Section
from qatflow.graph.graph import Graph
from qatflow.graph.head import head_of
from qatflow.graph.kinds import Shape
from qatflow.graph.shapes import shapes


class Distiller(ABC):
    """A loss between a student's outputs and a teacher's.

    Attributes:
        softmaxes: whether the loss takes the softmax of the layers, so that they must not lead to sigmoids.
        weight: of the loss.
        student: names of the student's layers; None for the logits.
        teacher: names of the same number of the teacher's layers.
    """

    softmaxes = False

    def __init__(self, weight: float, student: tuple[str | None, ...], teacher: tuple[str | None, ...]):
        self.weight = weight
        self.student = student
        self.teacher = teacher

    @abstractmethod
    def problem(self, student: Sequence[Shape], teacher: Sequence[Shape]) -> str:
        """Return why outputs of these shapes (of one picture) cannot be compared; an empty text if they can."""

    @abstractmethod
    def loss(self, student: Sequence[Any], teacher: Sequence[Any]) -> Any:
        """Return the loss of each picture, float32 [n], without its weight.

        Args:
            student: outputs of the layers named in `student`, float32 [n, …].
            teacher: those of the teacher.
        """

    def resolved(self, name: str, student: Graph, teacher: Graph) -> tuple[list[str], list[str]]:
        """Return the names of the layers in both graphs.

        Args:
            name: of the distiller, for the message.
            student: float graph.
            teacher: float graph.

        Raises:
            UserError: a layer is unknown, or the outputs cannot be compared.
        """
        ours = [_layer(student, layer, name, "student") for layer in self.student]
        theirs = [_layer(teacher, layer, name, "teacher") for layer in self.teacher]
        student_shapes, teacher_shapes = shapes(student), shapes(teacher)
        for graph, layers, whose in ((student, ours, "student"), (teacher, theirs, "teacher")):
            if self.softmaxes and _sigmoids(graph, layers):
                raise UserError(
                    f"distillers.{name}: {', '.join(layers)} of the {whose} leads to sigmoids, and this distiller "
                    "compares softmaxes: use L2Distiller with the layers in front of the sigmoids, or end both models "
                    "in a softmax"
                )
        problem = self.problem([student_shapes[name] for name in ours], [teacher_shapes[name] for name in theirs])
        if problem:
            raise UserError(f"distillers.{name}: {', '.join(ours)} and the teacher's {', '.join(theirs)}: {problem}")
        return ours, theirs


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
        """Return why the two cannot be compared: both need one value per class, for the same classes."""
        if len(student[0]) != 1 or student != teacher:
            return f"both need one value per class; the outputs are {student[0]} and {teacher[0]}"
        return ""

    def loss(self, student: Sequence[Any], teacher: Sequence[Any]) -> Any:
        """Return the cross entropy of each picture, float32 [n], of logits [n, classes]."""
        target = tf.nn.softmax(teacher[0] / self.section.teacher_temperature)
        return tf.nn.softmax_cross_entropy_with_logits(target, student[0] / self.section.student_temperature)


class L2Distiller(Distiller):
    """The mean of (student − teacher)² over a feature map (Romero et al. 2015, arXiv:1412.6550, eq. 3)."""

    def __init__(self, section: L2DistillerSection):
        super().__init__(
            section.distillation_loss_weight, (section.student_feature_map,), (section.teacher_feature_map,)
        )

    def problem(self, student: Sequence[Shape], teacher: Sequence[Shape]) -> str:
        """Return why the two cannot be compared: they need the same shape."""
        if student == teacher:
            return ""
        return f"both outputs need the same shape; they are {student[0]} and {teacher[0]}"

    def loss(self, student: Sequence[Any], teacher: Sequence[Any]) -> Any:
        """Return the mean squared difference of each picture, float32 [n]."""
        difference = tf.math.squared_difference(student[0], teacher[0])
        return tf.reduce_mean(tf.reshape(difference, [tf.shape(difference)[0], -1]), axis=1)


class FSPDistiller(Distiller):
    """The mean squared difference of the pairs' flow matrices, added up (Yim et al. 2017, CVPR, eq. 1 and 2)."""

    def __init__(self, section: FSPDistillerSection):
        super().__init__(
            section.distillation_loss_weight, tuple(chain(*section.student_pairs)), tuple(chain(*section.teacher_pairs))
        )

    def problem(self, student: Sequence[Shape], teacher: Sequence[Shape]) -> str:
        """Return why the matrices cannot be computed, or not be compared."""
        for pairs in (_pairs(student), _pairs(teacher)):
            for first, second in pairs:
                if len(first) != 3 or first[:2] != second[:2]:
                    return f"the layers of a pair need the same height and width; a pair has {first} and {second}"
        ours, theirs = [shape[2] for shape in student], [shape[2] for shape in teacher]
        if ours != theirs:
            return f"the layers need as many channels as the teacher's; they have {ours} and {theirs}"
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


def _sigmoids(graph: Graph, layers: Sequence[str]) -> bool:
    """Return whether one of the layers is the output or the input of the last sigmoids of a graph."""
    head = head_of(graph)
    return head.kind == "sigmoid" and bool({head.end, head.logits, *graph.outputs} & set(layers))


def _layer(graph: Graph, layer: str | None, distiller: str, whose: str) -> str:
    if layer is None:
        # training leaves out a final softmax or sigmoids, so that behind a reshape the output is the logits
        head, (output,) = head_of(graph), graph.outputs
        return head.logits if output == head.activation else output
    try:
        return graph.node(layer).name
    except UserError as error:
        raise UserError(f"distillers.{distiller}, layer of the {whose}: {error}") from error


DISTILLERS: dict[type[Section], Callable[[Any], Distiller]] = {
    SoftLabelDistillerSection: SoftLabelDistiller,
    L2DistillerSection: L2Distiller,
    FSPDistillerSection: FSPDistiller,
}
"""The distillers by the sections of the compress YAML that describe them."""
