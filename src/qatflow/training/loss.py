"""What a step of training minimises, beside weight decay."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from qatflow.graph.head import Kind
from qatflow.training.figures import cross_entropy


class Batch(NamedTuple):
    """A batch of training pictures, or a replica's part of it.

    Attributes:
        pictures: float32 [n, height, width, channels], as the network gets them.
        labels: int64 [n].
        positions: int64 [n], of each picture in the training split.
    """

    pictures: Any
    labels: Any
    positions: Any


class Loss(Protocol):
    """A loss of each picture."""

    @property
    def looks_at(self) -> tuple[str, ...]:
        """Names of the nodes whose outputs it needs, beside the logits."""

    def __call__(self, batch: Batch, logits: Any, outputs: Mapping[str, Any]) -> Any:
        """Return the loss of each picture, float32 [n].

        Args:
            batch: the pictures.
            logits: float32 [n, classes].
            outputs: by name what the nodes that it looks at put out, in what they compute in.
        """


@dataclass(frozen=True)
class CrossEntropy:
    """The cross entropy with the labels.

    Attributes:
        smoothing: share of the target spread over all classes.
        kind: what the logits lead to.
    """

    smoothing: float
    kind: Kind = "softmax"
    looks_at: tuple[str, ...] = ()

    def __call__(self, batch: Batch, logits: Any, outputs: Mapping[str, Any]) -> Any:
        """Return the cross entropy of each picture, float32 [n]."""
        return cross_entropy(batch.labels, logits, self.smoothing, self.kind)
