"""Checks of the configuration that its types cannot express: combinations of values, and files that must exist."""

from collections.abc import Iterator

from qatflow.config.checks.data import check_data
from qatflow.config.checks.device import check_devices
from qatflow.config.checks.model import check_model
from qatflow.config.checks.no_labels import check_no_labels, check_training_without_labels
from qatflow.config.checks.pretrained import check_pretrained
from qatflow.config.checks.quantized_model import check_quantized_model
from qatflow.config.checks.search import check_light_nas, check_limited_latency
from qatflow.config.checks.unlabeled import check_distilled
from qatflow.config.recipe.recipe import AFTER_PTQ, CompressConfig, QuantizationStrategySection, undeployable
from qatflow.config.recipe.widths import DEVICE, WIDE, default_width, every_width, patterns
from qatflow.config.sections.config import Config
from qatflow.config.sections.ptq import PtqSection
from qatflow.config.yaml.problems import Problem, problem
from qatflow.models.architecture_names import HARD_SWISHES

COMPARISON = "comparison"


def check_config(config: Config) -> Iterator[Problem]:
    """Yield the problems of the values together, and the files that are missing."""
    yield from check_data(config)
    if config.quantized_model.given:
        yield from check_quantized_model(config)
    else:
        for above, model in zip(((), ("teacher",)), config.float_models(), strict=False):
            for found in (*check_model(model), *check_pretrained(model)):
                yield Problem(tuple((*above, *keys) for keys in found.keys), found.message)
    yield from check_no_labels(config)
    yield from check_devices(config)
    if config.experiment.lower() == COMPARISON:
        yield problem(
            "is the name of the folder with the comparison of all experiments: choose another name", "experiment"
        )
    if config.method == "auto" and config.accuracy.max_drop is None:
        yield problem(
            "must be a number with method 'auto', which trains if ptq loses more than that; with null it never trains: "
            "set method to 'ptq' instead",
            "accuracy.max_drop",
            "method",
        )


def check_together(config: Config, compress: CompressConfig) -> Iterator[Problem]:
    """Yield the problems of the configuration together with its compress YAML."""
    yield from check_light_nas(config, compress)
    yield from check_limited_latency(config, compress)
    yield from check_distilled(config, compress)
    yield from check_training_without_labels(config, compress)
    yield from _after_training(config, compress)
    yield from _wide_activations(config, compress)
    yield from _chosen_before(config, compress)
    yield from _after_ptq(config, compress)
    yield from _int4_storage(config, compress)
    every = compress.compressor.eval_epoch
    for strategy in compress.quantizations().values():
        if config.compress.export == "best" and not _is_evaluated(compress, strategy.start_epoch, strategy.end_epoch):
            yield problem(
                f"'best' needs an evaluated epoch from start_epoch {strategy.start_epoch} to end_epoch "
                f"{strategy.end_epoch}; with compressor.eval_epoch {every} in {config.compress.config} there is none",
                "compress.export",
                "compress.config",
            )


def _after_training(config: Config, compress: CompressConfig) -> Iterator[Problem]:
    """Yield the widths of the compress YAML that quantisation after training would not have."""
    strategy = compress.quantization
    if config.ptq.tool == "qatflow":
        yield from _own_graph(config, strategy)
        return
    untouched = {
        "tool",
        *(key for key, value in PtqSection().model_dump().items() if getattr(config.ptq, key) == value),
    }
    for key in sorted(set(PtqSection.model_fields) - untouched):
        yield problem(
            "has no effect with ptq.tool 'ai_edge_quantizer': set that to 'qatflow'", f"ptq.{key}", "ptq.tool"
        )
    for key in ("weight_bits", "activation_bits"):
        bits = every_width(getattr(strategy, key))
        if config.method != "qat" and bits != {DEVICE}:
            yield problem(
                f"must be 'qat': '{config.method}' quantises after training, at {DEVICE} bits alone, and {key} in "
                f"{config.compress.config} asks for {', '.join(map(str, sorted(bits)))}",
                "method",
                "compress.config",
            )


