"""A SavedModel folder that tf-keras wrote: its description and its arrays. The graph in it is not loaded.

TensorFlow must have been started.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.models.saved.h5_file import ACCEPTED, Saved, SavedLayer
from qatflow.models.saved.keras_archive import DESCRIPTION_DAMAGE, read_description

MARK = "saved_model.pb"
METADATA = "keras_metadata.pb"
LAYER = re.compile(r"layer_with_weights-(\d+)")
OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
ORDER = ("gamma", "beta", "moving_mean", "moving_variance", "depthwise_kernel", "pointwise_kernel", "kernel", "bias")
"""Keras' order of a layer's weights, whatever its kind."""


def description(folder: Path) -> dict[str, Any]:
    """Return the description of the model in a SavedModel folder.

    Raises:
        UserError: it is damaged, or Keras did not write it.
    """
    from google.protobuf.message import DecodeError
    from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

    metadata = SavedMetadata()
    try:
        metadata.ParseFromString((folder / METADATA).read_bytes())
        (root,) = [node for node in metadata.nodes if node.node_path == "root"]
        found = read_description(root.metadata)
        return {"class_name": found["class_name"], "config": found["config"]}
    except FileNotFoundError:
        raise UserError(f"{folder} has no {METADATA}: tf-keras did not write it, so its layers are not known") from None
    except (OSError, DecodeError, *DESCRIPTION_DAMAGE) as error:
        raise UserError(f"{folder / METADATA} is damaged ({error!r}): save the model anew") from error


@contextlib.contextmanager
def open_saved_model(folder: Path) -> Iterator[Saved]:
    """Yield the layers that have weights, in the order of the model's; see `h5_file.open_h5`."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    try:
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        objects = TrackableObjectGraph.FromString(reader.get_tensor(OBJECTS))
        layers = [
            SavedLayer(name, tuple(reader.get_tensor(key) for key in keys))
            for name, keys in _layers(objects, 0, "")
            if all(reader.get_variable_to_dtype_map()[key].is_floating for key in keys)
        ]
    except (tf.errors.OpError, ValueError, RuntimeError, DecodeError, LookupError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{folder} is damaged ({reason}): save the model anew") from error
    if not layers:
        raise UserError(f"{folder} holds no weights of Keras layers: {ACCEPTED}")
    yield Saved(layers, whole=False)


def _layers(objects: Any, number: int, name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield name and keys in the checkpoint of each layer below an object, in the order of the model's."""
    children = {child.local_name: child.node_id for child in objects.nodes[number].children}
    inner = sorted((int(match[1]), child) for child in children if (match := LAYER.fullmatch(child)))
    if not inner:
        keys = [objects.nodes[children[role]].attributes[0].checkpoint_key for role in ORDER if role in children]
        if keys:
            yield name.strip("/"), keys
    for _, child in inner:
        yield from _layers(objects, children[child], f"{name}/{child}")
