"""Whether the widths of the compress YAML fit the network, and what they mean on the device: before training."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from qatflow.base.errors import UserError
from qatflow.config.recipe.recipe import QuantizationStrategySection, undeployable
from qatflow.config.recipe.widths import DEVICE, INT4, WIDE
from qatflow.graph.graph import ActivationScale, Graph
from qatflow.graph.names import listed
from qatflow.graph.operator_bits import without_int16_kernel
from qatflow.graph.slow_kernels import INT4_COST, WIDE_COST
from qatflow.quantisation.placement import nodes_in_float, quantised_kernels, quantised_tensors
from qatflow.quantisation.widths import kernel_bits, tensor_bits


def check_widths(graph: Graph, strategy: QuantizationStrategySection, skip: Sequence[str]) -> None:
    """Raise if weight_bits or activation_bits do not fit the network; print which layers have others than 8 bits.

    Args:
        graph: in float.
        strategy: of the compress YAML.
        skip: texts in the names of the layers that stay in float.

    Raises:
        UserError: a pattern matches no quantised kernel or tensor, or two with different widths match the same one; or
            the model is for a device, which has no kernel for a layer with activations of 16 bits.
    """
    kernels = quantised_kernels(graph, strategy.quantizable_op_type, skip)
    activations = tensor_bits(graph, quantised_tensors(graph, kernels, skip), strategy.activation_bits)
    bits = kernel_bits(graph, kernels, strategy.weight_bits)
    _print("weights", bits)
    if strategy.int4_storage and min(bits.values(), default=DEVICE) <= INT4:
        print(f"warning: int4_storage: {INT4_COST}", flush=True)
    _print("activations", activations)
    if WIDE not in activations.values() or undeployable(strategy):
        return
    marked = replace(
        graph,
        activation_scales={name: ActivationScale(bits, 1.0) for name, bits in activations.items()},
        in_float=nodes_in_float(graph, skip),
    )
    if problems := list(without_int16_kernel(marked)):
        raise UserError(f"activation_bits: the device's run-time cannot execute {'; '.join(problems)}")
    print(f"warning: {WIDE_COST}", flush=True)


def _print(what: str, widths: Mapping[str, int]) -> None:
    layers: dict[int, list[str]] = {}
    for name, bits in widths.items():
        layers.setdefault(bits, []).append(name)
    if set(layers) - {DEVICE}:
        print("; ".join(f"{what} of {bits} bits: {listed(layers[bits])}" for bits in sorted(layers)), flush=True)
