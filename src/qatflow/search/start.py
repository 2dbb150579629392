"""What a search begins with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.model import kept_by_name
from qatflow.graph.float_layers import check_float_layers
from qatflow.graph.store import load
from qatflow.search.space import SearchSetup
from qatflow.training.init_model import initial_graph


def setup(
    recipe: CompressConfig,
    pretrained: Path,
    seed: int,
    latency: Path | None = None,
    keep_in_float: Literal["auto"] | Sequence[str] = (),
) -> SearchSetup:
    """Return what the search space is made from.

    Args:
        recipe: the compress YAML, resolved.
        pretrained: folder with the float graph; the recipe's init_model takes its place.
        seed: of the experiment.
        latency: latency table, where the search needs one.
        keep_in_float: layers whose name contains one of these texts stay in float; `auto`: those without an int8 form.

    Raises:
        UserError: a folder holds no graph, or layers can neither be quantised nor are kept in float.
    """
    graph = load(pretrained)
    folders = [pretrained]
    if recipe.compressor.init_model is not None:
        folders.append(Path(recipe.compressor.init_model))
        graph = initial_graph(folders[-1], graph)
    check_float_layers(graph, keep_in_float, recipe.quantization.skip_pattern)
    files = [folder / name for folder in folders for name in ("model", "weights")]
    read = (*files, *([] if latency is None else [latency]))
    return SearchSetup(recipe, graph, seed, latency, read, kept_by_name(keep_in_float))
