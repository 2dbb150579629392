"""Operations outside of layers in a model of Keras 3, as tf-keras writes the functions of TensorFlow that it calls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qatflow.models.keras.activations import HARD_SIGMOID_3, HARD_SWISH_3
from qatflow.models.keras.calls import Source, Undescribed
from qatflow.models.keras.described_calls import CONSTANT
from qatflow.models.keras.operators import call_problem


class ProblemError(Exception):
    """Why a layer or operation cannot be translated."""


Axes = Callable[[Mapping[str, Any], int], Sequence[int]]
"""The new order of axes, for an operation's settings and the rank of its input."""


@dataclass(frozen=True)
class Function:
    """A function of TensorFlow that computes what an operation of Keras 3 does.

    Attributes:
        name: of the function, as tf-keras writes it; of an activation, if `is_layer`.
        second: its second parameter, for operations on two tensors; None for those on one.
        settings: the function's parameter for each setting of the operation.
        neutral: settings that the function does not have, with the values at which they change nothing.
        either: whether the two tensors can be exchanged.
        keywords: of the call, which are parameters of the function of the same names.
        axes: for functions that move axes.
        is_layer: whether it is an activation of Keras 3 alone, which a layer applies.
    """

    name: str
    second: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    neutral: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    either: bool = False
    keywords: tuple[str, ...] = ()
    axes: Axes | None = None
    is_layer: bool = False


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _swapped(config: Mapping[str, Any], rank: int) -> Sequence[int]:
    order = list(range(rank))
    first, second = (int(config[name]) for name in ("axis1", "axis2"))
    order[first], order[second] = order[second], order[first]
    return order


