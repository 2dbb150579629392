"""What the types of a compress YAML cannot say: names, epochs, folders, and what a device can run."""

import itertools
import os
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterator

from qatflow.config.checks.distillation import check_distillation
from qatflow.config.checks.files import file_problem, folder_problem
from qatflow.config.checks.pruning import check_pruning, last_pruned
from qatflow.config.checks.references import check_defined, check_reached, check_used
from qatflow.config.checks.search import check_search
from qatflow.config.checks.sparsity import check_sparsity
from qatflow.config.problems import Problem
from qatflow.config.recipe.pruning import PruneStrategySection, SensitivePruneStrategySection
from qatflow.config.recipe.recipe import CompressConfig, QuantizationStrategySection, undeployable
from qatflow.config.yaml.keys import Keys

CHECKPOINTS = "checkpoints"
"""Where training keeps its state when the YAML names no checkpoint_path."""
LONGEST_NAME = 255  # bytes, of most file systems
GRAPH = ("model", "weights")
"""The files of a graph's folder."""
SAVE_PATHS = ("float_model_save_path", "int8_model_save_path", "mobile_model_save_path")


def check_compress(config: CompressConfig, reserved: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong with the combination of values.

    Args:
        config: the typed compress YAML.
        reserved: folders within the experiment's folder that the workflow itself writes.
    """
    if config.version != 1:
        yield Problem((("version",),), f"must be 1.0, the only version of the grammar; got {config.version:g}")
    yield from _init_model(config)
    yield from _names(config)
    yield from _order(config)
    yield from check_distillation(config)
    yield from check_pruning(config.strategies, config.pruners, config.compressor.epoch)
    yield from check_search(config)
    yield from check_sparsity(config)
    for name, strategy in config.quantizations().items():
        yield from _epochs(config, name, strategy)
        yield from _layers(name, strategy)
        yield from _exported(name, strategy)
    yield from check_folders(config, reserved)


def trained_by(folder: str) -> str | None:
    """Return the experiment that leaves its trained graph in `folder`; None where no experiment does."""
    found = re.fullmatch(r"results/([^/]+)/trained", posixpath.normpath(folder))
    return found and found[1]


def _init_model(config: CompressConfig) -> Iterator[Problem]:
    folder = config.compressor.init_model
    if folder is None or trained_by(folder):  # that may still have to be made
        return
    reason = folder_problem(folder) or next(filter(None, (file_problem(f"{folder}/{name}") for name in GRAPH)), "")
    if reason:
        yield Problem((("compressor", "init_model"),), f"{reason}; a model's folder has the files model and weights")


def _names(config: CompressConfig) -> Iterator[Problem]:
    used = config.compressor.strategies
    listed: Keys = ("compressor", "strategies")
    for index, name in enumerate(used):
        yield from check_defined((*listed, index), name, "strategies", config.strategies)
    for name in config.strategies:
        if not re.fullmatch(r"[\w.-]+", name):
            yield Problem((("strategies", name),), "must be a name of letters, digits, . _ and -")
    yield from check_used("strategies", config.strategies, used, "compressor.strategies does not list it", listed)
    if not used:
        yield Problem((listed,), "lists no strategy: nothing would be quantised; name one of those under strategies")


def _order(config: CompressConfig) -> Iterator[Problem]:
    used, listed = config.compressor.strategies, ("compressor", "strategies")
    for name, times in Counter(used).items():
        if times > 1:
            yield Problem((listed,), f"lists '{name}' {times} times; a strategy is called once")
    quantizations = list(dict.fromkeys(name for name in used if name in config.quantizations()))
    if used and not quantizations and set(used) <= set(config.strategies):
        yield Problem((listed,), "lists no QuantizationStrategy: the last one must be that, to leave an int8 model")
    for name in quantizations[:1]:
        if len(quantizations) > 1 or name != used[-1]:
            yield Problem(
                (listed, ("strategies", name)),
                f"must have one QuantizationStrategy, '{name}', as the last: what comes after it would change the "
                "integers that it has exported",
            )
    last = config.strategies[quantizations[-1]] if quantizations else None
    for name in used:
        strategy = config.strategies.get(name)
        if not isinstance(strategy, PruneStrategySection) or not isinstance(last, QuantizationStrategySection):
            continue
        if last_pruned(strategy) > last.start_epoch:
            yield Problem(
                (("strategies", quantizations[-1], "start_epoch"), ("strategies", name)),
                f"must be at least {last_pruned(strategy)}: '{name}' removes channels until then, which cannot be done "
                "to quantised layers",
            )


def _epochs(config: CompressConfig, name: str, strategy: QuantizationStrategySection) -> Iterator[Problem]:
    start: Keys = ("strategies", name, "start_epoch")
    end: Keys = ("strategies", name, "end_epoch")
    yield from check_reached(end, strategy.end_epoch, config.compressor.epoch, "nothing would be exported")
    if strategy.start_epoch > strategy.end_epoch:
        yield Problem(
            (start, end),
            f"must be at most end_epoch ({strategy.end_epoch}): the model is exported after end_epoch, and would not "
            f"be quantised by then",
        )


def _layers(name: str, strategy: QuantizationStrategySection) -> Iterator[Problem]:
    section: Keys = ("strategies", name)
    if strategy.weight_quantize_type == "channel_wise_abs_max" and set(strategy.quantizable_op_type) == {"mul"}:
        yield Problem(
            ((*section, "weight_quantize_type"), (*section, "quantizable_op_type")),
            "'channel_wise_abs_max' cannot be had with quantizable_op_type ['mul'] alone: a dense layer keeps one "
            "scale a tensor, so that no layer has one a channel; use 'abs_max', or add 'conv2d' or 'depthwise_conv2d'",
        )


def _exported(name: str, strategy: QuantizationStrategySection) -> Iterator[Problem]:
    section: Keys = ("strategies", name)
    for key, reason in undeployable(strategy).items():
        if strategy.mobile_model_save_path is not None:
            yield Problem(
                ((*section, key), (*section, "mobile_model_save_path")),
                f"cannot be deployed: {reason}. To train with it and export float/, set mobile_model_save_path to null "
                "and ask for the target `export`",
            )
    if strategy.weight_bits > 8 and strategy.int8_model_save_path is not None:
        yield Problem(
            ((*section, "int8_model_save_path"), (*section, "weight_bits")),
            f"must be null: {strategy.weight_bits}-bit weights do not fit int8",
        )
    if not any(getattr(strategy, key) for key in SAVE_PATHS):
        yield Problem(
            tuple((*section, key) for key in SAVE_PATHS),
            "is missing, as int8_model_save_path and mobile_model_save_path are: nothing would be exported (on the "
            "page: './output/float')",
        )
    for key, nodes in (("save_in_nodes", strategy.save_in_nodes), ("save_out_nodes", strategy.save_out_nodes)):
        if nodes == []:
            yield Problem(((*section, key),), "names no node; name one, or leave the key out for the model's own")


def check_folders(config: CompressConfig, reserved: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong with the folders that are written; arguments as those of `check_compress`."""
    written: list[tuple[Keys, str]] = []
    for name, strategy in config.quantizations().items():
        written += [(("strategies", name, key), path) for key in SAVE_PATHS if (path := getattr(strategy, key))]
    for name, pruning in config.strategies.items():
        if isinstance(pruning, SensitivePruneStrategySection):
            written.append((("strategies", name, "sensitivities_file"), pruning.sensitivities_file))
    if config.compressor.checkpoint_path:
        written.append((("compressor", "checkpoint_path"), config.compressor.checkpoint_path))
    else:
        reserved = {*reserved, CHECKPOINTS}
    folders: list[tuple[Keys, str]] = []
    for keys, path in written:
        if reason := _folder(path, reserved):
            yield Problem((keys,), reason)
        else:
            folders.append((keys, posixpath.normpath(path)))
    for (first, one), (second, other) in itertools.combinations(folders, 2):
        if one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/"):
            relation = "is also" if one == other else "lies within or around"
            yield Problem(
                (second, first), f"'{other}' {relation} {'.'.join(map(str, first))} ('{one}'); give each its own"
            )


def _folder(path: str, reserved: Collection[str]) -> str:
    """Return why the workflow cannot write to `path`, or nothing."""
    first, *_ = names = posixpath.normpath(path).split("/")
    if path.startswith("/") or first == "..":
        return f"'{path}' leaves the experiment's folder; give one within it, like ./output/x"
    if first == ".":
        return f"'{path}' is the experiment's folder itself; give one within it"
    if found := re.search(r"[^\w./+-]", path):
        return f"'{path}' holds {found[0]!r}; a path here has letters, digits and . _ + - / only"
    if max(len(os.fsencode(name)) for name in names) > LONGEST_NAME:
        return f"a name of more than {LONGEST_NAME} bytes; give a shorter one"
    if first in reserved:
        return f"'{path}' is a folder that the workflow itself writes; give another"
    return ""
