"""The float model quantised after training by TensorFlow Lite's converter, with the calibration pictures."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from qatflow.data.manifest import read_manifest
from qatflow.data.reader import calibration
from qatflow.files import whole_file
from qatflow.graph.operations import Softmax
from qatflow.graph.store import load
from qatflow.tensorflow_runtime import start


def quantise_after_training(pretrained: Path, data: Path, output: Path, threads: int) -> int:
    """Write the int8 .tflite that the converter makes of a float model; return its bytes.

    Weights per channel, activations asymmetric, ranges over all calibration pictures: the converter's defaults. Input
    and output are float32, as those of our own models.

    Args:
        pretrained: folder of the float graph.
        data: manifest.json of the data.
        output: file to write.
        threads: threads of TensorFlow.
    """
    graph, pictures = load(pretrained), calibration(read_manifest(data))
    start(0, threads)
    import tensorflow as tf

    from qatflow.training.keras_model import training_model

    keras = training_model(graph, seed=0, step=0).keras
    ends_in_softmax = isinstance(graph.node(graph.outputs[0]).operation, Softmax)

    @tf.function(input_signature=[tf.TensorSpec((1, *pictures.shape[1:]), tf.float32)])
    def infer(picture: tf.Tensor) -> tf.Tensor:
        logits = keras(picture, training=False)
        return tf.nn.softmax(logits) if ends_in_softmax else logits

    def representative() -> Iterator[list[np.ndarray]]:
        for picture in pictures:
            yield [picture[None]]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([infer.get_concrete_function()], keras)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    content: bytes = converter.convert()
    with whole_file(output) as temporary:
        temporary.write_bytes(content)
    return len(content)
