"""What a saved Keras model's description says about its inputs, outputs, classes and layers: without TensorFlow.

Only what is certain is judged. The rest is checked by the model's graph, in the job that makes it.
"""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

from qatflow.graph.families import FLOAT_ONLY
from qatflow.graph.layer_texts import is_named
from qatflow.graph.operations import Softmax
from qatflow.models.architecture_names import unnumbered
from qatflow.models.described_end import LOOKED_THROUGH, backwards
from qatflow.models.from_keras import one_of_each
from qatflow.models.keras.activations import ACTIVATION_LAYERS, ALL, LINEAR, Activation
from qatflow.models.keras.described_ranks import output_rank
from qatflow.models.keras.library import UntranslatableError
from qatflow.models.keras.translation import NESTED, Translation
from qatflow.models.new_head import no_vector

NORMS = {
    "LayerNormalization": "LayerNorm",
    "GroupNormalization": "GroupNorm",
    "UnitNormalization": "UnitNorm",
    "Attention": "Attention",
    "MultiHeadAttention": "Attention",
}
"""Layers that always become an operation without an int8 form, and that operation."""
VECTORS = ("GlobalAveragePooling2D", "GlobalMaxPooling2D", "Flatten")
SAME_RANK = ("Dense", "Dropout", "BatchNormalization", "Activation", "ReLU", "LeakyReLU", "PReLU")


def ends_problem(described: dict[str, Any]) -> str:
    """Return why a model has too many inputs or outputs, or an empty text.

    Args:
        described: class_name and config, as `own_file.check_description` returns them; in all functions here.
    """
    config = described["config"]
    inputs, outputs = _count(config.get("input_layers")), _count(config.get("output_layers"))
    return one_of_each(inputs, outputs) if inputs and outputs else ""


def output_problem(described: dict[str, Any]) -> str:
    """Return that a model puts out a feature map or another tensor that is no vector, or an empty text."""
    rank = output_rank(described)
    return "" if rank in (None, 2) else no_vector(rank - 1)


def picture_shape(described: dict[str, Any]) -> tuple[int, ...] | None:
    """Return the shape of a model's input without the batch; None if the description does not say it."""
    config = described["config"]
    first = config["layers"][0]
    if described["class_name"] != "Sequential":
        entries = config.get("input_layers")
        if _count(entries) != 1 or not isinstance(entries, list):
            return None
        name = entries[0] if isinstance(entries[0], str) else entries[0][0]
        first = next((layer for layer in config["layers"] if layer["config"].get("name") == name), None)
        if first is None:
            return None
    if first["class_name"] in NESTED:
        return picture_shape(first)
    shape = first["config"].get("batch_input_shape", first["config"].get("batch_shape"))
    if not isinstance(shape, list) or not all(type(side) is int for side in shape[1:]):
        return None
    return tuple(shape[1:])


def other_pictures(shape: tuple[int, ...], data: str, wanted: tuple[int, ...]) -> str:
    """Return why pictures of the data of a name do not fit a model's input, or an empty text."""
    if shape == wanted:
        return ""
    return (
        f"the model takes pictures of {'×'.join(map(str, shape))}, and those of data/{data} are "
        f"{'×'.join(map(str, wanted))}: set data.preprocessing.size and channels"
    )


def described_classes(described: dict[str, Any]) -> int | None:
    """Return the number of values of a model that ends in a dense layer over a vector; None for another end."""
    try:
        layers = iter(backwards(described))
        last = next(layer for layer in layers if layer["class_name"] not in (*LOOKED_THROUGH, "Activation", "Softmax"))
        before = next(layer for layer in layers if layer["class_name"] not in SAME_RANK)
    except (LookupError, TypeError, StopIteration):
        return None
    pooled = before["class_name"] in VECTORS and not before["config"].get("keepdims")
    units = last["config"].get("units")
    return units if last["class_name"] == "Dense" and pooled and type(units) is int else None


def described_float_layers(described: dict[str, Any], keep: Sequence[str]) -> dict[str, str]:
    """Return layers that have no int8 form and that no text can mean: their operation, by their node's name.

    Args:
        described: see above.
        keep: model.keep_in_float, a list.
    """
    texts = [unnumbered(text) for text in keep]
    found: dict[str, str] = {}
    for path, node, kind in _in_float(described, ""):
        # the graph names the models around a layer only where another one has its name
        if not any(is_named(unnumbered(name), texts) for name in (f"{path}{node}", node)):
            found[f"{path}{node}" if node in found else node] = kind
    return found


def _in_float(entry: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    """Yield the models around each operation without an int8 form, its name and its kind."""
    for layer in entry["config"]["layers"]:
        kind, config = layer["class_name"], layer["config"]
        name = str(config.get("name"))
        if kind in NESTED:
            yield from _in_float(layer, f"{path}{name}/")
        elif kind in NORMS:
            yield path, f"{name}/attention" if kind == "MultiHeadAttention" else name, NORMS[kind]
        else:
            yield from ((path, *found) for found in _activation(name, kind, config))


def _activation(name: str, kind: str, config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the operations without an int8 form of a layer's activation; a softmax may be the end of the model."""
    given = {"class_name": kind, "config": config} if kind in ACTIVATION_LAYERS else config.get("activation")
    try:
        activation = _known(given)
        to = Translation({}, {})
        activation.build(to, name if kind in (*ACTIVATION_LAYERS, "Activation") else f"{name}/{activation.name}", ("",))
    except (AttributeError, LookupError, TypeError, ValueError, UntranslatableError):
        return  # the translation says what is wrong
    for node in to.nodes:
        if isinstance(node.operation, FLOAT_ONLY) and not isinstance(node.operation, Softmax):
            yield node.name, type(node.operation).__name__


def _known(given: Any) -> Activation:
    if isinstance(given, dict):
        return ACTIVATION_LAYERS[given["class_name"]](SimpleNamespace(**given["config"]))
    name = LINEAR if given is None else given
    return Activation(name.rpartition(".")[2], ALL[name]().build)


def _count(entries: Any) -> int | None:
    """Return the number of a model's inputs or outputs, each `[name, number, number]`; None if it is not certain."""
    if isinstance(entries, dict):
        entries = list(entries.values())
    if not isinstance(entries, list) or not entries:
        return None
    if isinstance(entries[0], str):
        return 1
    return len(entries) if all(isinstance(one, list) and one and isinstance(one[0], str) for one in entries) else None
