"""Takes a network of the zoo from Keras to the emulator; run by zoo.py in a process of its own, on one thread."""

import argparse
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.base.cli import entry
from qatflow.base.errors import UserError
from qatflow.base.provenance import commit
from qatflow.config.sections.device import DeviceSection
from qatflow.graph.counts import total
from qatflow.graph.float_layers import float_layers
from qatflow.graph.graph import Graph
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert
from qatflow.tflite.read import WEIGHTED, operators
from qatflow.tflite.run import Model
from qatflow.tflite.verify import verify
from zoo_layers import layer_steps
from zoo_networks import CLASSES, NETWORKS, Network
from zoo_row import Problem, Row, differences, kinds, write

LARGEST = 100.0
"""Norm of all gradients together to which larger ones are scaled: in EfficientNetV2L, random as it is, one step would
move kernels by hundreds, far beyond the ranges that are calibrated."""
SETTINGS = QuantSettings(8, 8, "channel_wise_abs_max", "moving_average_min_max")
SEED, STATISTICS, PICTURES, EMULATED, RATE = 0, 32, 4, 2, 1e-3


def random_pictures(model: Any, size: int) -> np.ndarray:
    """Return pictures as the model wants them: 0 … 255 if it rescales them itself, otherwise around 0."""
    random, shape = np.random.default_rng(SEED), (STATISTICS, size, size, 3)
    rescales = any(type(layer).__name__ in ("Rescaling", "Normalization") for layer in model.layers)
    values = random.uniform(0, 255, shape) if rescales else random.normal(0, 1, shape)
    return values.astype(np.float32)


def randomise(model: Any, pictures: np.ndarray) -> None:
    """Give a Keras model random gammas and betas, and the pictures' own statistics."""
    import tf_keras

    random = np.random.default_rng(SEED)
    drawn = {"gamma": (0.5, 1.5), "beta": (-0.5, 0.5)}
    for weight in model.weights:
        role = weight.name.split(":")[0].rsplit("/", 1)[-1]
        if role in drawn:
            weight.assign(random.uniform(*drawn[role], weight.shape))
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(pictures, training=True)


def trained_step(graph: Graph, pictures: np.ndarray) -> tuple[Graph, float]:
    """Return the graph with the integers after a training step with fake quantisation, and the step's loss."""
    import tensorflow as tf

    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.graph.head import classifier_head
    from qatflow.training.keras_model import training_model
    from qatflow.training.loss import cross_entropy

    quantisers = Quantisers(graph, SETTINGS)
    model = training_model(graph, seed=SEED, step=tf.constant(0, tf.int64), hooks=quantisers)
    quantisers.phase.mode = "calibrate"
    model.keras(pictures, training=False)
    quantisers.phase.mode = "quantise"
    labels = tf.constant(np.arange(len(pictures)) % CLASSES, tf.int64)
    trained = model.keras.trainable_variables
    with tf.GradientTape() as tape:
        logits = model.keras(pictures, training=True)
        loss = tf.reduce_mean(cross_entropy(labels, logits, 0.0, classifier_head(graph)[1]))
    gradients = tape.gradient(loss, trained)
    for variable, gradient in zip(trained, gradients, strict=True):
        if not np.isfinite(gradient.numpy()).all():
            raise UserError(f"the gradient of {variable.name} is not finite")
    for variable, gradient in zip(trained, tf.clip_by_global_norm(gradients, LARGEST)[0], strict=True):
        variable.assign_sub(RATE * gradient)
    return quantisers.quantised_graph(model)[0], float(loss)


def cut_at_integers(content: bytes, folder: Path) -> Path:
    """Write the .tflite with its last integer tensor as output, and return the file."""
    from qatflow.device.run.cut import expose_integers

    whole, cut = folder / "model.tflite", folder / "integers.tflite"
    whole.write_bytes(content)
    if expose_integers(whole, cut) is None:
        raise UserError("its logits do not come from a single integer tensor")
    return cut


