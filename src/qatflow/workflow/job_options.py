"""What the rules hand to their programs: each section, and the recipe, as the JSON of its option.

A section or the recipe may come in two parts, which its option merges. The first part shapes the job's result: it is a
plain parameter of the rule, and a change of it runs the job again. The second part does not: the rule makes it a
function of the job's input, and Snakemake runs nothing again when such a parameter changes.
"""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qatflow.config.load import Experiment
from qatflow.config.recipe.recipe import AFTER_TRAINING, CompressConfig
from qatflow.config.sections.base import STATE_KEYS, resolved
from qatflow.config.sections.compress import NOT_OF_CANDIDATES, RECIPE_KEYS
from qatflow.config.sections.config import Config
from qatflow.config.sections.device import BUILD_KEYS, LATENCY_KEYS, LIMITS, RUN_LIMITS, DeviceSection
from qatflow.config.sections.named_files import NamedFile
from qatflow.config.sections.options import as_json, text_of
from qatflow.config.written import as_written

NOT_SEARCHED = ("start_epoch", "end_epoch")
"""Keys of a searching strategy that only the training with the best candidate reads."""
PROPOSED_ONLY = (
    *("controller", "search_steps", "parallel", "init_tokens"),
    *("min_ratio", "max_ratio", "uniform_range"),
    *("target_flops", "target_latency"),
)
"""Keys that say which candidates there are, and not how one is evaluated."""
EVALUATED_ONLY = ("retrain_epoch", "metric_name", "search_steps")
"""Keys that say how a candidate is evaluated or how many there are, and not which one is next."""
SEARCHED_OPERATORS = ("searched_params", "widths", "kernel_sizes")
"""Keys that say which operators the candidates can have."""
CHOSEN_OPERATORS = ("float_layers", "wide_activations")
"""Keys of auto_bits that say which operators the choice can lead to."""
QUANTISED_OPERATORS = ("weight_quantize_type", "quantizable_op_type", "skip_pattern")
"""Keys of the quantisation strategy that say which of these operators are int8, and how."""
CHOSEN_BY = (
    *("auto_bits", "weight_quantize_type", "activation_quantize_type", "full_range"),
    *("calibration_method", "quantizable_op_type", "skip_pattern"),
)
"""Keys of the quantisation strategy that the choice of widths depends on."""
SAVED_NODES = ("save_in_nodes", "save_out_nodes")


# Sections


def data(config: Config) -> str:
    """Return the option `--data` of the preparation; the seed has an option of its own."""
    return as_json(config.data, leave_out=("seed",))


def float_model(config: Config) -> str:
    """Return the option `--model` of the float model; which layers stay in float later does not shape it."""
    return as_json(config.model, leave_out=("keep_in_float",))


def kept_in_float(config: Config) -> str:
    """Return the option `--model` of jobs that only need to know which layers stay in float."""
    return as_json(config.model, only=("keep_in_float",))


def float_weights(config: Config) -> str:
    """Return the option `--pretrained`: where the weights come from, what they must reach, and how they are trained.

    Without a training, or without a published figure, its keys are left out. Downloaded weights are a file by then.
    """
    section = config.pretrained
    source = section.source if section.source in ("train", "model") else "file"
    values: dict[str, Any] = {"source": source, "fine_tune": section.fine_tune}
    values |= _published(section.expected_top1, section.top1_tolerance)
    if section.source == "train" or section.fine_tune:
        values["train"] = {key: value for key, value in resolved(section.train).items() if key not in STATE_KEYS}
    return text_of(values)


def float_state(config: Config) -> str:
    """Return the other part of `--pretrained`: how the state of the training is kept."""
    train = resolved(config.pretrained.train)
    return text_of({"train": {key: value for key, value in train.items() if key in STATE_KEYS}})


def training(config: Config) -> str:
    """Return the option `--compress` of training for int8."""
    return as_json(config.compress, leave_out=(*RECIPE_KEYS, *STATE_KEYS))


def equalising(config: Config) -> str:
    """Return the option `--compress` of the choice of widths."""
    return as_json(config.compress, only=("equalize_channels",))


def candidate_training(config: Config) -> str:
    """Return the option `--compress` of the training of a search's candidate."""
    return as_json(config.compress, leave_out=(*RECIPE_KEYS, *NOT_OF_CANDIDATES, *STATE_KEYS))


def training_state(config: Config) -> str:
    """Return the other part of `--compress`: how the state of a training is kept."""
    return as_json(config.compress, only=STATE_KEYS)


