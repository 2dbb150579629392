"""What a training step minimises, beside weight decay; and loss, top-1 and top-5 summed over batches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from qatflow.graph.head import HeadKind, classifier_head
from qatflow.training.keras_model import TrainingModel
from qatflow.training.replicas import Replicas


class Batch(NamedTuple):
    """A batch of training pictures, or a replica's part of it.

    Attributes:
        pictures: float32 [n, height, width, channels], as the network gets them.
        labels: int64 [n]; −1 for a picture without a label.
        positions: int64 [n], of each picture in the training split.
    """

    pictures: Any
    labels: Any
    positions: Any


class Loss(Protocol):
    """A loss per picture."""

    @property
    def looks_at(self) -> tuple[str, ...]:
        """Names of the nodes whose outputs it needs, beside the logits."""

    def __call__(self, batch: Batch, logits: Any, outputs: Mapping[str, Any]) -> Any:
        """Return the loss of each picture, float32 [n].

        Args:
            batch: the pictures.
            logits: float32 [n, classes].
            outputs: output of each node that it looks at, by name, in the precision that the node computes in.
        """


@dataclass(frozen=True)
class CrossEntropy:
    """The cross entropy with the labels.

    Attributes:
        smoothing: share of the target spread over all classes.
        kind: what the logits lead to.
        unlabeled: whether some pictures have no label.
    """

    smoothing: float
    kind: HeadKind = "softmax"
    unlabeled: bool = False
    looks_at: tuple[str, ...] = ()

    def __call__(self, batch: Batch, logits: Any, outputs: Mapping[str, Any]) -> Any:
        """Return the cross entropy of each picture, float32 [n]."""
        return cross_entropy(batch.labels, logits, self.smoothing, self.kind, unlabeled=self.unlabeled)


def cross_entropy(
    labels: Any, logits: Any, smoothing: float, kind: HeadKind = "softmax", *, unlabeled: bool = False
) -> Any:
    """Return the cross entropy of each picture, float32 [n]; 0, and without a gradient, for those without a label.

    For sigmoids it is −Σ (t · log σ(z) + (1 − t) · log(1 − σ(z))) over the classes, with t = 1 for the label's class.
    It is the sum (Keras' BinaryCrossentropy is the mean), so that the gradient of a logit is σ(z) − t, like p − t for a
    softmax, and learning rates keep their meaning.

    Args:
        labels: int64 [n]; −1 for a picture without a label.
        logits: float32 [n, classes].
        smoothing: share of the target spread over all classes.
        kind: what the logits lead to.
        unlabeled: whether some pictures have no label; without this, none may be −1.
    """
    classes = logits.shape[-1]
    target = tf.one_hot(labels, classes) * (1.0 - smoothing) + smoothing / classes
    if kind == "sigmoid":
        each = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(target, logits), axis=-1)
    else:
        each = tf.nn.softmax_cross_entropy_with_logits(target, logits)
    return tf.where(tf.less(labels, 0), tf.zeros_like(each), each) if unlabeled else each


def sums(labels: Any, logits: Any, kind: HeadKind = "softmax", *, unlabeled: bool = False) -> Any:
    """Return loss, top-1 hits, top-5 hits and number of the labelled pictures of a batch, float64 [4].

    Args:
        labels: int64 [n]; −1 for a picture without a label.
        logits: float32 [n, classes]; sigmoid and softmax keep their order.
        kind: what they lead to.
        unlabeled: whether some pictures have no label; without this, none may be −1.
    """
    loss = tf.reduce_sum(cross_entropy(labels, logits, 0.0, kind, unlabeled=unlabeled))
    top1 = tf.reduce_sum(tf.cast(tf.equal(tf.argmax(logits, -1), tf.cast(labels, tf.int64)), tf.float32))
    top5 = tf.reduce_sum(tf.cast(tf.math.in_top_k(tf.cast(labels, tf.int32), logits, 5), tf.float32))
    count = tf.reduce_sum(tf.cast(labels >= 0, tf.float32)) if unlabeled else tf.cast(tf.size(labels), tf.float32)
    return tf.cast(tf.stack([loss, top1, top5, count]), tf.float64)


Evaluate = Callable[..., tuple[float, float, float]]
"""Batches to mean cross entropy, top-1 and top-5."""


def evaluator(model: TrainingModel, replicas: Replicas | None = None) -> Evaluate:
    """Return a function from batches of (pictures, labels) to mean cross entropy, top-1 and top-5 (shares of 1).

    Its second argument, if given, is called before each batch, and may raise.

    Args:
        model: of a classifier.
        replicas: that the model was made for; None: one.

    Raises:
        UserError: the model does not end as a classifier does.
    """
    replicas = replicas or Replicas([])
    _, kind = classifier_head(model.graph)

    def of_batch(pictures: Any, labels: Any) -> Any:
        return sums(labels, model.keras(pictures, training=False), kind)

    step = tf.function(replicas.summed(of_batch), autograph=False, reduce_retracing=True)

    def evaluate(batches: Any, before_batch: Callable[[], None] = lambda: None) -> tuple[float, float, float]:
        total = np.zeros(4)
        for pictures, labels in replicas.shared(batches):
            before_batch()
            total += step(pictures, labels).numpy()
        loss, top1, top5, count = (float(value) for value in total)
        return loss / count, top1 / count, top5 / count

    return evaluate
