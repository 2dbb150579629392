"""How many axes the tensors of a saved Keras model have, as far as its description says it: without TensorFlow."""

from typing import Any

from qatflow.models.keras.activations import ACTIVATION_LAYERS
from qatflow.models.keras.described_calls import reads
from qatflow.models.keras.operators import ACTIVATIONS
from qatflow.models.keras.preprocessing import AUGMENTING
from qatflow.models.keras.translation import NESTED

PICTURES = (
    "Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose", "MaxPooling2D", "AveragePooling2D",
    "UpSampling2D", "ZeroPadding2D", "Cropping2D", "Resizing", "CenterCrop", "RandomCrop", "SpatialDropout2D",
)  # fmt: skip
"""Layers that put out pictures: batch, height, width and channels."""
GLOBAL_POOLS = {
    "GlobalAveragePooling2D": 4, "GlobalMaxPooling2D": 4, "GlobalAveragePooling1D": 3, "GlobalMaxPooling1D": 3,
}  # fmt: skip
"""Layers that put out vectors; with `keepdims`, that many axes."""
SAME = (
    "Dense", "Dropout", "BatchNormalization", "LayerNormalization", "GroupNormalization", "UnitNormalization",
    "Activation", "PReLU", "Rescaling", "Normalization", "LayerScale", "StochasticDepth", *ACTIVATION_LAYERS,
    *AUGMENTING,
)  # fmt: skip
"""Layers that keep the number of axes."""
MERGING = ("Add", "Multiply", "Subtract", "Maximum", "Minimum", "Average", "Concatenate")
"""Layers that put out as many axes as their tensors with most of them have."""
FUNCTIONS = (
    *ACTIVATIONS, "__operators__.add", "math.add", "math.multiply", "math.subtract", "math.truediv", "math.divide",
    "math.negative", "math.abs", "math.square", "math.pow", "math.add_n", "math.maximum", "math.minimum",
    "math.scalar_mul", "compat.v1.math.scalar_mul", "clip_by_value", "nn.bias_add", "concat", "cast",
)  # fmt: skip
"""Functions outside of layers of which this holds, too."""


REDUCING = ("math.reduce_mean", "math.reduce_max")
"""Functions that leave axes out, unless they keep them with the length 1."""


def ranks(described: dict[str, Any]) -> dict[str, int]:
    """Return the number of axes of what the layers of a model put out, with the batch, by the layer's name.

    Args:
        described: class_name and config of a model, as tf-keras writes them. What it does not say is not in the result.
    """
    known: dict[str, int] = {}
    before: int | None = None
    for layer in described["config"]["layers"]:
        name, calls = layer["config"].get("name"), layer.get("inbound_nodes")
        sources: list[int | None]
        if described["class_name"] == "Sequential":
            sources = [before]
        else:
            # a layer that is called several times may put out other shapes
            once = calls[0] if isinstance(calls, list) and len(calls) == 1 else []
            sources = [known.get(read) for entry in reads(once) for read, _ in entry]
        before = _rank(layer, sources)
        if before is not None and isinstance(name, str):
            known[name] = before
    return known


def output_rank(described: dict[str, Any]) -> int | None:
    """Return the number of axes of a model's output, with the batch; None if the description does not say it."""
    try:
        config = described["config"]
        if described["class_name"] == "Sequential":
            last = config["layers"][-1]["config"]["name"]
        else:
            entries = config["output_layers"]
            last = entries[0][0] if isinstance(entries[0], list) else entries[0]
        return ranks(described).get(last)
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


def _rank(layer: dict[str, Any], sources: list[int | None]) -> int | None:
    kind, config = layer["class_name"], layer["config"]
    if kind == "InputLayer":
        shape = config.get("batch_input_shape", config.get("batch_shape"))
        return len(shape) if isinstance(shape, list) else None
    if kind in PICTURES:
        return 4
    if kind in GLOBAL_POOLS:
        return GLOBAL_POOLS[kind] if config.get("keepdims") else 2
    if kind == "Flatten":
        return 2
    if kind == "Reshape":
        return len(config["target_shape"]) + 1
    if kind in NESTED:
        return output_rank(layer)
    if kind == "TFOpLambda" and config.get("function") in REDUCING:
        return _reduced(layer["inbound_nodes"][0], sources[0]) if sources else None
    if kind in (*SAME, *MERGING) or (kind == "TFOpLambda" and config.get("function") in FUNCTIONS):
        return max((rank for rank in sources if rank is not None), default=None) if None not in sources else None
    return None


def _reduced(call: list[Any], source: int | None) -> int | None:
    """Return the number of axes behind a function that reduces some of `source` axes."""
    given = call[3] if len(call) > 3 and isinstance(call[3], dict) else {}
    axes = given.get("axis")
    if source is None or given.get("keepdims") or axes is None:
        return source if given.get("keepdims") else None
    return source - (len(axes) if isinstance(axes, list) else 1)
