"""Checks of a compress YAML: names, epochs, folders, and what a device can run."""

import itertools
import os
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterator

from qatflow.config.checks.auto_bits import check_auto_bits
from qatflow.config.checks.distillation import check_distillation
from qatflow.config.checks.files import file_problem, folder_problem
from qatflow.config.checks.pruning import check_pruning, last_pruned
from qatflow.config.checks.references import check_defined, check_reached, check_used
from qatflow.config.checks.search import check_search
from qatflow.config.checks.sparsity import check_sparsity
from qatflow.config.recipe.pruning import PruneStrategySection, SensitivePruneStrategySection
from qatflow.config.recipe.recipe import (
    AFTER_PTQ,
    BY_CHANNEL,
    LEARNED,
    CompressConfig,
    QuantizationStrategySection,
    has_int4_storage,
    has_wide_activations,
    least_width,
    undeployable,
)
from qatflow.config.recipe.widths import DEVICE, INT4, WIDE, every_width, patterns
from qatflow.config.sections.options import as_json
from qatflow.config.yaml.keys import Keys, dotted
from qatflow.config.yaml.problems import Problem

CHECKPOINTS = "checkpoints"
"""Folder of the training's checkpoints if the YAML has no checkpoint_path."""
LONGEST_NAME = 255  # bytes, in most file systems
GRAPH = ("model", "weights")
"""The files in the folder of a model."""
LONGEST_RECIPE = 100_000
"""Characters of a recipe as JSON: the shell takes a command of 131,071, which has other options and paths too."""
SAVE_PATHS = ("float_model_save_path", "int8_model_save_path", "mobile_model_save_path")


def check_compress(config: CompressConfig, reserved: Collection[str]) -> Iterator[Problem]:
    """Yield the problems of the values together.

    Args:
        config: the typed compress YAML.
        reserved: folders within the experiment's folder that the workflow itself writes.
    """
    if config.version != 1:
        yield Problem((("version",),), f"must be 1.0, the only version of the grammar; got {config.version:g}")
    yield from _length(config)
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
        yield from _widths(name, strategy)
        yield from _int4_storage(name, strategy)
        yield from check_auto_bits(config, name, strategy)
        yield from _ranges(name, strategy)
        yield from _exported(name, strategy)
    yield from check_folders(config, reserved)


def _length(config: CompressConfig) -> Iterator[Problem]:
    length = len(as_json(config))
    if length > LONGEST_RECIPE:
        message = f"with all its defaults this file is {length:,} characters long, and a job takes {LONGEST_RECIPE:,}"
        yield Problem((("strategies",),), f"{message}; give shorter lists, such as fewer sensitivities")


def trained_by(folder: str) -> str | None:
    """Return the experiment whose trained model is in `folder`; None if it is not the folder of an experiment."""
    match = re.fullmatch(r"results/([^/]+)/trained", posixpath.normpath(folder))
    return match and match[1]


def _init_model(config: CompressConfig) -> Iterator[Problem]:
    folder = config.compressor.init_model
    if folder in (None, AFTER_PTQ) or trained_by(folder):  # an experiment may still have to make it
        return
    reason = folder_problem(folder) or next(filter(None, (file_problem(f"{folder}/{name}") for name in GRAPH)), "")
    if reason:
        yield Problem(
            (("compressor", "init_model"),), f"{reason}; the folder of a model has the files model and weights"
        )


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
        yield Problem(
            (listed,), "lists no strategy: nothing would be quantised; list one that is defined under strategies"
        )


def _order(config: CompressConfig) -> Iterator[Problem]:
    used, listed = config.compressor.strategies, ("compressor", "strategies")
    for name, times in Counter(used).items():
        if times > 1:
            yield Problem((listed,), f"lists '{name}' {times} times; a strategy is called once")
    quantizations = list(dict.fromkeys(name for name in used if name in config.quantizations()))
    if used and not quantizations and set(used) <= set(config.strategies):
        yield Problem(
            (listed,), "lists no QuantizationStrategy: the last strategy must be one, so that an int8 model is exported"
        )
    for name in quantizations[:1]:
        if len(quantizations) > 1 or name != used[-1]:
            yield Problem(
                (listed, ("strategies", name)),
                f"must have one QuantizationStrategy, '{name}', as the last one: a later strategy would change the "
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
                f"must be at least {last_pruned(strategy)}: '{name}' removes channels until then, which is impossible "
                "in quantised layers",
            )


def _epochs(config: CompressConfig, name: str, strategy: QuantizationStrategySection) -> Iterator[Problem]:
    start: Keys = ("strategies", name, "start_epoch")
    end: Keys = ("strategies", name, "end_epoch")
    yield from check_reached(end, strategy.end_epoch, config.compressor.epoch, "nothing would be exported")
    if strategy.start_epoch > strategy.end_epoch:
        yield Problem(
            (start, end),
            f"must be at most end_epoch ({strategy.end_epoch}): the model is exported after end_epoch, and would not "
            "be quantised by then",
        )


def _layers(name: str, strategy: QuantizationStrategySection) -> Iterator[Problem]:
    section: Keys = ("strategies", name)
    kind = strategy.weight_quantize_type
    if kind in BY_CHANNEL and set(strategy.quantizable_op_type) == {"mul"}:
        yield Problem(
            ((*section, "weight_quantize_type"), (*section, "quantizable_op_type")),
            f"'{kind}' has no effect with quantizable_op_type ['mul'] alone: a dense layer has one scale per tensor, "
            f"so no layer would have one per channel; use '{kind.removeprefix('channel_wise_')}', or add 'conv2d' or "
            "'depthwise_conv2d'",
        )


