"""The folder that keeps a graph: `model` (JSON: nodes and what is quantised) and `weights` (safetensors).

Integers are stored as int8 or int16, or as float32 of integer value (PaddleSlim's `float` folder); scales lie beside
them as `<weight>.scale` and `<node>.scale`, float32. Neither file can carry code.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors
from safetensors.numpy import load as deserialize
from safetensors.numpy import save as serialize

from qatflow.errors import UserError
from qatflow.files import whole_file, whole_folder, write_json
from qatflow.graph.graph import ActivationScale, Graph, Node, WeightScale
from qatflow.graph.operations import OPERATIONS, Operation
from qatflow.sums import read_checked

FORMAT = "qatflow graph 1"
IntegersAs = Literal["integer", "float"]


def save(graph: Graph, folder: Path, integers: IntegersAs = "integer") -> None:
    """Make `folder` with `model` and `weights`; it appears whole, in the place of what was there, or not at all."""
    with whole_folder(folder) as temporary:
        write(graph, temporary, integers)


def write(graph: Graph, folder: Path, integers: IntegersAs = "integer") -> None:
    """Write `model` and `weights` into a folder that is there.

    Args:
        graph: the graph to store.
        folder: where to.
        integers: store integers of kernels as such, or as float32 of the same values.
    """
    write_json(folder / "model", to_json(graph))
    with whole_file(folder / "weights") as temporary:
        temporary.write_bytes(serialize(tensors(graph, integers)))


def graph_digest(graph: Graph) -> str:
    """Return the hexadecimal SHA-256 of a graph: its nodes, and each weight's name, shape and values."""
    found = hashlib.sha256(json.dumps(to_json(graph), sort_keys=True).encode())
    for name, values in sorted(graph.weights.items()):
        found.update(f"{name} {values.shape}\0".encode() + values.tobytes())
    return found.hexdigest()


def load(folder: Path) -> Graph:
    """Read what `save` wrote, of whatever integers; the integers come back as int8 or int16.

    Raises:
        UserError: a file is missing or damaged, has changed since it was written, or is not of this format.
    """
    return load_files(folder / "model", folder / "weights")


def load_files(model: Path, weights: Path) -> Graph:
    """Read a graph from its two files; see `load`."""
    for path in (model, weights):
        if not path.is_file():
            raise UserError(f"{path}: no such file; a model folder holds the two files 'model' and 'weights'")
    try:
        description = json.loads(read_checked(model))
        arrays = deserialize(read_checked(weights))
    except (ValueError, safetensors.SafetensorError) as error:
        raise UserError(f"{model.parent}: damaged ({error}); make it again") from error
    return from_json(description, arrays, str(model))


def to_json(graph: Graph) -> dict[str, Any]:
    """Return the graph without its arrays, as plain JSON."""
    return {
        "format": FORMAT,
        "nodes": [
            {"name": n.name, "operation": type(n.operation).__name__, **asdict(n.operation), "inputs": list(n.inputs)}
            for n in graph.nodes
        ],
        "outputs": list(graph.outputs),
        "aliases": dict(graph.aliases),
        "in_float": sorted(graph.in_float),
        "weight_bits": {name: scale.bits for name, scale in graph.weight_scales.items()},
        "activations": {
            name: {"bits": scale.bits, "zero_point": scale.zero_point}
            for name, scale in graph.activation_scales.items()
        },
    }


def tensors(graph: Graph, integers: IntegersAs) -> dict[str, np.ndarray]:
    """Return every array of the graph by the name it is stored under."""
    arrays = {
        name: values.astype(np.float32) if integers == "float" else np.ascontiguousarray(values)
        for name, values in graph.weights.items()
    }
    arrays |= {f"{name}.scale": scale.scale for name, scale in graph.weight_scales.items()}
    arrays |= {
        f"{name}.scale": np.asarray([scale.scale], np.float32)
        for name, scale in graph.activation_scales.items()
        if scale.scale is not None
    }
    return arrays


def from_json(description: dict[str, Any], arrays: dict[str, np.ndarray], where: str) -> Graph:
    """Return the graph of a description and its stored arrays; `where` names the file in errors."""
    if description.get("format") != FORMAT:
        raise UserError(f"{where}: not a {FORMAT} file; it says {description.get('format')!r}")
    try:
        weight_scales = {
            name: WeightScale(bits, arrays.pop(f"{name}.scale")) for name, bits in description["weight_bits"].items()
        }
        activation_scales = {
            name: ActivationScale(entry["bits"], _scalar(arrays.pop(f"{name}.scale", None)), entry["zero_point"])
            for name, entry in description["activations"].items()
        }
        weights = {
            name: values.astype(integer_type(weight_scales[name].bits)) if name in weight_scales else values
            for name, values in arrays.items()
        }
        return Graph(
            nodes=tuple(_node(entry) for entry in description["nodes"]),
            outputs=tuple(description["outputs"]),
            weights=weights,
            weight_scales=weight_scales,
            activation_scales=activation_scales,
            aliases=description["aliases"],
            in_float=frozenset(description.get("in_float", [])),
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{where}: damaged, {error!r} is missing or of the wrong kind; export it again") from error


def integer_type(bits: int) -> type[np.signedinteger[Any]]:
    """Return the smallest NumPy integer type for integers of that width."""
    return np.int8 if bits <= 8 else np.int16


def _scalar(array: np.ndarray | None) -> float | None:
    return None if array is None else float(array[0])


def _node(entry: dict[str, Any]) -> Node:
    own = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    for key in ("name", "operation", "inputs"):
        del own[key]
    operation: Operation = OPERATIONS[entry["operation"]](**own)
    return Node(entry["name"], operation, tuple(entry["inputs"]))
