"""A model that returns its input, so that the tensor the demo makes of a picture can be read back."""

import json
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from helpers.tiny_model import Step, _Graph
from qatflow.data.preprocess import Preprocessing


def write_echo(folder: Path, spec: Preprocessing, step: Step | None = None) -> Path:
    """Write a model folder whose model yields the preprocessed picture itself, of int8 where a step is given."""
    graph, types = _Graph(), schema.TensorType
    shape = [1, *spec.shape]
    kind, elements = types.FLOAT32 if step is None else types.INT8, int(np.prod(shape))
    source, result = graph.tensor(shape, kind, step), graph.tensor([1, elements], kind, step)
    options = schema.ReshapeOptionsT()
    options.newShape = np.asarray([1, elements], np.int32)
    graph.operator("RESHAPE", [source, graph.tensor([2], types.INT32, data=options.newShape)], result, options)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.tflite").write_bytes(graph.bytes(source, result))
    (folder / "labels.txt").write_text("".join(f"value {i}\n" for i in range(elements)))
    (folder / "preprocessing.json").write_text(json.dumps(spec.to_json()))
    return folder
