"""Quantisation-aware training with stock tfmot: quantize_model on Keras' MobileNetV1, without further calibration.

TensorFlow must be running.
"""

import sys
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

from qatflow.config.sections.model import ModelSection
from qatflow.data.manifest import Manifest
from qatflow.data.pipeline import training_data
from qatflow.graph.graph import Graph
from qatflow.graph.operations import BatchNorm, Input
from qatflow.training.loss import cross_entropy
from qatflow.training.settings import TrainingSettings
from qatflow.training.step import WarmupCosine


def quantised_mobilenet(graph: Graph, model: ModelSection, freeze_batch_norm: bool = False) -> Any:
    """Return tfmot's quantised Keras model with a graph's weights: pictures to probabilities.

    Args:
        graph: float, of `models.architectures.mobilenet_v1`.
        model: the configuration of that network.
        freeze_batch_norm: whether batch-norm stays fixed in training.
    """
    tf_keras.backend.clear_session()  # layer names are those of the graph
    (shape,) = (node.operation.shape for node in graph.nodes if isinstance(node.operation, Input))
    classes = graph.weights["conv_preds/bias"].size
    keras = tf_keras.applications.MobileNet(shape, model.width, dropout=model.dropout, weights=None, classes=classes)
    for layer in keras.layers:
        operation = graph.node(layer.name).operation
        if isinstance(operation, BatchNorm):
            layer.momentum = operation.momentum
            layer.trainable = not freeze_batch_norm
        for variable in layer.weights:
            variable.assign(graph.weights[f"{layer.name}/{_role(variable)}"])
    return tfmot.quantization.keras.quantize_model(keras)


def without_softmax(quantised: Any) -> Any:
    """Return the part of `quantised_mobilenet` up to the logits, with the same layers."""
    return tf_keras.Model(quantised.input, quantised.get_layer("quant_predictions").input)


def train(keras: Any, data: Manifest, settings: TrainingSettings) -> None:
    """Train a Keras model (pictures to logits) like `training.loop.Trainer`: same data, order, rate and decay."""
    pictures = training_data(
        data, batch_size=settings.batch_size, seed=settings.seed, augmentation=settings.augmentation
    )
    step = _training_step(keras, settings, pictures.steps)
    for epoch in range(settings.epochs):
        loss = sum(float(step(images, labels)) for images, labels in pictures.epoch(epoch)) / pictures.steps
        print(f"epoch {epoch}: loss {loss:.4f}", file=sys.stderr, flush=True)


def _training_step(keras: Any, settings: TrainingSettings, steps_per_epoch: int) -> Callable[[Any, Any], Any]:
    """Return a function that takes a step on float32 [n, height, width, channels], int64 [n], and returns the loss."""
    trained = keras.trainable_variables
    decay = [settings.weight_decay if _role(variable).endswith("kernel") else 0.0 for variable in trained]
    warmup_steps = round(settings.warmup_epochs * steps_per_epoch)
    schedule = WarmupCosine(settings.learning_rate, warmup_steps, settings.epochs * steps_per_epoch)
    optimizer = tf_keras.optimizers.SGD(schedule, momentum=settings.momentum, nesterov=True)
    optimizer.build(trained)

    def step(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = keras(images, training=True)
            loss = tf.reduce_mean(cross_entropy(labels, logits, settings.label_smoothing))
        gradients = tape.gradient(loss, trained)
        decayed = [g if d == 0.0 else g + d * v for g, v, d in zip(gradients, trained, decay, strict=True)]
        optimizer.apply_gradients(zip(decayed, trained, strict=True))
        return loss

    return tf.function(step, autograph=False)


def _role(variable: Any) -> str:
    return variable.name.split(":")[0].rsplit("/", 1)[-1]
