"""The network that a search begins with."""

from collections.abc import Sequence
from pathlib import Path

from qatflow.base.places import configured
from qatflow.config.read_recipe import load_compress
from qatflow.config.sections.compress import CompressSection
from qatflow.graph.store import load
from qatflow.search.space import Setup
from qatflow.training.init_model import initial_graph


def setup(
    section: CompressSection,
    pretrained: Path,
    seed: int,
    latency: Path | None = None,
    keep_in_float: Sequence[str] = (),
) -> Setup:
    """Return what the search's space is made of.

    Args:
        section: names the compress YAML and what is set in place of its values.
        pretrained: folder with the float graph; the YAML's init_model takes its place.
        seed: of the experiment.
        latency: latency table, where the search needs one.
        keep_in_float: layers whose name contains one of these texts stay in float.

    Raises:
        UserError: the YAML has problems, or a folder holds no graph.
    """
    written = configured(section.config)
    config, graph = load_compress(written, section.overrides), load(pretrained)
    folders = [pretrained]
    if config.compressor.init_model is not None:
        folders.append(Path(config.compressor.init_model))
        graph = initial_graph(folders[-1], graph)
    files = [written, *(folder / name for folder in folders for name in ("model", "weights"))]
    read = (*files, *([] if latency is None else [latency]))
    return Setup(config, graph, seed, latency, read, tuple(keep_in_float))
