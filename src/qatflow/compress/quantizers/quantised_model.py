"""Puts quantisers into a training model, and reads integers and scales out of it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from tensorflow_model_optimization.quantization.keras import QuantizeConfig, QuantizeWrapperV2
from tf_keras import layers

from qatflow.compress.quantizers.activations import ActivationQuantizer
from qatflow.compress.quantizers.clustered import ClusteredWeight, Clusters
from qatflow.compress.quantizers.fake_quant import Phase
from qatflow.compress.quantizers.fixed_grid import FixedGrid
from qatflow.compress.quantizers.grid_rounding import Grid, GridRounding
from qatflow.compress.quantizers.pact import LearnedClip
from qatflow.compress.quantizers.table import activation_quantizer, weight_quantizer
from qatflow.compress.quantizers.weights import AbsMaxWeight, WeightQuantizer
from qatflow.config.recipe.recipe import BY_CHANNEL
from qatflow.graph.bias_steps import with_fine_biases
from qatflow.graph.families import PASS_THROUGH, Rounding, fixed_grid, rounding
from qatflow.graph.graph import ActivationScale, Graph, Node, WeightScale
from qatflow.graph.kernel_bounds import held
from qatflow.graph.kernels import trained_kernels
from qatflow.graph.names import layer_names, tensor_layer
from qatflow.graph.never_negative import never_negative
from qatflow.graph.operations import Dense
from qatflow.graph.same_rounding import settled
from qatflow.graph.silent_channels import silence
from qatflow.graph.store import integer_type
from qatflow.quantisation.placement import (
    QuantSettings,
    fits,
    nodes_in_float,
    quantised_kernels,
    quantised_operands,
    quantised_tensors,
    shared_scales,
)
from qatflow.quantisation.widths import kernel_bits, operand_bits, tensor_bits
from qatflow.training.keras_model import TrainingModel


class KernelConfig(QuantizeConfig):
    """tfmot's description of a layer whose kernel alone is quantised."""

    def __init__(self, role: str, quantizer: WeightQuantizer):
        self.role = role
        self.quantizer = quantizer

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, WeightQuantizer]]:
        """Return the kernel and its quantiser."""
        return [(getattr(layer, self.role), self.quantizer)]

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        """Let the layer compute with the quantised kernel."""
        setattr(layer, self.role, quantize_weights[0])

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        """Return none: activations are nodes of their own."""
        return []

    @tf.autograph.experimental.do_not_convert
    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        """Do nothing: activations are nodes of their own."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """Return none: a tensor's quantiser is a layer of its own."""
        return []

    def get_config(self) -> dict[str, Any]:
        """Return the settings (tfmot's interface)."""
        return {"role": self.role, "quantizer": self.quantizer.get_config()}