def _widths(name: str, strategy: QuantizationStrategySection) -> Iterator[Problem]:
    for key in ("weight_bits", "activation_bits"):
        for pattern in patterns(getattr(strategy, key)):
            try:
                re.compile(pattern)
            except re.error as error:
                yield Problem((("strategies", name, key, pattern),), f"is not a regular expression: {error}")


def _int4_storage(name: str, strategy: QuantizationStrategySection) -> Iterator[Problem]:
    if not strategy.int4_storage:
        return
    section: Keys = ("strategies", name)
    stored: Keys = (*section, "int4_storage")
    if not has_int4_storage(strategy):
        yield Problem(
            (stored, (*section, "weight_bits")),
            f"stores weights of at most {INT4} bits, and here no layer has fewer than {least_width(strategy)}; set "
            f"weight_bits to {INT4}, or leave it out",
        )
    chosen = strategy.auto_bits is not None and strategy.auto_bits.wide_activations
    if (chosen or has_wide_activations(strategy)) and "depthwise_conv2d" in strategy.quantizable_op_type:
        yield Problem(
            (stored, (*section, *(("auto_bits", "wide_activations") if chosen else ("activation_bits",)))),
            f"cannot go with activations of {WIDE} bits: LiteRT reads the INT4 kernel of a depthwise convolution "
            "as int8 there, and computes wrong values. Leave one of the two out; for a network without depthwise "
            "convolutions, take 'depthwise_conv2d' out of quantizable_op_type",
        )


def _ranges(name: str, strategy: QuantizationStrategySection) -> Iterator[Problem]:
    section: Keys = ("strategies", name)
    kind: Keys = (*section, "activation_quantize_type")
    if strategy.activation_quantize_type == "moving_average_min_max" and not strategy.full_range:
        yield Problem(
            ((*section, "full_range"), kind),
            "false has no effect with 'moving_average_min_max', which uses all integers of every range; leave it out, "
            "or use 'moving_average_abs_max'",
        )
    if strategy.activation_quantize_type == "abs_max" and strategy.calibration_method != "max":
        yield Problem(
            ((*section, "calibration_method"), kind),
            f"'{strategy.calibration_method}' has no effect with 'abs_max', which finds a range for each picture and "
            "calibrates none; use 'max', or another activation_quantize_type",
        )
    if strategy.weight_quantize_type not in LEARNED and strategy.first_weight_scale != "mean":
        yield Problem(
            ((*section, "first_weight_scale"), (*section, "weight_quantize_type")),
            f"has no effect with '{strategy.weight_quantize_type}', which trains no scale; leave it out, or use 'lsq' "
            "or 'channel_wise_lsq'",
        )
    usual = QuantizationStrategySection.model_fields["clip_decay"].default
    if strategy.activation_quantize_type != "pact" and strategy.clip_decay != usual:
        yield Problem(
            ((*section, "clip_decay"), kind),
            f"has no effect with '{strategy.activation_quantize_type}', which trains no clip; leave it out, or use "
            "'pact'",
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
    wide = max(every_width(strategy.weight_bits))
    if wide > DEVICE and strategy.int8_model_save_path is not None:
        yield Problem(
            ((*section, "int8_model_save_path"), (*section, "weight_bits")),
            f"must be null: {wide}-bit weights do not fit int8",
        )
    if not any(getattr(strategy, key) for key in SAVE_PATHS):
        yield Problem(
            tuple((*section, key) for key in SAVE_PATHS),
            "is missing, and so are int8_model_save_path and mobile_model_save_path: nothing would be exported (in "
            "Paddle-Lite's documentation it is './output/float')",
        )
    for key, nodes in (("save_in_nodes", strategy.save_in_nodes), ("save_out_nodes", strategy.save_out_nodes)):
        if nodes == []:
            yield Problem(((*section, key),), "names no node; name one, or leave the key out for the model's own nodes")


def check_folders(config: CompressConfig, reserved: Collection[str]) -> Iterator[Problem]:
    """Yield the problems of the folders that the strategies write to; the arguments are those of `check_compress`."""
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
    for (keys, folder), (later_keys, later) in itertools.combinations(folders, 2):
        if folder == later or folder.startswith(f"{later}/") or later.startswith(f"{folder}/"):
            relation = "is also" if folder == later else "lies within or around"
            message = f"'{later}' {relation} {dotted(keys)} ('{folder}'); use a different folder for each"
            yield Problem((later_keys, keys), message)


def _folder(path: str, reserved: Collection[str]) -> str:
    """Return why the workflow cannot write to `path`, or an empty text."""
    first, *_ = names = posixpath.normpath(path).split("/")
    if path.startswith("/") or first == "..":
        return f"'{path}' is outside the experiment's folder; use one within it, like ./output/x"
    if first == ".":
        return f"'{path}' is the experiment's folder itself; use one within it"
    if invalid := re.search(r"[^\w./+-]", path):
        return f"'{path}' has the character {invalid[0]!r}; only letters, digits and . _ + - / are allowed here"
    if max(len(os.fsencode(name)) for name in names) > LONGEST_NAME:
        return f"a name of more than {LONGEST_NAME} bytes; use a shorter one"
    if first in reserved:
        return f"'{path}' is a folder that the workflow itself writes; use another"
    return ""
