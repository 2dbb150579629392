"""What is tf_keras' own. Layers, models and functions are known by identity, never by name."""

import functools
import importlib
from typing import Any

OPERATORS = ("TFOpLambda", "SlicingOpLambda")
"""Classes of the layers that tf_keras makes of functions that are called outside of layers."""


class UntranslatableError(Exception):
    """Why a layer cannot be translated."""


def called(thing: Any) -> str:
    """Return the full name of a function, or of an object's class: module and name."""
    if isinstance(thing, functools.partial):
        return f"functools.partial of {called(thing.func)}"
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{named.__qualname__}"


OWN_CLASSES = {
    "LayerScale": "tf_keras.src.applications.convnext",
    "StochasticDepth": "tf_keras.src.applications.convnext",
    "CustomScaleLayer": "tf_keras.src.applications.inception_resnet_v2",
    **dict.fromkeys(OPERATORS, "tf_keras.src.layers.core.tf_op_layer"),
}
"""Modules of the classes that tf_keras and its applications use, and tf_keras.layers does not have."""


def own_class(kind: str) -> type | None:
    """Return tf_keras' own class of that name: of `tf_keras.layers`, or of its applications; None if there is none."""
    from tf_keras import layers

    module = importlib.import_module(OWN_CLASSES[kind]) if kind in OWN_CLASSES else layers
    own = getattr(module, kind, None)
    # a user's code may have put a class of its own there
    return own if isinstance(own, type) and own.__module__.startswith("tf_keras.") else None


def own_kind(layer: Any) -> str | None:
    """Return the name of a layer's class if it is exactly one of tf_keras' own, with its own `call`; else None."""
    kind = type(layer).__name__
    # tf_keras gives each operator layer a call of its own
    own = type(layer) is own_class(kind) and (kind in OPERATORS or "call" not in vars(layer))
    return kind if own else None


def is_plain_model(model: Any) -> bool:
    """Return whether a model computes what its layers compute, and nothing else."""
    import tf_keras
    from tf_keras.src.engine.functional import Functional

    own = type(model)
    return (
        isinstance(model, Functional)
        and own.call in (Functional.call, tf_keras.Sequential.call)
        and own.__call__ is tf_keras.Model.__call__
        and "call" not in vars(model)
    )


def in_order(model: Any) -> list[Any]:
    """Return the calls of a model's layers (Keras' nodes), in an order in which each comes after its inputs."""
    depths = sorted(model._nodes_by_depth, reverse=True)
    return [node for depth in depths for node in model._nodes_by_depth[depth]]


def weights_of(layer: Any) -> dict[str, Any]:
    """Return a layer's weights as arrays, by the last part of their names."""
    return {weight.name.split(":")[0].rsplit("/", 1)[-1]: weight.numpy() for weight in layer.weights}


def pair(value: Any) -> tuple[int, int]:
    """Return a setting of two numbers (rows, columns) as integers."""
    first, second = value
    return int(first), int(second)
