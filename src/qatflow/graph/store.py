"""A graph stored in a folder: `model` (JSON: the nodes and what is quantised) and `weights` (safetensors).

Integers are stored as int8 or int16, or as float32 of the same values (PaddleSlim's `float` folder); scales are stored
beside them as `<weight>.scale` and `<node>.scale`, float32. Neither file can carry code.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import load as deserialize
from safetensors.numpy import save as serialize

from qatflow.base.errors import UserError
from qatflow.base.files import whole_file, whole_folder, write_json
from qatflow.base.sums import read_checked
from qatflow.graph.check import Bits, check_names, check_quantised, check_scales, check_stored, check_untrained
from qatflow.graph.described import DamagedError, read_as
from qatflow.graph.graph import ActivationScale, Graph, Node, WeightScale
from qatflow.graph.kinds import DoesNotFitError, kind_of
from qatflow.graph.operations import OPERATIONS
from qatflow.graph.shapes import fitting

FORMAT = "qatflow graph 1"
IntegersAs = Literal["integer", "float"]


def save(graph: Graph, folder: Path, integers: IntegersAs = "integer") -> None:
    """Write `folder` with `model` and `weights`, in place of what was there: complete or not at all."""
    with whole_folder(folder) as temporary:
        write(graph, temporary, integers)


def write(graph: Graph, folder: Path, integers: IntegersAs = "integer") -> None:
    """Write `model` and `weights` into an existing folder.

    Args:
        graph: the graph to store.
        folder: the folder.
        integers: whether kernels' integers are stored as integers or as float32 of the same values.
    """
    write_json(folder / "model", to_json(graph))
    with whole_file(folder / "weights") as temporary:
        temporary.write_bytes(serialize(tensors(graph, integers)))


def graph_digest(graph: Graph) -> str:
    """Return the hexadecimal SHA-256 of a graph: its nodes, and each weight's name, shape and values."""
    digest = hashlib.sha256(json.dumps(to_json(graph), sort_keys=True).encode())
    for name, values in sorted(graph.weights.items()):
        digest.update(f"{name} {values.shape}\0".encode() + values.tobytes())
    return digest.hexdigest()


def load(folder: Path) -> Graph:
    """Read what `save` wrote; integers come back as int8 or int16, however they were stored.

    Raises:
        UserError: a file is missing, has changed since it was written, has another format, or is damaged; see
            `from_text`.
    """
    return load_files(folder / "model", folder / "weights")


def load_files(model: Path, weights: Path) -> Graph:
    """Read a graph from its two files; see `load`."""
    for path in (model, weights):
        if not path.is_file():
            raise UserError(f"{path}: no such file; a model folder holds the two files 'model' and 'weights'")
    try:
        text = read_checked(model)
    except OSError as error:
        raise UserError(f"{model} cannot be read: {error.strerror}") from error
    return from_text(text, model, weights)


def from_text(text: bytes, model: Path, weights: Path) -> Graph:
    """Return the graph of a description and a file of arrays.

    Args:
        text: the description, JSON in UTF-8.
        model: where it was read from, for errors.
        weights: file of the arrays.

    Raises:
        UserError: it has another format, or is damaged: JSON that does not describe a graph, entries that are missing,
            unknown, of the wrong type or out of bounds; names that are unknown, used twice or used before their node;
            numbers that are not finite; weights that are missing, unknown, or of a wrong shape or type.
    """
    try:
        described, nodes = _described(text, model)
    except (ValueError, RecursionError) as error:
        raise _damaged(model, error) from error
    content = read_checked(weights)
    try:
        arrays = deserialize(content)
    except Exception as error:  # safetensors raises many kinds for damaged files
        raise _damaged(weights, error) from error
    try:
        names = _stored_names(described, nodes)
        check_stored(names, arrays, described.weight_bits)
        for name in described.activations:
            if f"{name}.scale" in arrays and arrays[f"{name}.scale"].size != 1:
                raise DamagedError(f"'{name}.scale' belongs to a tensor, but has more than one value")
    except DamagedError as error:
        raise _damaged(weights, error) from error
    graph = _graph(described, nodes, arrays)
    try:
        check_scales(graph)
        fitting(graph)
    except (DamagedError, DoesNotFitError) as error:
        raise _damaged(model.parent, error) from error
    return graph


def _damaged(path: Path, problem: BaseException) -> UserError:
    reason = "it is nested too deeply" if isinstance(problem, RecursionError) else str(problem)
    return UserError(f"{path}: damaged ({reason}): make or export it again")