def _moved(config: Mapping[str, Any], rank: int) -> Sequence[int]:
    """Return the order in which the axes `source` come at the places `destination`, as NumPy's moveaxis has it."""
    pairs = [value if isinstance(value, list) else [value] for value in (config["source"], config["destination"])]
    sources, places = ([int(axis) % rank for axis in axes] for axes in pairs)
    order = [axis for axis in range(rank) if axis not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return order


LAST = {"data_format": (None, "channels_last")}
POOL = {"pool_size": "ksize", "strides": "strides", "padding": "padding"}
REDUCED = _same("axis", "keepdims")

OPERATIONS: dict[str, Function] = {
    "Add": Function("math.add", "y", either=True),
    "Multiply": Function("math.multiply", "y", either=True),
    "Maximum": Function("math.maximum", "y", either=True),
    "Minimum": Function("math.minimum", "y", either=True),
    "Subtract": Function("math.subtract", "y"),
    "Divide": Function("math.divide", "y"),
    "TrueDivide": Function("math.divide", "y"),
    "Power": Function("math.pow", "y"),
    "Negative": Function("math.negative"),
    "Absolute": Function("math.abs"),
    "Square": Function("math.square"),
    "Erf": Function("math.erf"),
    "Clip": Function("clip_by_value", settings={"x_min": "clip_value_min", "x_max": "clip_value_max"}),
    "Mean": Function("math.reduce_mean", settings=REDUCED),
    "Max": Function("math.reduce_max", settings=REDUCED),
    "Amax": Function("math.reduce_max", settings=REDUCED),
    "Concatenate": Function("concat", settings=_same("axis")),
    "Reshape": Function("reshape", settings={"newshape": "shape"}),
    "Squeeze": Function("squeeze", settings=_same("axis")),
    "ExpandDims": Function("expand_dims", settings=_same("axis")),
    "Transpose": Function("transpose", settings={"axes": "perm"}),
    "Swapaxes": Function("transpose", axes=_swapped, settings={"axis1": "", "axis2": ""}),
    "Moveaxis": Function("transpose", axes=_moved, settings={"source": "", "destination": ""}),
    "Pad": Function("pad", settings={"pad_width": "paddings", "mode": "mode"}, keywords=("constant_values",)),
    "GetItem": Function("__operators__.getitem", "slice_spec"),
    "Resize": Function(
        "image.resize",
        settings={"size": "size", "interpolation": "method", "antialias": "antialias"},
        neutral={**LAST, "fill_mode": ("constant",), "fill_value": (0.0,)},
    ),
    "MaxPool": Function("nn.max_pool2d", settings=POOL, neutral=LAST),
    "AveragePool": Function("nn.avg_pool2d", settings=POOL, neutral=LAST),
    "Cast": Function("cast", settings=_same("dtype")),
    "Relu": Function("nn.relu"),
    "Relu6": Function("nn.relu6"),
    "LeakyRelu": Function("nn.leaky_relu", settings={"negative_slope": "alpha"}),
    "Elu": Function("nn.elu", neutral={"alpha": (1.0,)}),
    "Selu": Function("nn.selu"),
    "Gelu": Function("nn.gelu", settings=_same("approximate")),
    "Softmax": Function("nn.softmax", settings=_same("axis")),
    "Sigmoid": Function("math.sigmoid"),
    "Tanh": Function("math.tanh"),
    "Silu": Function("nn.silu"),
    "Exp": Function("math.exp"),
    "Softplus": Function("math.softplus"),
    "Softsign": Function("nn.softsign"),
    "HardSigmoid": Function(HARD_SIGMOID_3, is_layer=True),
    "HardSilu": Function(HARD_SWISH_3, is_layer=True),
}
"""By the operation's class."""
EMPTY: tuple[Any, ...] = (None, False)
"""Values of settings that change nothing, such as dtype, initial and where."""


def entry(described: Mapping[str, Any], tensor: Callable[[Any], list[Any]]) -> dict[str, Any]:
    """Return the layer that tf-keras would make of an operation, with its calls.

    Args:
        described: the operation, as Keras 3 writes it.
        tensor: returns Keras 2's name of a tensor; raises ProblemError for anything else.

    Raises:
        ProblemError: the operation, one of its settings, or what it is called with is not known.
    """
    function, name = _function(described), described.get("name", described["config"].get("name"))
    if function.is_layer:
        calls = [[[*tensor(node["args"][0]), {}]] for node in described["inbound_nodes"]]
        config = {"name": name, "activation": function.name}
        return {"class_name": "Activation", "config": config, "name": name, "inbound_nodes": calls}
    config = {"name": name, "trainable": True, "dtype": "float32", "function": function.name}
    kind = "SlicingOpLambda" if described["class_name"] == "GetItem" else "TFOpLambda"
    calls = [_call(function, described["config"], node, tensor) for node in described["inbound_nodes"]]
    return {"class_name": kind, "config": config, "name": name, "inbound_nodes": calls}


def _function(described: Mapping[str, Any]) -> Function:
    function = OPERATIONS.get(described["class_name"])
    if function is None:
        raise ProblemError(f"an operation outside of a layer; known are {', '.join(sorted(OPERATIONS))}, and layers")
    for key, value in described["config"].items():
        neutral = (*EMPTY, *function.neutral.get(key, ()))
        if key not in ("name", *function.settings) and value not in neutral:
            raise ProblemError(f"{key}={value!r} is not known")
    return function


def _call(
    function: Function, config: Mapping[str, Any], node: Mapping[str, Any], tensor: Callable[[Any], list[Any]]
) -> list[Any]:
    """Return a call as tf-keras writes it; arguments as `entry`."""
    arguments, keywords = list(node["args"]), dict(node["kwargs"])
    given = {name: keywords.pop(name) for name in function.keywords if keywords.get(name) is not None}
    if len(arguments) != 1 + (function.second is not None) or any(value not in EMPTY for value in keywords.values()):
        raise ProblemError(f"is called with {len(arguments)} arguments and {', '.join(keywords) or 'no keywords'}")
    if function.either and not _is_tensor(arguments[0]):
        arguments.reverse()
    first, second = arguments[0], arguments[1] if function.second is not None else None
    given |= _settings(function, config, first)
    if function.second == "slice_spec":
        given["slice_spec"] = _parts(second, len(_source(first).shape) + 1)
        second = None
    problem = call_problem(function.name, _judged(first), given | _judged_second(function, second))
    if problem:
        raise ProblemError(problem)
    if function.second is not None and second is not None:
        given[function.second] = tensor(second) if _is_tensor(second) else _constant(second)
    if isinstance(first, list):
        return [[*tensor(value), dict(given)] for value in first]
    if _is_tensor(first):
        return [*tensor(first), given]  # a single tensor is no list, unlike that of a layer
    return [CONSTANT, -1, _constant(first), given]


def _settings(function: Function, config: Mapping[str, Any], first: Any) -> dict[str, Any]:
    """Return the function's arguments for an operation's settings."""
    if function.axes is not None:
        return {"perm": list(function.axes(config, len(_source(first).shape) + 1))}
    given = {name: config[key] for key, name in function.settings.items() if config.get(key) is not None}
    if "ksize" in given:
        given = {"strides": given["ksize"], **given, "padding": str(given["padding"]).upper()}
    if "paddings" in given:
        given["paddings"] = _amounts(given["paddings"], first)
    return given


def _amounts(amounts: Any, first: Any) -> Any:
    """Return the numbers before and after each axis; Keras 3 takes one number, or one pair, for all axes."""
    rank = len(_source(first).shape) + 1
    pairs = [[amounts, amounts]] if isinstance(amounts, int) else amounts
    pairs = [pairs] if pairs and isinstance(pairs[0], int) else pairs
    return list(pairs) * (rank if len(pairs) == 1 else 1)


def _parts(key: Any, rank: int) -> list[Any]:
    """Return what x[key] picks of each axis, in tf-keras' form; `...` stands for the axes in between."""
    keys = key if isinstance(key, list) else [key]
    kinds = [part.get("class_name") if isinstance(part, dict) else None for part in keys]
    if "__ellipsis__" in kinds:
        place = kinds.index("__ellipsis__")
        whole = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}}
        keys = [*keys[:place], *[whole] * (rank - len(keys) + 1), *keys[place + 1 :]]
    spec = []
    for part in keys:
        config = part["config"] if isinstance(part, dict) and part.get("class_name") == "__slice__" else None
        spec.append(part if config is None else {name: config[name] for name in ("start", "stop", "step")})
    return spec


def _is_tensor(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, dict) and value.get("class_name") == "__keras_tensor__")


def _constant(value: Any) -> Any:
    """Return a number, or an array as nested lists."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        return value["config"]["value"]
    if isinstance(value, int | float):
        return value
    raise ProblemError("reads something other than the tensors of layers, and numbers")


def _source(value: Any) -> Source:
    """Return what is known of a tensor: its shape, or only the length of one with open sizes."""
    if isinstance(value, list) or not _is_tensor(value):
        return Source("", Undescribed())
    shape = tuple(value["config"]["shape"][1:])
    return Source("", Undescribed(len(shape)) if None in shape else shape)


def _judged(first: Any) -> Any:
    if isinstance(first, list):
        return [_source(value) for value in first]
    return _source(first) if _is_tensor(first) else _constant(first)


def _judged_second(function: Function, second: Any) -> dict[str, Any]:
    if function.second is None or second is None:
        return {}
    return {function.second: _source(second) if _is_tensor(second) else _constant(second)}