class TensorConfig(KernelConfig):
    """tfmot's description of a layer whose output alone is quantised."""

    def __init__(self, quantizer: ActivationQuantizer):
        self.output_quantizer = quantizer

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        """Return none."""
        return []

    @tf.autograph.experimental.do_not_convert
    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        """Do nothing."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """Return the quantiser of the output."""
        return [self.output_quantizer]

    def get_config(self) -> dict[str, Any]:
        """Return the settings (tfmot's interface)."""
        return {"quantizer": self.output_quantizer.get_config()}


@dataclass
class Quantisers:
    """Hooks that put quantisers into a model while it is built, and remember them.

    Attributes:
        graph: the float graph.
        settings: bits and types.
        phase: what the quantisers are doing, shared by all.
        clusters: how kernels are clustered before they are quantised; None: they are not.
        least: smallest scale that the device's kernels accept, by node, where the range alone would give a smaller one.
    """

    graph: Graph
    settings: QuantSettings
    phase: Phase = field(default_factory=Phase)
    clusters: Clusters | None = None
    least: dict[str, float] = field(default_factory=dict)
    _kernels: dict[str, WeightQuantizer] = field(default_factory=dict)
    _tensors: dict[str, tuple[ActivationQuantizer, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Find what to quantise."""
        self.begin(self.graph)

    def begin(self, graph: Graph) -> None:
        """Find what to quantise of another graph."""
        self.graph, settings = graph, self.settings
        self._names = layer_names(graph)
        self._kernels.clear()
        self._tensors.clear()
        self._weights = quantised_kernels(self.graph, settings.quantizable_op_type, settings.skip_pattern)
        self._bits = kernel_bits(graph, self._weights, settings.weight_bits)
        self._operands = quantised_operands(self.graph, self._weights, settings.skip_pattern)
        self._quantised_tensors = tensor_bits(
            graph, quantised_tensors(graph, self._weights, settings.skip_pattern), settings.activation_bits
        )
        self._bits |= operand_bits(graph, self._operands, self._quantised_tensors)
        self._fits = fits(settings, self._quantised_tensors, never_negative(graph))
        pattern = self.clusters.section.clustered_params if self.clusters is not None else None
        self._clustered = trained_kernels(graph, pattern, "clustered_params") if pattern is not None else []
        self._shared = shared_scales(self.graph, self._quantised_tensors)

    def layer(self, node: Node, layer: Any) -> Any:
        """Wrap a layer whose kernel is quantised or clustered."""
        quantizer: WeightQuantizer | None = None
        if node.name in self._weights:
            # of a frozen layer nothing is trained, the scale neither
            kind = "abs_max" if node.name in self.graph.frozen else self.settings.weight_quantize_type
            bits, channels = self._bits[node.name], self._channels(node)
            quantizer = weight_quantizer(kind, bits, channels, self.phase, self.settings.first_weight_scale)
        if node.name in self._operands:
            # the kernel reads it as it does a tensor
            quantizer = AbsMaxWeight(self._bits[node.name], None, self.phase)
        if self.clusters is not None and node.kernel in self._clustered:
            quantizer = ClusteredWeight(self.clusters, quantizer)
        if quantizer is None:
            return layer
        self._kernels[node.name] = quantizer
        weight = self._operands.get(node.name) or node.kernel
        assert weight is not None
        return QuantizeWrapperV2(layer, KernelConfig(weight.rsplit("/", 1)[1], quantizer))

    def after(self, node: Node) -> Any | None:
        """Put a quantiser behind a node whose tensor is quantised, or a rounding where its kernel only rounds."""
        ties = rounding(node.operation)
        if ties is not None:
            return self._rounding(node, ties)
        if node.name not in self._quantised_tensors or node.name in self._shared:
            return None
        quantizer = self._quantizer(node)
        quantizer.least = self.least.get(node.name, 0.0)
        name = tensor_layer(self._names[node.name])
        wrapper = QuantizeWrapperV2(layers.Activation("linear", name=name), TensorConfig(quantizer))
        self._tensors[node.name] = (quantizer, wrapper)
        return wrapper

    def _rounding(self, node: Node, ties: Rounding) -> GridRounding | None:
        source = node
        while isinstance(source.operation, PASS_THROUGH):
            source = self.graph.node(source.inputs[0])
        if source.name not in self._tensors:
            return None
        quantizer, wrapper = self._tensors[source.name]
        if quantizer.dynamic:
            return None

        def grid() -> Grid | None:
            if self.phase.mode != "quantise":
                return None
            return quantizer.grid_now(wrapper._output_quantizer_vars)

        return GridRounding(ties, grid, tensor_layer(self._names[node.name]))

    def calibrate(self, model: TrainingModel, pictures: Callable[[], Iterable[Any]]) -> None:
        """Set the first ranges of activations and kernels; the phase is `calibrate` or `count` afterwards.

        Args:
            model: that these quantisers are in.
            pictures: returns the calibration pictures in batches, each float32 [n, height, width, channels]; called
                twice unless `calibration_method` is `max`.
        """
        self._show(model, "calibrate", pictures)
        counting = [quantizer for quantizer, _ in self._tensors.values() if quantizer.counts]
        if counting:
            for quantizer in counting:
                quantizer.begin_counting()
            self._show(model, "count", pictures)
        for quantizer, wrapper in self._tensors.values():
            quantizer.settle(wrapper._output_quantizer_vars)
        for name, kernel in self._kernels.items():
            if name in self._weights:
                kernel.settle(model.variables[self._weights[name]].numpy())

    def decayed(self) -> list[tuple[Any, float]]:
        """Return the variables of these quantisers that have an L2 factor of their own, with it."""
        return [
            (wrapper._output_quantizer_vars[quantizer.value], self.settings.clip_decay)
            for quantizer, wrapper in self._tensors.values()
            if isinstance(quantizer, LearnedClip)
        ]

    def _show(
        self, model: TrainingModel, mode: Literal["calibrate", "count"], pictures: Callable[[], Iterable[Any]]
    ) -> None:
        self.phase.mode = mode
        for batch in pictures():
            model.keras(batch, training=False)

    def quantised_graph(self, model: TrainingModel) -> tuple[Graph, dict[str, list[int]]]:
        """Return the graph with the current integers and scales, and its silent channels by node.

        Kernels of channels that are negligible beside their bias become zero, and scales that are negligible beside
        those of a tensor's inputs are raised, since no int8 runtime could represent them. Scales at which ARM and x86
        would round differently are replaced by the nearest at which they do not. Integers of few bits are multiplied by
        a power of two where the bias needs finer steps.
        """
        graph, silent = silence(settled(held(self._current_graph(model))[0]))
        return with_fine_biases(graph), silent

    def hold(self, model: TrainingModel) -> dict[str, tuple[float, float]]:
        """From the next trace on, quantise with no smaller scales than the device's kernels can represent.

        Returns:
            The scales raised: before and after, by node.
        """
        _, raised = held(self._current_graph(model))
        self.least |= {name: scale for name, (_, scale) in raised.items() if name in self._tensors}
        for name, (quantizer, _) in self._tensors.items():
            quantizer.least = self.least.get(name, 0.0)
        return raised

    def _current_graph(self, model: TrainingModel) -> Graph:
        weights = model.weights()
        weight_scales: dict[str, WeightScale] = {}
        for name, weight in {**self._weights, **self._operands}.items():
            integers, scale = self._kernels[name].integers(weights[weight])
            weights[weight] = np.asarray(integers).astype(integer_type(self._bits[name]))
            weight_scales[weight] = WeightScale(self._bits[name], np.asarray(scale))
        weights |= {
            kernel: np.asarray(quantizer.clustered(weights[kernel]))
            for kernel, quantizer in self._clusters()
            if kernel not in weight_scales
        }
        graph = replace(
            self.graph,
            weights=weights,
            weight_scales=weight_scales,
            in_float=nodes_in_float(self.graph, self.settings.skip_pattern),
            activation_scales={
                name: ActivationScale(quantizer.bits, *quantizer.grid(wrapper._output_quantizer_vars))
                for name, (quantizer, wrapper) in self._tensors.items()
            },
        )
        scales = graph.activation_scales
        shared = {name: scales[concat] for name, concat in self._shared.items()}
        return replace(graph, activation_scales={**scales, **shared})

    def begin_clusters(self, model: TrainingModel) -> None:
        """Find the clusters of the kernels as they are now."""
        for kernel, quantizer in self._clusters():
            quantizer.begin(model.variables[kernel].numpy())

    def fix_clusters(self, model: TrainingModel) -> None:
        """Keep each weight in the cluster that it is in now."""
        for kernel, quantizer in self._clusters():
            quantizer.fix(model.variables[kernel].numpy())

    def ranges(self, model: TrainingModel) -> Iterator[tuple[str, float, float]]:
        """Yield name, least and greatest value of each quantised kernel and tensor, in the graph's order.

        Tensors whose range is different for each input are left out.
        """
        weights = model.weights()
        for node in self.graph.nodes:
            if node.name in self._weights:
                kernel = weights[self._weights[node.name]]
                yield self._weights[node.name], float(kernel.min()), float(kernel.max())
            if node.name in self._tensors:
                quantizer, wrapper = self._tensors[node.name]
                if not quantizer.dynamic:
                    low, high = quantizer.known(None, wrapper._output_quantizer_vars)
                    yield node.name, float(low), float(high)

    def _clusters(self) -> Iterator[tuple[str, ClusteredWeight]]:
        """Yield the clustered kernels with their quantisers."""
        for name, quantizer in self._kernels.items():
            kernel = self.graph.node(name).kernel
            if isinstance(quantizer, ClusteredWeight) and kernel is not None:
                yield kernel, quantizer

    def _quantizer(self, node: Node) -> ActivationQuantizer:
        bits = self._quantised_tensors[node.name]
        fixed = fixed_grid(node.operation, bits)
        if fixed is not None:
            return FixedGrid(bits, *fixed, self.phase)
        kind, method = self.settings.activation_quantize_type, self.settings.calibration_method
        return activation_quantizer(kind, bits, self.phase, self._fits[node.name], method)

    def _channels(self, node: Node) -> int | None:
        # PaddleSlim keeps one scale per tensor for dense layers, whatever the weights' type
        by_channel = self.settings.weight_quantize_type in BY_CHANNEL and not isinstance(node.operation, Dense)
        return self.graph.kernel_channels(node) if by_channel else None
