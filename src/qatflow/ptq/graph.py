"""Quantisation of our own graph after training: ranges, rounding and corrections from pictures without labels."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qatflow.base.errors import UserError
from qatflow.config.sections.ptq import PtqSection
from qatflow.graph.bias_steps import with_fine_biases
from qatflow.graph.graph import Graph
from qatflow.graph.kernel_bounds import held
from qatflow.graph.names import listed
from qatflow.graph.never_negative import never_negative
from qatflow.graph.operations import BatchNorm
from qatflow.graph.same_rounding import settled
from qatflow.graph.silent_channels import silence
from qatflow.graph.store import integer_type
from qatflow.ptq.samples import SAMPLED, Layer, as_kernel, as_matrix, sample
from qatflow.quantisation.as_if_quantised import nearest_integers
from qatflow.quantisation.equalisation import equalised
from qatflow.quantisation.placement import QuantSettings, fits, quantised_kernels, quantised_tensors
from qatflow.quantisation.rounding import Samples, adaround
from qatflow.quantisation.widths import tensor_bits
from qatflow.trial.calibrated_ranges import calibrated_ranges
from qatflow.trial.pictures import Pictures

Log = Callable[[str], None]


def quantise_graph(
    graph: Graph,
    settings: QuantSettings,
    section: PtqSection,
    pictures: Pictures,
    seed: int,
    log: Log = print,
) -> Graph:
    """Return the quantised graph.

    With adaround or a correction, the layers follow one another: each sees what those before it give when they are
    quantised and corrected. Otherwise the result is that of the nearest integers.

    Args:
        graph: float.
        settings: types and widths.
        section: how to round and what to correct.
        pictures: calibration pictures; labels are not used.
        seed: of the choice of places in the pictures, and of the order of training.
        log: takes a line for each layer.

    Raises:
        UserError: the run-time has no kernel for an operation, a tensor holds values that are not finite numbers, or
            nothing can be equalised, or nothing re-estimated.
    """
    if section.equalize_layers:
        graph, changed = equalised(graph)
        if not changed:
            raise UserError(
                "ptq.equalize_layers: the network has no two layers without batch-norm and with nothing but ReLU, "
                "pooling or padding between them; set it to false"
            )
        log(f"ranges equalised between {listed(changed)}")
    kernels = quantised_kernels(graph, settings.quantizable_op_type, settings.skip_pattern)
    tensors = quantised_tensors(graph, kernels, settings.skip_pattern)
    widths = tensor_bits(graph, tensors, settings.activation_bits)
    by_tensor = fits(settings, widths, never_negative(graph))
    ranges = calibrated_ranges(graph, by_tensor, widths, settings.calibration_method, pictures)
    quantised = nearest_integers(graph, settings, ranges, section.weight_range)
    if _layer_by_layer(section):
        plain = [name for name in kernels if not isinstance(graph.node(name).operation, SAMPLED)]
        if plain:
            log(f"rounded to the nearest integers, and not corrected: {listed(plain)}")
        layers = [Layer.of(graph, graph.node(name)) for name in kernels if name not in plain]
        if section.batch_norm != "keep" and not any(layer.norm for layer in layers):
            raise UserError("ptq.batch_norm: no quantised layer has batch-norm behind it; set it to keep")
        for number, layer in enumerate(layers):
            samples = sample(graph, quantised, layer, pictures, seed + number)
            quantised = _finished(quantised, layer, samples, section, seed + number, pictures.processes, log)
    return with_fine_biases(silence(settled(held(quantised)[0]))[0])


def _layer_by_layer(section: PtqSection) -> bool:
    return section.rounding != "nearest" or section.bias_correction or section.batch_norm != "keep"


def _finished(
    quantised: Graph, layer: Layer, samples: Samples, section: PtqSection, seed: int, processes: int, log: Log
) -> Graph:
    """Return the graph in which a layer is rounded and corrected."""
    node = layer.node
    assert node.kernel is not None
    weights = dict(quantised.weights)
    integers = as_matrix(node, weights[node.kernel]).astype(np.float32)
    before = float(samples.errors(integers).sum())
    if section.rounding == "adaround":
        integers = adaround(samples, integers, section.rounding_steps, seed, processes)
        shape = weights[node.kernel].shape
        weights[node.kernel] = as_kernel(integers, shape).astype(integer_type(samples.bits))
    if section.batch_norm != "keep" and layer.norm is not None:
        weights |= BATCH_NORMS[section.batch_norm](quantised, layer, samples, integers)
        gain, offset = layer.gain_and_offset(replace(quantised, weights=weights))
        samples = samples.followed_by(gain, offset)
    if section.bias_correction:
        name, bias = corrected(replace(quantised, weights=weights), layer, samples, integers)
        weights[name] = bias
        gain, offset = layer.gain_and_offset(replace(quantised, weights=weights))
        samples = samples.followed_by(gain, offset)
    after = float(samples.errors(integers).sum())
    log(f"{node.name}: squared error of its outputs {before:.4g}, then {after:.4g}")
    return replace(quantised, weights=weights)


def reestimated(graph: Graph, layer: Layer, samples: Samples, integers: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean and variance of a quantised layer's sums over its samples, by the names of batch-norm's weights."""
    assert layer.norm is not None
    mean, variance = _moments(samples.inputs @ (integers * samples.scale).astype(np.float32))
    bias = graph.weights.get(layer.node.weight("bias"), np.float32(0))
    return {
        layer.norm.weight("moving_mean"): (mean + bias).astype(np.float32),
        layer.norm.weight("moving_variance"): variance.astype(np.float32),
    }


