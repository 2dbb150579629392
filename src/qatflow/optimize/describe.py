"""What model_optimize_tool prints: the operations it supports, and those of a model."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from qatflow.graph.families import REMOVED
from qatflow.graph.graph import Graph
from qatflow.graph.operations import OPERATIONS, BatchNorm
from qatflow.tflite.lower import Converted
from qatflow.tflite.operators import LOWER

FOLDED = (BatchNorm, *REMOVED)  # folded away before anything runs on the device
TARGETS = ("arm",)


def supported_operations() -> list[str]:
    """Return the operations that run on the device, or are folded into one that does, sorted."""
    return sorted(name for name, kind in OPERATIONS.items() if _support(kind) != "-")


def all_operations() -> str:
    """Return a table of all operations: which run on the device, and which are folded away before."""
    width = max(map(len, OPERATIONS))
    lines = [f"{'operation':<{width}}  {'  '.join(TARGETS)}"]
    return "\n".join([*lines, *(f"{name:<{width}}  {_support(kind)}" for name, kind in sorted(OPERATIONS.items()))])


def _support(kind: type) -> str:
    return "runs" if kind in LOWER else "folded" if kind in FOLDED else "-"


def model_operations(graph: Graph) -> str:
    """Return a model's operations with their counts, and whether the device runs them all."""
    counts = Counter(type(node.operation).__name__ for node in graph.nodes)
    known = supported_operations()
    missing = sorted(set(counts) - set(known))
    lines = ["operations in the model:", *(f"  {name}: {count}" for name, count in sorted(counts.items()))]
    lines.append(f"not supported on arm: {', '.join(missing)}" if missing else "all of them are supported on arm")
    return "\n".join(lines)


def optimised(converted: Converted, output: Path, has_data: bool) -> Iterator[str]:
    """Yield a line for each change of a model, then where it is.

    Args:
        converted: the model.
        output: its folder.
        has_data: whether labels and preprocessing are there too.
    """
    for name, lines in converted.done.items():
        yield from (f"{name}: {line}" for line in lines)
    if not has_data:
        yield "without --data: the folder has no labels.txt and no preprocessing.json; pictures cannot be classified"
    yield f"optimised model: {output}/model.tflite, {len(converted.content)} bytes"