def to_json(graph: Graph) -> dict[str, Any]:
    """Return the graph without its arrays, as plain JSON."""
    kept = {"frozen": graph.frozen, "moving_statistics": graph.moving_statistics}
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
            | ({} if scale.scale is not None else {"dynamic": True})
            for name, scale in graph.activation_scales.items()
        },
        **{entry: sorted(names) for entry, names in kept.items() if names},
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


def integer_type(bits: int) -> type[np.signedinteger[Any]]:
    """Return the NumPy type in which integers of that width are stored."""
    return np.int8 if bits <= 8 else np.int16


@dataclass(frozen=True)
class _Activation:
    bits: Bits
    zero_point: int
    dynamic: bool = False


@dataclass(frozen=True)
class _Description:
    format: str
    nodes: tuple[Any, ...]
    outputs: tuple[str, ...]
    aliases: Mapping[str, str]
    in_float: tuple[str, ...]
    weight_bits: Mapping[str, Bits]
    activations: Mapping[str, _Activation]
    frozen: tuple[str, ...] = ()
    moving_statistics: tuple[str, ...] = ()


@dataclass(frozen=True)
class _NodeHeader:
    name: str
    operation: str
    inputs: tuple[str, ...]


def _described(text: bytes, model: Path) -> tuple[_Description, tuple[Node, ...]]:
    value = json.loads(text.decode("utf-8"), object_pairs_hook=_object)
    if not isinstance(value, dict):
        raise DamagedError("it is not a JSON object")
    if value.get("format") != FORMAT:
        raise UserError(f"{model}: not a {FORMAT} file; its format is {value.get('format')!a:.80}")
    described = read_as(_Description, value, "it")
    nodes = tuple(_node(entry, f"nodes[{place}]") for place, entry in enumerate(described.nodes))
    check_names(nodes, described.outputs, described.aliases)
    check_quantised(nodes, described.weight_bits, described.activations, described.in_float)
    check_untrained(nodes, described.frozen, described.moving_statistics)
    return described, nodes


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise DamagedError("an object has the same entry twice")
    return entries


def _node(entry: Any, where: str) -> Node:
    if not isinstance(entry, dict):
        raise DamagedError(f"{where} is not an object")
    common = [field.name for field in fields(_NodeHeader)]
    header = read_as(_NodeHeader, {key: value for key, value in entry.items() if key in common}, where)
    kind = OPERATIONS.get(header.operation)
    if kind is None:
        raise DamagedError(f"node '{header.name}' has the unknown operation '{header.operation}'")
    own = {key: value for key, value in entry.items() if key not in common}
    return Node(header.name, read_as(kind, own, f"node '{header.name}'", every=True), header.inputs)


def _stored_names(described: _Description, nodes: Sequence[Node]) -> dict[str, bool]:
    """Return the names of the arrays that belong to a description, and for each whether it is required."""
    names: dict[str, bool] = {}
    for node in nodes:
        kind = kind_of(node.operation)
        names |= dict.fromkeys(map(node.weight, kind.may_have), False)
        names |= dict.fromkeys(map(node.weight, kind.vectors), True)
        if node.kernel is not None:
            names[node.kernel] = True
        if kind.operand is not None:
            needed = kind.operand.always or len(node.inputs) == 1
            names |= {node.weight(kind.operand.role): True} if needed else {}
    scaled = [*described.weight_bits, *(name for name, about in described.activations.items() if not about.dynamic)]
    return names | {f"{name}.scale": True for name in scaled}


def _graph(described: _Description, nodes: tuple[Node, ...], arrays: dict[str, np.ndarray]) -> Graph:
    scales = {name: WeightScale(bits, arrays.pop(f"{name}.scale")) for name, bits in described.weight_bits.items()}
    activations = {
        name: ActivationScale(
            about.bits, None if about.dynamic else float(arrays.pop(f"{name}.scale")[0]), about.zero_point
        )
        for name, about in described.activations.items()
    }
    weights = {
        name: values.astype(integer_type(scales[name].bits)) if name in scales else values
        for name, values in arrays.items()
    }
    return Graph(
        nodes,
        described.outputs,
        weights,
        scales,
        activations,
        described.aliases,
        frozenset(described.in_float),
        frozenset(described.frozen),
        frozenset(described.moving_statistics),
    )