def _wide_activations(config: Config, compress: CompressConfig) -> Iterator[Problem]:
    """Yield a problem if all activations have 16 bits in a network with layers that have no int16 kernel."""
    strategy, model = compress.quantization, config.model
    wide = default_width(strategy.activation_bits) == WIDE and not patterns(strategy.activation_bits)
    named = model.kept_by_name or strategy.skip_pattern != ["skip_quant"]
    if wide and model.network in HARD_SWISHES and not named:
        yield problem(
            "has hard-swishes, which have no int16 kernel on the device, and activation_bits in "
            f"{config.compress.config} asks for {WIDE} bits everywhere; use 8, name the layers to have 16 bits in a "
            "mapping, or name those to run in float in model.keep_in_float",
            "model.architecture",
            "compress.config",
        )


def _own_graph(config: Config, strategy: QuantizationStrategySection) -> Iterator[Problem]:
    """Yield the types and widths of the compress YAML that quantisation of our own graph after training has not."""
    if config.quantized_model.given:
        yield problem("'qatflow' needs a float model, and quantized_model came quantised", "ptq.tool")
    reasons = dict(undeployable(strategy))
    if every_width(strategy.activation_bits) != {DEVICE}:
        reasons["activation_bits"] = f"activations have {DEVICE} bits after training"
    if strategy.weight_quantize_type not in ("abs_max", "channel_wise_abs_max"):
        reasons["weight_quantize_type"] = (
            f"'{strategy.weight_quantize_type}' has a scale that only training finds; use 'channel_wise_abs_max'"
        )
    if strategy.activation_quantize_type not in OF_A_RANGE:
        reasons["activation_quantize_type"] = (
            f"'{strategy.activation_quantize_type}' has a scale that is not that of a range; use "
            "'moving_average_abs_max'"
        )
    for key, reason in reasons.items():
        yield problem(
            f"'qatflow' quantises after training as {config.compress.config} says, where {key} must be another: "
            f"{reason}",
            "ptq.tool",
            "compress.config",
        )
    if config.ptq.rounding == "nearest" and config.ptq.rounding_steps != PtqSection().rounding_steps:
        yield problem("has no effect with rounding 'nearest'", "ptq.rounding_steps", "ptq.rounding")


OF_A_RANGE = ("moving_average_abs_max", "range_abs_max", "moving_average_min_max")
"""Types of activations whose scale is that of the range over the calibration pictures before any training."""


def _chosen_before(config: Config, compress: CompressConfig) -> Iterator[Problem]:
    """Yield a problem if widths are chosen for a model that is not trained."""
    if compress.quantization.auto_bits is not None and config.method != "qat":
        yield problem(
            f"must be 'qat': auto_bits in {config.compress.config} chooses the widths that training begins with",
            "method",
            "compress.config",
        )


def _after_ptq(config: Config, compress: CompressConfig) -> Iterator[Problem]:
    """Yield a problem if training begins with a graph quantised after training, and there is none of ours."""
    if compress.compressor.init_model == AFTER_PTQ and config.ptq.tool != "qatflow":
        yield problem(
            f"must be 'qatflow': compressor.init_model in {config.compress.config} is '{AFTER_PTQ}', and only that "
            "tool makes a graph that training can begin with",
            "ptq.tool",
            "compress.config",
        )


def _int4_storage(config: Config, compress: CompressConfig) -> Iterator[Problem]:
    """Yield a problem if kernels are to be stored as INT4 in a model that came quantised."""
    if config.quantized_model.given and compress.quantization.int4_storage:
        yield problem(
            f"goes to the device as it came, and int4_storage in {config.compress.config} has no effect on it: leave "
            "that out",
            "quantized_model",
            "compress.config",
        )


def _is_evaluated(compress: CompressConfig, first: int, last: int) -> bool:
    """Return whether an epoch from `first` to `last` is evaluated: every eval_epoch-th one is, and the last one."""
    every, final = compress.compressor.eval_epoch, compress.compressor.epoch - 1
    if not every or first > last:
        return False
    return first <= final <= last or (last + 1) // every > first // every
