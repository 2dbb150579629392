"""pretrain/<weights>_quantised/: our own graph after quantisation without training, as training would leave it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from qatflow.base import provenance
from qatflow.base.files import whole_folder
from qatflow.base.sums import write_sealed
from qatflow.config.recipe.recipe import QuantizationStrategySection
from qatflow.config.sections.base import resolved
from qatflow.config.sections.model import kept_by_name
from qatflow.config.sections.ptq import PtqSection
from qatflow.data.manifest import read_manifest
from qatflow.graph.float_layers import check_float_layers
from qatflow.graph.store import load, write
from qatflow.inference.pictures import PreparedPictures
from qatflow.ptq.graph import quantise_graph
from qatflow.quantisation.placement import QuantSettings


def write_quantised_graph(
    pretrained: Path,
    data: Path,
    output: Path,
    strategy: QuantizationStrategySection,
    section: PtqSection,
    seed: int,
    keep_in_float: Literal["auto"] | Sequence[str] = (),
    cores: int = 1,
) -> None:
    """Write the quantised graph: model, weights and manifest.json.

    Args:
        pretrained: folder with the float graph.
        data: manifest.json of the data, whose calibration pictures are used, without their labels.
        output: folder to write; it appears complete or not at all.
        strategy: types and widths.
        section: how to round and what to correct.
        seed: of places in the pictures and the order of training.
        keep_in_float: layers whose name contains one of these texts stay in float; `auto`: those without an int8 form.
        cores: number of processes; it does not change the graph.

    Raises:
        UserError: as `quantise_graph`; layers can neither be quantised nor are kept in float; or weight_bits does not
            fit the network's layers.
    """
    graph, manifest = load(pretrained), read_manifest(data)
    check_float_layers(graph, keep_in_float, strategy.skip_pattern)
    skip = (*strategy.skip_pattern, *kept_by_name(keep_in_float))
    settings = QuantSettings.of(strategy.model_copy(update={"skip_pattern": list(skip)}))
    if strategy.weight_quantize_type == "abs_max":
        print(
            "warning: one scale per tensor seldom fits a network with batch-norm that is not trained afterwards: set "
            "weight_quantize_type to channel_wise_abs_max",
            flush=True,
        )
    pictures = PreparedPictures.calibration(manifest, processes=cores)
    quantised = quantise_graph(graph, settings, section, pictures, seed, log=lambda line: print(line, flush=True))
    used = {"ptq": resolved(section), "strategy": resolved(strategy), "keep_in_float": keep_in_float}
    inputs = [data, *(pretrained / name for name in ("model", "weights"))]
    with whole_folder(output) as folder:
        write(quantised, folder)
        record = provenance.record_of_floats(inputs, used, seed)
        about = {"calibration_pictures": pictures.count, "provenance": record}
        write_sealed(folder / "manifest.json", about, files=("model", "weights"))
