"""mobile/: a .tflite that carries its graph, so that the project's loader can read the folder back."""

import json
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from qatflow.base.errors import UserError
from qatflow.base.sums import read_checked
from qatflow.graph.graph import Graph
from qatflow.graph.store import from_text, load, to_json, write
from qatflow.tflite.builder import FILE_IDENTIFIER
from qatflow.tflite.lower import convert

METADATA = "qatflow.graph"


def write_mobile(graph: Graph, folder: Path) -> None:
    """Write `model` (.tflite with the graph as metadata) and `weights` (integers, scales) into an existing folder."""
    write(graph, folder, integers="integer")
    description = json.dumps(to_json(graph), separators=(",", ":")).encode()
    (folder / "model").write_bytes(convert(graph, {METADATA: description}).content)


def load_any(folder: Path) -> Graph:
    """Return the graph of a float/, int8/ or mobile/ folder.

    Raises:
        UserError: the folder holds no model of this project.
    """
    model = folder / "model"
    if not model.is_file() or model.read_bytes()[4:8] != FILE_IDENTIFIER:
        return load(folder)
    content = read_checked(model)
    try:
        parsed = schema.ModelT.InitFromPackedBuf(content, 0)
        descriptions = [parsed.buffers[e.buffer].data for e in parsed.metadata or [] if e.name == METADATA.encode()]
    except Exception as error:  # flatbuffers raises many kinds for damaged files
        raise UserError(f"{model}: damaged ({error}): export it again") from error
    for description in descriptions:
        return from_text(bytes(description), model, folder / "weights")
    raise UserError(f"{model}: a .tflite without its graph; it was not made by this project's export")
