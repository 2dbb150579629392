"""Reads a SavedModel folder that tf-keras wrote: its description and its arrays. The graph in it is not loaded.

TensorFlow must have been started.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.models.saved.h5_file import ACCEPTED, Saved, SavedLayer, reason
from qatflow.models.saved.keras_archive import DESCRIPTION_DAMAGE, read_description

MARK = "saved_model.pb"
METADATA = "keras_metadata.pb"
LAYER = re.compile(r"layer_with_weights-(\d+)")
OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
ORDER = (
    "gamma", "beta", "moving_mean", "moving_variance", "depthwise_kernel", "pointwise_kernel", "kernel", "bias",
    "alpha", "adapt_mean", "adapt_variance", "count",
)  # fmt: skip
"""Keras' order of a layer's weights, the same for all kinds."""


def description(folder: Path) -> dict[str, Any]:
    """Return the description of the model in a SavedModel folder.

    Raises:
        UserError: it is damaged, or tf-keras did not write it.
    """
    from google.protobuf.message import DecodeError
    from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

    metadata = SavedMetadata()
    try:
        metadata.ParseFromString((folder / METADATA).read_bytes())
        roots = [node for node in metadata.nodes if node.node_path == "root"]
        if len(roots) != 1:
            raise ValueError(f"it describes {len(roots)} models")
        root = read_description(roots[0].metadata)
        return {"class_name": root["class_name"], "config": root["config"]}
    except FileNotFoundError:
        raise UserError(f"{folder} has no {METADATA}: tf-keras did not write it, so its layers are not known") from None
    except (OSError, DecodeError, *DESCRIPTION_DAMAGE) as error:
        raise UserError(f"{folder / METADATA} is damaged ({reason(error)}): save the model again") from error


@contextlib.contextmanager
def open_saved_model(folder: Path) -> Iterator[Saved]:
    """Open the folder and yield its layers with weights, in the model's order; see `h5_file.open_h5`."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    try:
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        objects = TrackableObjectGraph.FromString(reader.get_tensor(OBJECTS))
        layers = [
            SavedLayer(name, tuple(reader.get_tensor(key) for key in keys))
            for name, keys in _layers(objects, 0, "")
            if all(_is_number(reader, key) for key in keys)
        ]
    except (tf.errors.OpError, ValueError, RuntimeError, DecodeError, LookupError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{folder} is damaged ({first}): save the model again") from error
    if not layers:
        raise UserError(f"{folder} holds no weights of Keras layers: {ACCEPTED}")
    yield Saved(layers, whole=False)


def _is_number(reader: Any, key: str) -> bool:
    """Return whether a weight is of floats, or Normalization's count of what it has seen."""
    return reader.get_variable_to_dtype_map()[key].is_floating or "/count/" in key


def _layers(objects: Any, number: int, name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield name and checkpoint keys of each layer below an object, in the model's order."""
    children = {child.local_name: child.node_id for child in objects.nodes[number].children}
    inner = sorted((int(match[1]), child) for child in children if (match := LAYER.fullmatch(child)))
    if not inner:
        keys = [objects.nodes[children[role]].attributes[0].checkpoint_key for role in ORDER if role in children]
        if keys:
            yield name.strip("/"), keys
    for _, child in inner:
        yield from _layers(objects, children[child], f"{name}/{child}")