def matched(graph: Graph, layer: Layer, samples: Samples, integers: np.ndarray) -> dict[str, np.ndarray]:
    """Return all four weights of a quantised layer's batch-norm, by their names.

    Each output channel then has the mean and the variance that the float layer has over the same samples.
    `reestimated` gives it the moments of the training pictures instead, which the few calibration pictures, prepared in
    another way, do not have. A channel without variance in either keeps its factor.
    """
    assert layer.norm is not None and isinstance(layer.norm.operation, BatchNorm)
    own = reestimated(graph, layer, samples, integers)
    spread = own[layer.norm.weight("moving_variance")].astype(np.float64)
    mean, variance = _moments(samples.targets)
    gain, _ = layer.gain_and_offset(graph)
    seen = (spread > 0) & (variance > 0)
    size = np.where(seen, np.sqrt(variance / np.where(seen, spread, 1)), np.abs(gain))
    gamma = np.copysign(size, gain) * np.sqrt(spread + layer.norm.operation.epsilon)
    norm = {"gamma": gamma.astype(np.float32), "beta": mean.astype(np.float32)}
    return {**own, **{layer.norm.weight(role): values for role, values in norm.items()}}


BATCH_NORMS = {"reestimate": reestimated, "match": matched}
"""What is done with batch-norm, by `ptq.batch_norm`."""


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of each output channel, float64 [channels], of [groups, places, makes]."""
    mean, variance = (f(values, axis=1, dtype=np.float64).reshape(-1) for f in (np.mean, np.var))
    return mean, variance


def corrected(graph: Graph, layer: Layer, samples: Samples, integers: np.ndarray) -> tuple[str, np.ndarray]:
    """Return name and new values of the bias, batch-norm's or the layer's own, less each channel's mean error.

    The error is that before the activation function (Nagel et al. 2019, arXiv:1906.04721, §4.2, empirical).
    """
    error = (samples.outputs(integers).astype(np.float64) - samples.targets).mean(axis=1).reshape(-1)
    name = layer.node.weight("bias") if layer.norm is None else layer.norm.weight("beta")
    bias = graph.weights.get(name, np.zeros(error.size, np.float32))
    return name, (bias - error).astype(np.float32)
