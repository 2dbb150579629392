"""What the distillers share: which layers they look at, and the check before training that these can be compared."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.head import head_of
from qatflow.graph.shapes import shapes

Shape = tuple[int, ...]


class Distiller(ABC):
    """A loss between a student's outputs and a teacher's.

    Attributes:
        softmaxes: whether the loss takes the softmax of the layers, which sigmoids' logits are not for.
        weight: of the loss.
        student: names of the student's layers; None for the logits.
        teacher: names of the teacher's, as many.
    """

    softmaxes = False

    def __init__(self, weight: float, student: tuple[str | None, ...], teacher: tuple[str | None, ...]):
        self.weight = weight
        self.student = student
        self.teacher = teacher

    @abstractmethod
    def problem(self, student: Sequence[Shape], teacher: Sequence[Shape]) -> str:
        """Return what keeps outputs of these shapes (of one picture) from being compared; an empty text if nothing."""

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
        found, expected = ([shapes(graph)[one] for one in of] for graph, of in ((student, ours), (teacher, theirs)))
        for graph, layers, whose in ((student, ours, "student"), (teacher, theirs, "teacher")):
            if self.softmaxes and _sigmoids(graph, layers):
                raise UserError(
                    f"distillers.{name}: {', '.join(layers)} of the {whose} leads to sigmoids, and this distiller "
                    "compares softmaxes: use L2Distiller with the layers in front of the sigmoids, or end both models "
                    "in a softmax"
                )
        if problem := self.problem(found, expected):
            raise UserError(f"distillers.{name}: {', '.join(ours)} and the teacher's {', '.join(theirs)}: {problem}")
        return ours, theirs


def _sigmoids(graph: Graph, layers: Sequence[str]) -> bool:
    """Return whether one of the layers is what the last sigmoids of a graph make or read."""
    head = head_of(graph)
    return head.kind == "sigmoid" and bool({head.end, head.logits, *graph.outputs} & set(layers))


def _layer(graph: Graph, layer: str | None, distiller: str, whose: str) -> str:
    if layer is None:
        # training leaves out a softmax or sigmoids: behind a reshape the tensor of the output is that of the logits
        head, (output,) = head_of(graph), graph.outputs
        return head.logits if output == head.activation else output
    try:
        return graph.node(layer).name
    except UserError as error:
        raise UserError(f"distillers.{distiller}, layer of the {whose}: {error}") from error
