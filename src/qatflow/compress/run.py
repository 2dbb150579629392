"""Training for int8: from the pretrained folder and a compress YAML to results/<experiment>/trained/."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from qatflow.base import provenance
from qatflow.base.code_digest import code_digest
from qatflow.base.errors import UserError
from qatflow.base.files import sha256, whole_folder
from qatflow.base.sums import read_sealed, write_sealed
from qatflow.base.work_folder import work_folder
from qatflow.compress.compressor import Compressor
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.base import resolved
from qatflow.config.sections.compress import RECIPE_KEYS, CompressSection
from qatflow.config.sections.hardware import HardwareSection
from qatflow.config.sections.model import kept_by_name
from qatflow.data.answers import measure_of
from qatflow.data.manifest import read_manifest
from qatflow.graph.float_layers import check_float_layers
from qatflow.graph.store import load, write
from qatflow.pruning.ratios import searched_ratios
from qatflow.training.history import write_csv
from qatflow.training.init_model import initial_graph
from qatflow.training.runtime import import_quantisation, start

CHECKPOINTS = "checkpoints"  # used where the YAML names no checkpoint_path: a long training must survive a kill


def compress(
    pretrained: Path,
    data: Path,
    recipe: CompressConfig,
    section: CompressSection,
    experiment: Path,
    output: Path,
    seed: int,
    threads: int,
    keep_in_float: Literal["auto"] | Sequence[str] = (),
    hardware: HardwareSection | None = None,
    teacher: Path | None = None,
    search: Path | None = None,
    widths: Path | None = None,
) -> None:
    """Train for int8 and write the trained graph.

    Args:
        pretrained: folder with the float graph.
        data: manifest.json of the prepared pictures.
        recipe: the compress YAML, resolved.
        section: the configuration's compress section; the YAML that it names is not read.
        experiment: folder of the experiment, to which the recipe's checkpoint_path is relative.
        output: folder to write: model, weights, history.csv, manifest.json (with the exported epoch and the record
            of each pruning).
        seed: of everything random.
        threads: threads of TensorFlow.
        keep_in_float: layers whose name contains one of these texts stay in float; `auto`: those without an int8 form.
        hardware: what TensorFlow computes on; None: the CPU.
        teacher: folder with the float graph that distillation follows; None: the one to compress.
        search: best.json of the YAML's search; None where the YAML has no search.
        widths: widths.json of the YAML's auto_bits; None where it gives the widths.

    Raises:
        UserError: the YAML's init_model is no graph, or one for other data; layers can neither be quantised nor are
            kept in float (all are listed); weight_bits or activation_bits do not fit the network's layers; no int8
            model of the network could run; there are fewer GPUs than the configuration asks for; or a step does not fit
            into memory.
    """
    graph, manifest = load(pretrained), read_manifest(data)
    recipe = _with_widths(recipe, widths)
    if recipe.distils_unlabeled:
        manifest = manifest.with_unlabeled()
    teacher_graph = None if teacher is None else load(teacher)
    init_model = None if recipe.compressor.init_model is None else Path(recipe.compressor.init_model)
    if init_model is not None:
        teacher_graph, graph = teacher_graph or graph, initial_graph(init_model, graph)
    network = _network(recipe, search)
    if network is not None:
        teacher_graph, graph = teacher_graph or graph, load(network)
    ratios = None if search is None or network is not None else searched_ratios(search)
    by_name = kept_by_name(keep_in_float)
    compressor = Compressor(graph, manifest, section, recipe, seed, by_name, teacher_graph, ratios)
    check_float_layers(graph, keep_in_float, compressor.strategy.skip_pattern)
    compressor.check_widths()
    compressor.check_saved_nodes()
    compressor.try_lowering()
    shape = {
        **compressor.shape(),
        "pretrained": sha256(pretrained / "weights"),
        "teacher": None if teacher is None else sha256(teacher / "weights"),
        **({} if init_model is None else _shape_of(init_model)),
        **({} if network is None else {"network": sha256(network / "weights")}),
        "code": code_digest("qatflow.compress.compressor"),
    }
    with work_folder(experiment / (recipe.compressor.checkpoint_path or CHECKPOINTS), shape) as folder:
        start(seed, threads, hardware)
        import_quantisation()
        compressed = compressor.run(folder, experiment)
        folders = [pretrained, *filter(None, [teacher, init_model, network])]
        inputs = [data, *(folder / name for folder in folders for name in ("model", "weights"))]
        inputs += [path for path in (search, widths) if path is not None]
        settings = {**section.model_dump(exclude={*RECIPE_KEYS}), "recipe": resolved(recipe)}
        record = provenance.record_of_floats(inputs, settings, seed)
        # under the lock: a trainer left over from a killed run must not write at the same time as its successor
        with whole_folder(output) as temporary:
            write(compressed.graph, temporary)
            write_csv(compressed.history, temporary / "history.csv", measure_of(manifest))
            about = {
                "exported_epoch": compressed.exported_epoch,
                "pruning": compressed.pruning,
                "provenance": record,
            }
            write_sealed(temporary / "manifest.json", about, files=("model", "weights", "history.csv"))


def _with_widths(recipe: CompressConfig, widths: Path | None) -> CompressConfig:
    """Return the recipe with the precisions that were chosen for it."""
    if recipe.quantization.auto_bits is None:
        return recipe
    if widths is None:
        raise UserError("auto_bits: there is no choice of widths; give compress.py its widths.json (--widths)")
    strategy = recipe.quantization.model_copy(update=read_sealed(widths)["strategy"])
    strategies = {**recipe.strategies, recipe.compressor.strategies[-1]: strategy}
    return recipe.model_copy(update={"strategies": strategies})


def _network(recipe: CompressConfig, search: Path | None) -> Path | None:
    """Return the folder of the best network of LightNASStrategy; None where the YAML has no such search."""
    if recipe.light_nas is None:
        return None
    if search is None:
        raise UserError("LightNASStrategy: there is no result of its search; give compress.py its best.json (--search)")
    return search.parent


def _shape_of(init_model: Path) -> dict[str, object]:
    files = [sha256(init_model / name) for name in ("model", "weights")]
    return {"init_model": [*files, code_digest("qatflow.training.init_model")]}
