"""The latency of a network whose layers have several precisions, by the table of its operators on a device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qatflow.config.recipe.auto_bits import AutoBitsSection
from qatflow.graph.graph import Graph
from qatflow.mixed_precision.precision import Precision, as_settings, possible, without_wide_output
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings, quantised_kernels
from qatflow.tflite.latency_table import LatencyTable
from qatflow.tflite.lower import convert
from qatflow.tflite.single_operator import every_operator


@dataclass(frozen=True)
class Latencies:
    """Latencies of whole networks.

    Attributes:
        graph: in float.
        settings: how it is quantised, but for the precisions.
        kernels: name of the kernel of each layer that can be chosen, by the layer.
        table: of the operators.
    """

    graph: Graph
    settings: QuantSettings
    kernels: Mapping[str, str]
    table: LatencyTable

    def of(self, precisions: Mapping[str, Precision]) -> float:
        """Return the latency of one inference, in the table's unit.

        Args:
            precisions: of each layer that can be chosen.
        """
        return self.table.predict(quantised_model(self.graph, self.settings, self.kernels, precisions))


def quantised_model(
    graph: Graph, settings: QuantSettings, kernels: Mapping[str, str], precisions: Mapping[str, Precision]
) -> bytes:
    """Return the .tflite model with these precisions; its operators are right, the values of activations are not."""
    own = as_settings(kernels, precisions, settings.skip_pattern)
    return convert(as_if_quantised(graph, replace(settings, **own))).content


def operators_of(graph: Graph, settings: QuantSettings, section: AutoBitsSection) -> dict[str, bytes]:
    """Return a model of each operator alone that the choice of precisions can lead to, by the operator's key.

    Args:
        graph: in float.
        settings: how it is quantised, but for the precisions.
        section: which precisions there are.
    """
    kernels = quantised_kernels(graph, settings.quantizable_op_type, settings.skip_pattern)
    narrow = dict(without_wide_output(graph, settings, list(kernels))) if section.wide_activations else {}
    precisions = [possible(section, wide=name not in narrow) for name in kernels]

    def model(tokens: Sequence[int]) -> bytes:
        pairs = zip(kernels, precisions, tokens, strict=True)
        return quantised_model(graph, settings, kernels, {name: own[token] for name, own, token in pairs})

    return every_operator([len(own) for own in precisions], model, "remove one of float_layers and wide_activations")
