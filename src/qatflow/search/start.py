"""What a search begins with."""

from collections.abc import Sequence
from pathlib import Path

from qatflow.config.recipe.recipe import CompressConfig
from qatflow.graph.store import load
from qatflow.search.space import SearchSetup
from qatflow.training.init_model import initial_graph


def setup(
    recipe: CompressConfig,
    pretrained: Path,
    seed: int,
    latency: Path | None = None,
    keep_in_float: Sequence[str] = (),
) -> SearchSetup:
    """Return what the search space is made from.

    Args:
        recipe: the compress YAML, resolved.
        pretrained: folder with the float graph; the recipe's init_model takes its place.
        seed: of the experiment.
        latency: latency table, where the search needs one.
        keep_in_float: layers whose name contains one of these texts stay in float.

    Raises:
        UserError: a folder holds no graph.
    """
    graph = load(pretrained)
    folders = [pretrained]
    if recipe.compressor.init_model is not None:
        folders.append(Path(recipe.compressor.init_model))
        graph = initial_graph(folders[-1], graph)
    files = [folder / name for folder in folders for name in ("model", "weights")]
    read = (*files, *([] if latency is None else [latency]))
    return SearchSetup(recipe, graph, seed, latency, read, tuple(keep_in_float))