def after_training(experiment: Experiment) -> str:
    """Return the options of quantising our own graph after training: what it reads of the recipe, and its section."""
    strategy = resolved(experiment.compress.quantization)
    types = {key: strategy[key] for key in ("class", *AFTER_TRAINING)}
    return f"--quantization {shlex.quote(text_of(types))} --ptq {shlex.quote(as_json(experiment.config.ptq))}"


def hardware(config: Config) -> str:
    """Return the option `--hardware`."""
    return as_json(config.hardware)


def accuracy(config: Config) -> str:
    """Return the option `--accuracy` of the gate."""
    return as_json(config.accuracy)


def choice_of_method(config: Config) -> str:
    """Return the option `--accuracy` of the choice of a method, without the keys that only the gate reads."""
    return as_json(config.accuracy, only=("max_drop", "undecided"))


def published(config: Config) -> str:
    """Return the option `--quantized-model` of the gate: the published top-1 of a model that came quantised."""
    section = config.quantized_model
    return text_of(_published(section.expected_top1, section.top1_tolerance) if section.given else {})


def background(config: Config) -> str:
    """Return the option `--quantized-model` for adopting such a model: whether its first class is cut off."""
    return as_json(config.quantized_model, only=("drop_background",))


def evaluation(config: Config) -> str:
    """Return the option `--evaluate`."""
    return as_json(config.evaluate)


def inspection(config: Config) -> str:
    """Return the option `--inspect`."""
    return as_json(config.inspect)


def shown(config: Config) -> str:
    """Return the option `--report` of the evaluation."""
    return as_json(config.report)


def device(section: DeviceSection) -> str:
    """Return the option `--device` of a run, without the keys of the build, the gates and the files."""
    return as_json(section, leave_out=(*LIMITS, "packed", *BUILD_KEYS))


def measured_device(section: DeviceSection) -> str:
    """Return the option `--device` of measuring operators."""
    return as_json(section, only=LATENCY_KEYS)


def device_limit(section: DeviceSection) -> str:
    """Return the option `--device` of the device gate."""
    return as_json(section, only=RUN_LIMITS)


def device_limits(sections: Iterable[DeviceSection]) -> str:
    """Return the option `--device-limits` of a report: the limits of each device, null for none."""
    return json.dumps([{key: getattr(section, key) for key in RUN_LIMITS} for section in sections])


def size_limits(sections: Mapping[str, DeviceSection]) -> str:
    """Return the option `--max-bytes` of the gate before the devices: the limit of each device that has one."""
    limits = {name: section.max_bytes for name, section in sections.items() if section.max_bytes is not None}
    return f"--max-bytes {shlex.quote(json.dumps(limits))}" if limits else ""


def configuration(config: Config) -> str:
    """Return the option `--config` for writing the configuration beside the results, which gives the same run again."""
    return text_of(as_written(config))


def whole_recipe(recipe: CompressConfig) -> str:
    """Return the option `--recipe` for writing the whole recipe there."""
    return as_json(recipe)


def _published(top1: float | None, tolerance: float) -> dict[str, Any]:
    return {} if top1 is None else {"expected_top1": top1, "top1_tolerance": tolerance}


# The recipe


@dataclass(frozen=True)
class RecipeParts:
    """The two parts of the option `--recipe`, given as `--recipe REST SHAPING`; so strategies keep their order.

    Attributes:
        shaping: what shapes the job's result; a change of it runs the job again.
        rest: everything else.
    """

    shaping: str
    rest: str


Shapes = Callable[[Sequence[str]], bool]
"""Whether the value behind these keys shapes a job's result."""


def trained_recipe(recipe: CompressConfig) -> RecipeParts:
    """Return the recipe of training for int8; what is exported, and where, does not shape it."""
    return _parts(recipe, lambda keys: not (keys[0] == "strategies" and _is_of_export(keys[-1])))


def int4_storage(recipe: CompressConfig) -> str:
    """Return the flag of optimising a model with kernels that are stored as INT4."""
    return "--int4_storage" if recipe.quantization.int4_storage else ""


def exported_recipe(recipe: CompressConfig) -> RecipeParts:
    """Return the recipe of an export; the names of its nodes shape it, and its paths are the rule's outputs."""
    return _parts(recipe, _of_strategy(_name(recipe, recipe.quantization), SAVED_NODES))