def end_steps(graph: Graph, integers: Path, pictures: np.ndarray) -> float:
    """Return the greatest difference of the integer logits from training's fake-quantised ones, in steps."""
    from qatflow.evaluate.fake_quant_model import fake_quant_model

    model = Model(integers)
    real = fake_quant_model(graph).keras(pictures, training=False).numpy().reshape(len(pictures), -1)
    return float(np.abs(model.outputs(pictures) - real / model.output.scale - model.output.zero_point).max())


def emulated(model: Path, bundle: Path, pictures: np.ndarray) -> tuple[int, int]:
    """Run pictures in the emulator; return for how many the outputs are equal, and the greatest difference."""
    from qatflow.device.build.bundle import open_bundle
    from qatflow.device.run.demo import Demo
    from qatflow.device.run.registry import device_settings, open_device

    host = Model(model)
    with open_device(device_settings(DeviceSection())) as device:
        demo = Demo(device, open_bundle(bundle))
        demo.push_model({"model.tflite": model}, "zoo")
        there = demo.outputs("zoo", host.input.from_real(pictures), host.output, 1)
    return differences(host.outputs(pictures), there)


def measured(network: Network, bundle: Path, folder: Path) -> Row:
    """Take the network through everything.

    Raises:
        UserError: it does not go through.
    """
    import tf_keras

    from qatflow.models.from_keras import translated
    from qatflow.training.runtime import import_quantisation, start

    start(SEED, 1)
    import_quantisation()
    began = time.process_time()
    tf_keras.utils.set_random_seed(SEED)
    keras = network.build()
    several = random_pictures(keras, network.size)
    randomise(keras, several)
    pictures = several[:PICTURES]
    expected = keras(pictures, training=False).numpy()
    graph = translated(keras, 0.9).graph
    del keras
    plain = convert(graph).content
    # some end in logits
    apart = float(np.abs(Model(plain).outputs(pictures) - expected).max() / max(1.0, np.abs(expected).max()))
    quantised, loss = trained_step(graph, several)
    made = convert(quantised)
    verify(made.graph, made.content)
    cut = cut_at_integers(made.content, folder)
    worst = layer_steps(quantised, made, pictures)
    equal, most = emulated(cut, bundle, pictures[:EMULATED])
    weighted = [operator for operator in operators(made.content) if operator.name in WEIGHTED]
    return Row(
        network=network.name,
        size=network.size,
        parameters=total(graph).parameters,
        multiply_adds=total(graph).multiply_adds,
        float_difference=apart,
        loss=loss,
        int8_layers=sum(operator.outputs[0].dtype == "INT8" for operator in weighted),
        weighted_layers=len(weighted),
        in_float=kinds(float_layers(graph).values()),
        float_bytes=len(plain),
        int8_bytes=len(made.content),
        layers_compared=len(worst),
        layer_steps=max(worst.values()),
        worst_layer=max(worst, key=lambda name: worst[name]),
        end_steps=end_steps(quantised, cut, pictures),
        pictures=PICTURES,
        emulated=EMULATED,
        emulated_equal=equal,
        emulated_steps=most,
        seconds=time.process_time() - began + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]),
        peak_memory=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        commit=str(commit()),
    )


def main(argv: Sequence[str]) -> None:
    """Measure a network and write its row; a network that is refused gets a row with the reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args(argv)
    for row in _rows(NETWORKS[arguments.network], arguments.work):
        write(arguments.rows, row)


def _rows(network: Network, work: Path) -> Iterator[Row | Problem]:
    folder = work / network.name.replace(" ", "_")
    folder.mkdir(exist_ok=True)
    try:
        yield measured(network, work / "bundle", folder)
    except UserError as error:
        yield Problem(network.name, str(error), str(commit()))


if __name__ == "__main__":
    entry(main)
