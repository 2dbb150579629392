"""ONNX' norms over channels."""

from dataclasses import replace

import numpy as np

from qatflow.graph.operations import GroupNorm, LayerNorm, Operation
from qatflow.models.onnx.folded import OnnxNode
from qatflow.models.onnx.translation import Translate, Translation, UntranslatableError, Value


def _layer_norm(to: Translation, node: OnnxNode) -> Value:
    value = to.value(node.inputs[0])
    axis = int(node.attributes.get("axis", -1)) % len(value.shape)
    if axis != len(value.shape) - 1 or value.axes[-1] != axis or value.order is not None:
        raise UntranslatableError("is not over the channels alone, which are last here")
    if any(node.outputs[1:]):
        raise UntranslatableError("returns mean and deviation as well")
    return _normed(to, node, value, LayerNorm(float(node.attributes.get("epsilon", 1e-5))))


def _group_norm(to: Translation, node: OnnxNode) -> Value:
    value = to.picture(node.inputs[0])
    if to.model.opset < 21:
        raise UntranslatableError("has its factors per group before version 21; export with opset 21")
    return _normed(
        to, node, value, GroupNorm(int(node.attributes["num_groups"]), float(node.attributes.get("epsilon", 1e-5)))
    )


def _instance_norm(to: Translation, node: OnnxNode) -> Value:
    value = to.picture(node.inputs[0])
    return _normed(to, node, value, GroupNorm(value.sizes[-1], float(node.attributes.get("epsilon", 1e-5))))


def _normed(to: Translation, node: OnnxNode, value: Value, operation: Operation) -> Value:
    channels = value.sizes[-1]
    gamma, beta = to.constant(node, 1, "factor"), to.constant(node, 2, "offset")
    weights = {
        "gamma": np.ones(channels) if gamma is None else gamma,
        "beta": np.zeros(channels) if beta is None else beta,
    }
    if any(values.shape != (channels,) for values in weights.values()):
        raise UntranslatableError("has other factors than one per channel")
    return replace(value, node=to.add(node.name, operation, (value.node,), weights))


TRANSLATIONS: dict[str, Translate] = {
    "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
}