def chosen_recipe(recipe: CompressConfig) -> RecipeParts:
    """Return the recipe for choosing the widths of the layers."""
    name = _name(recipe, recipe.quantization)
    return _parts(recipe, lambda keys: tuple(keys[:2]) == ("strategies", name) and keys[2] in CHOSEN_BY)


def proposed_recipe(recipe: CompressConfig) -> RecipeParts:
    """Return the recipe for proposing candidates; the search space, the controller and the limits shape them."""
    searched = _of_search(recipe, but=(*NOT_SEARCHED, *EVALUATED_ONLY))
    return _parts(recipe, lambda keys: searched(keys) or keys[0] in ("controllers", "pruners"))


def evaluated_recipe(recipe: CompressConfig) -> RecipeParts:
    """Return the recipe for evaluating a candidate; the search space and the length of its training shape that."""
    searched = _of_search(recipe, but=(*NOT_SEARCHED, *PROPOSED_ONLY))
    return _parts(recipe, lambda keys: searched(keys) or keys[0] == "pruners")


def measured_recipe(recipe: CompressConfig) -> RecipeParts:
    """Return the recipe for measuring the operators of a search's networks, or of those that auto_bits chooses from."""
    quantisation = _name(recipe, recipe.quantization)
    shapes = [_of_strategy(quantisation, QUANTISED_OPERATORS)]
    if recipe.light_nas is not None:
        shapes.append(_of_strategy(_name(recipe, recipe.light_nas), SEARCHED_OPERATORS))
    if recipe.quantization.auto_bits is not None:
        section = ["strategies", quantisation, "auto_bits"]
        shapes.append(lambda keys: [*keys[:3]] == section and keys[3] in CHOSEN_OPERATORS)
    return _parts(recipe, lambda keys: any(shape(keys) for shape in shapes))


def _is_of_export(key: str) -> bool:
    return key.startswith("save_") or key.endswith("_save_path") or key == "int4_storage"


def _name(recipe: CompressConfig, strategy: object) -> str:
    return next(name for name, one in recipe.strategies.items() if one is strategy)


def _of_strategy(name: str, keys: Iterable[str]) -> Shapes:
    wanted = {("strategies", name, key) for key in keys}
    return lambda way: tuple(way) in wanted


def _of_search(recipe: CompressConfig, but: Iterable[str]) -> Shapes:
    """Return a test for the keys of the strategy that searches, except some."""
    above, left_out = ["strategies", _name(recipe, recipe.search)], set(but)
    return lambda way: [*way[:2]] == above and way[2] not in left_out


def _parts(recipe: CompressConfig, shapes: Shapes) -> RecipeParts:
    shaping, rest = _divided(resolved(recipe), shapes, ())
    return RecipeParts(text_of(shaping), text_of(rest))


def _divided(
    values: Mapping[str, Any], shapes: Shapes, above: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values that shape a result, and the others; these keep every mapping, so the order is kept."""
    shaping: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in values.items():
        keys = (*above, key)
        if isinstance(value, dict):
            inner, rest[key] = _divided(value, shapes, keys)
            shaping |= {key: inner} if inner else {}
        else:
            (shaping if shapes(keys) else rest)[key] = value
    return shaping, rest


# Options that are not of a section


@dataclass(frozen=True)
class Compared:
    """An experiment of a comparison.

    Attributes:
        name: of the experiment.
        shipped: which of its models goes to the device.
        devices: those that it has run on; empty where its gate is closed.
        training: the benchmark file of its training; None where nothing was trained.
    """

    name: str
    shipped: str
    devices: Sequence[str]
    training: str | None


def compared(experiments: Iterable[Compared]) -> str:
    """Return the options that name each experiment, its devices and how long it trained."""
    return " ".join(
        shlex.join(
            [
                *("--experiment", f"results/{one.name}", f"shipped={one.shipped}"),
                *([f"devices={','.join(one.devices)}"] if one.devices else []),
                *([] if one.training is None else [f"training={one.training}"]),
            ]
        )
        for one in experiments
    )


def where_input(option: str, of: str) -> Callable[[object, Any], str]:
    """Return a params function for an option with the files of the input `of`, given only where that is there."""

    def value(wildcards: object, input: Any) -> str:
        return f"--{option} {input[of]}" if input[of] else ""

    return value


def checksum(file: NamedFile) -> str:
    """Return the option for the checksum that a downloaded file must have: an MD5 where nothing better is published."""
    return f"--md5 {file.md5}" if file.md5 else f"--sha256 {file.sha256}"
