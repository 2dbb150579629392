"""TensorFlow Lite's own converter, for comparison with our .tflite files. TensorFlow must be running."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from qatflow.graph.graph import Graph
from qatflow.graph.head import classifier_head
from qatflow.training.keras_model import training_model


def quantised_after_training(graph: Graph, pictures: np.ndarray) -> bytes:
    """Return the converter's int8 .tflite of a float graph: post-training quantisation with its defaults.

    Weights per channel, activations asymmetric, ranges over all pictures; input and output are float32.

    Args:
        graph: float, with one output.
        pictures: float32 [n, height, width, channels]; their activations set the ranges.
    """
    keras = training_model(graph, seed=0, step=0).keras
    _, kind = classifier_head(graph)
    last = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid, "logits": tf.identity}[kind]

    def infer(picture: Any) -> Any:
        return last(keras(picture, training=False))

    def representative() -> Iterator[list[np.ndarray]]:
        for picture in pictures:
            yield [picture[None]]

    converter = _converter(infer, keras, pictures.shape[1:])
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return bytes(converter.convert())


def converted(keras: Any) -> bytes:
    """Return the .tflite of a Keras model with fake quantisation; its ranges become the scales."""
    return bytes(_converter(lambda picture: keras(picture, training=False), keras, keras.input_shape[1:]).convert())


def _converter(infer: Callable[[Any], Any], keras: Any, shape: tuple[int, ...]) -> Any:
    """Return a converter of `infer` for one picture [height, width, channels]; `keras` owns the variables."""
    function = tf.function(infer, input_signature=[tf.TensorSpec((1, *shape), tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], keras)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter
