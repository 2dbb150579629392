"""The last check of a .tflite model: against the rules of device and host, then loaded and run."""

from typing import Any

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.cut import cut
from qatflow.graph.graph import Graph
from qatflow.tflite.device_rules import broken_rules
from qatflow.tflite.kernel_bounds import too_small
from qatflow.tflite.lower import lower
from qatflow.tflite.read import operators

ADVICE = "name the layer in model.keep_in_float to run it in float, or replace it"


def check_model(content: bytes, graph: Graph | None = None, picture: np.ndarray | None = None) -> None:
    """Raise if a model could not run on the device.

    Args:
        content: bytes of a .tflite file.
        graph: the graph it was lowered from, after the passes, so that a layer can be named; None: there is none.
        picture: float32, to run it on; None, or one of another shape than the input: noise is used.

    Raises:
        UserError: the program on the device would refuse it, a tensor's scale is smaller than its kernel can write,
            LiteRT cannot load or run it, or its outputs are not finite numbers.
    """
    broken = broken_rules(content) if graph is None or len(graph.outputs) == 1 else []
    if broken:
        raise UserError(f"the device would refuse the model: {'; '.join(broken)}")
    least = too_small(operators(content))
    if least:
        # LiteRT would not report it: it ends the process, or computes something else
        raise UserError(
            f"the scale of {', '.join(least)} is too small for any int8 kernel: its values are all (nearly) zero. "
            f"Train again, or {ADVICE}"
        )
    problem = _run(content, picture)
    if problem:
        layer = None if graph is None else _first_that_fails(graph, picture)
        where = "" if layer is None else f" from {layer} on: {ADVICE}"
        raise UserError(f"LiteRT cannot run the model{where} ({problem})")


def _run(content: bytes, picture: np.ndarray | None) -> str:
    """Return what goes wrong when a model is loaded and run once, with XNNPACK as on the device; empty if nothing."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter: Any = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
        for place, details in enumerate(interpreter.get_input_details()):
            interpreter.set_tensor(details["index"], _values(details, picture, place))
        interpreter.invoke()
        outputs = [interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()]
    except (ValueError, RuntimeError) as error:
        return str(error).splitlines()[0]
    finite = all(np.isfinite(values).all() for values in outputs if values.dtype == np.float32)
    return "" if finite else "its outputs are not finite numbers"


def _values(details: dict[str, Any], picture: np.ndarray | None, seed: int) -> np.ndarray:
    shape, dtype = tuple(int(size) for size in details["shape"]), np.dtype(details["dtype"])
    if picture is not None and dtype == np.float32 and picture.size == np.prod(shape):
        return picture.reshape(shape)
    random = np.random.default_rng(seed)
    if dtype == np.float32:
        return random.normal(0, 1, shape).astype(np.float32)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def _first_that_fails(graph: Graph, picture: np.ndarray | None) -> str | None:
    """Return the first node such that the model up to it cannot run; None if every such part can."""
    for node in graph.nodes:
        if not node.inputs:
            continue
        part = lower(cut(graph, None, [node.name]), "qatflow")
        if too_small(operators(part)) or _run(part, picture):
            return node.name
    return None
