"""The trained graph, cut to its named tensors and written as PaddleSlim's three folders.

float/: the kernels' integers as float32 of the same values, with scales. int8/: the same as int8, about a quarter of
the bytes. mobile/: `model` is a .tflite for TensorFlow Lite 2.x run-times, with the graph as metadata, and `weights`
has the same integers as int8/.
"""

from pathlib import Path

from qatflow.base import provenance
from qatflow.base.errors import UserError
from qatflow.base.files import whole_folder
from qatflow.base.sums import write_sealed
from qatflow.config.recipe.recipe import QuantizationStrategySection
from qatflow.export.mobile import write_mobile
from qatflow.export.targets import Target, targets
from qatflow.graph.cut import cut
from qatflow.graph.graph import Graph
from qatflow.graph.store import load, write


def export(trained: Path, strategy: QuantizationStrategySection, experiment: Path) -> list[Target]:
    """Write each folder that the strategy asks for.

    Args:
        trained: folder of the trained graph.
        strategy: its save paths and node names.
        experiment: folder that the save paths are relative to.

    Raises:
        UserError: a node name is unknown, or integers are too wide for an int8 form.
    """
    graph = cut(load(trained), strategy.save_in_nodes, strategy.save_out_nodes)
    written = targets(strategy, experiment)
    for target in written:
        with whole_folder(target.folder) as folder:
            _write(graph, target.kind, folder)
            nodes = {"save_in_nodes": strategy.save_in_nodes, "save_out_nodes": strategy.save_out_nodes}
            inputs = [trained / "model", trained / "weights"]
            origin = provenance.record(inputs, {"kind": target.kind, **nodes})
            write_sealed(folder / "manifest.json", {"provenance": origin}, files=("model", "weights"))
    return written


def _write(graph: Graph, kind: str, folder: Path) -> None:
    if kind == "float":
        write(graph, folder, integers="float")
        return
    kernels = {node.kernel for node in graph.nodes}
    wide = [name for name, scale in graph.weight_scales.items() if scale.bits > 8 and name in kernels]
    if wide:
        raise UserError(f"{kind}: the integers of {', '.join(wide)} do not fit int8; export only float/")
    if kind == "int8":
        write(graph, folder, integers="integer")
    else:
        write_mobile(graph, folder)
