"""compress.overrides: what each key stands for, and that no key is taken without effect."""

import shutil
from pathlib import Path

import pytest

from helpers.workflow_helpers import ROOT
from qatflow.base.errors import UserError
from qatflow.config.load import load_experiments
from qatflow.config.sections.base import resolved

FILES = [Path("config/config.yaml"), Path("config/test.yaml"), Path("my.yaml")]
PRUNING = "config/compress/filter_pruning_uniform.yaml"
YAML = "config/compress/test.yaml"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)


def compress(text: str) -> dict[str, object]:
    """Return the resolved compress YAML of the one experiment of a configuration."""
    Path("my.yaml").write_text(text, encoding="utf-8")
    (experiment,) = load_experiments(FILES).values()
    return resolved(experiment.compress)


def problems(text: str) -> list[str]:
    with pytest.raises(UserError) as error:
        compress(text)
    return str(error.value).splitlines()[1:]


def changed(value: object, other: object, above: str = "") -> dict[str, object]:
    """Return what `other` has in another way than `value`, by dotted key."""
    if not isinstance(value, dict) or not isinstance(other, dict):
        return {} if value == other else {above: other}
    found: dict[str, object] = {}
    for key in value | other:
        found |= changed(value.get(key), other.get(key), f"{above}.{key}" if above else key)
    return found


QUANTIZATION = "strategies.quantization_strategy"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("epoch: 3", {"compressor.epoch": 3}),
        ("compressor.epoch: 3", {"compressor.epoch": 3}),
        ("compressor: {epoch: 3, eval_epoch: 0}", {"compressor.epoch": 3, "compressor.eval_epoch": 0}),
        (
            "weight_quantize_type: channel_wise_abs_max",
            {f"{QUANTIZATION}.weight_quantize_type": "channel_wise_abs_max"},
        ),
        (f"{QUANTIZATION}.end_epoch: 0", {f"{QUANTIZATION}.end_epoch": 0}),
        ("strategies: {quantization_strategy: {end_epoch: 0}}", {f"{QUANTIZATION}.end_epoch": 0}),
        ("int8_model_save_path: none", {f"{QUANTIZATION}.int8_model_save_path": None}),
        ("{}", {}),
    ],
)
@pytest.mark.parametrize("where", ["compress: {overrides: {WRITTEN}}", "experiments: {digits_quant: {WRITTEN}}"])
def test_a_key_is_found_at_what_it_stands_for(written, meant, where):
    text = where.replace("WRITTEN", "" if written == "{}" else written)
    assert changed(compress("seed: 1\n"), compress(text)) == meant


def test_a_short_key_is_that_of_each_strategy_and_one_with_dots_may_differ():
    text = f"compress: {{config: {PRUNING}, overrides: {{start_epoch: 5, {QUANTIZATION}.start_epoch: 6}}}}\n"
    strategies = compress(text)["strategies"]
    assert {name: one["start_epoch"] for name, one in strategies.items()} == {
        "uniform_pruning_strategy": 5,
        "quantization_strategy": 6,
    }


OF_THE_FILE = f"belongs to the file {YAML} and cannot be overridden; remove it"
UNKNOWN = "unknown key; allowed here: epoch, "
WRONG = {
    "weight_quantise_type: abs_max": ("weight_quantise_type", UNKNOWN, "did you mean 'weight_quantize_type'?"),
    "weight_bit: 4": ("weight_bit", UNKNOWN, "did you mean 'weight_bits'?"),
    "foo: 1": ("foo", UNKNOWN, YAML),
    "é: 1": ("é", UNKNOWN, YAML),
    "quantizers: {}": ("quantizers", UNKNOWN, YAML),
    "class_: X": ("class_", UNKNOWN, YAML),
    "'.': 1": (".", UNKNOWN, YAML),
    "class: X": ("class", "say which one you mean, like strategies.<name>.class", ""),
    "version: 1.0": ("version", OF_THE_FILE, ""),
    "include: []": ("include", OF_THE_FILE, ""),
    "include.x: 1": ("include.x", OF_THE_FILE, ""),
    "quantization_strategy: {weight_bits: 8}": ("quantization_strategy", "like strategies.quantization_strategy.<", ""),
    "target_ratio: 0.3": (
        "target_ratio",
        "only UniformPruneStrategy and SensitivePruneStrategy have this key, and ",
        f"{YAML} has no such strategy; it has QuantizationStrategy",
    ),
    "strategies.quantisation_strategy.end_epoch: 0": (
        "strategies.quantisation_strategy.end_epoch",
        f"{YAML} has no 'quantisation_strategy' under strategies; it has quantization_strategy",
        "did you mean 'quantization_strategy'?",
    ),
    "strategies: {other: {end_epoch: 0}}": ("strategies", f"{YAML} has no 'other' under strategies", ""),
    "pruners.p.criterions: {}": ("pruners.p.criterions", "has no 'p' under pruners; it has none", ""),
    "strategy.quantization_strategy.end_epoch: 0": (
        "strategy.quantization_strategy.end_epoch",
        UNKNOWN,
        "did you mean 'strategies.quantization_strategy.end_epoch'?",
    ),
    "epoch: 3, compressor.epoch: 4": ("epoch", "'compressor.epoch' sets the same: leave one of the two out", ""),
    f"{QUANTIZATION}.end_epoch: 0, end_epoch: 1": (f"{QUANTIZATION}.end_epoch", "'end_epoch' sets the same", ""),
    f"{QUANTIZATION}: null, {QUANTIZATION}.end_epoch: 1": (QUANTIZATION, "end_epoch' sets the same", ""),
}


@pytest.mark.parametrize("written", WRONG)
def test_a_key_that_would_be_without_effect_is_refused_with_line_and_nearest_key(written):
    key, what, nearest = WRONG[written]
    (line, *_) = problems(f"seed: 1\ncompress:\n  overrides: {{{written}}}\n")
    assert line.startswith(f"my.yaml:3: compress.overrides.{key}: ")
    assert what in line and nearest in line


def test_all_wrong_keys_come_at_once():
    lines = problems("compress:\n  overrides:\n    weight_bit: 4\n    foo: 1\n    compressor: null\n    epoch: none\n")
    assert [line.partition(": ")[0] for line in lines] == [f"my.yaml:{line}" for line in (3, 4, 5, 6)]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("compressor: null", "compressor: must be a mapping with keys from epoch, "),
        ("compressor.epochs: 3", "compressor.epochs: unknown key; allowed here: epoch, "),
        ("strategies: [other]", "compressor.strategies[0]: 'other' is not defined under strategies"),
        ("start_epoch: {}", f"{QUANTIZATION}.start_epoch: must be a whole number"),
        ("'': 1", "compress.overrides.'': this cannot be a key"),
        ("compressor.: 1", "compressor.'': unknown key"),
    ],
)
def test_a_value_is_checked_where_it_goes(written, told):
    assert problems(f"compress:\n  overrides: {{{written}}}\n")[0].startswith(f"my.yaml:2: {told}")


@pytest.mark.parametrize(
    ("written", "key", "told"),
    [
        ("model.alpha: 0.5, model: {alpha: 0.25}", "model", "sets the same as experiments.a.model.alpha"),
        ("model: {alpha: 0.5}, model.alpha: 0.25", "model.alpha", "sets the same as experiments.a.model"),
        ("seed: 1, matrix: {seed: [1, 2]}", "matrix.seed", "sets the same as experiments.a.seed"),
        ("seed: [1, 2], matrix: {seed: [1, 2]}", "seed", "sets the same as experiments.a.matrix.seed"),
        ("compress.overrides: {epoch: 3}, epoch: 4", "epoch", "sets the same as experiments.a.compress.overrides"),
        ("class: X", "class", "unknown key; allowed here: matrix, "),
        ("matrix: {seed: [1, 2, 1]}", "matrix.seed", "has two values that give the same name, 'seed1'"),
        ("matrix: {weight_bit: [4]}", "matrix.weight_bit", "did you mean 'weight_bits'?"),
    ],
)
def test_what_an_experiment_says_in_vain_is_refused(written, key, told):
    (line,) = problems(f"experiments:\n  a: {{{written}}}\n")
    assert line.startswith(f"my.yaml:2: experiments.a.{key}: ")
    assert told in line


def test_a_short_key_of_an_experiment_or_a_matrix_that_its_yaml_does_not_have_is_refused_at_its_line():
    lines = problems("experiments:\n  a: {target_ratio: 0.5}\n  b:\n    matrix:\n      reduce_rate: [0.5]\n")
    assert [line.split(": ")[:2] for line in lines] == [
        ["my.yaml:5", "experiments.b.matrix.reduce_rate"],
        ["my.yaml:2", "compress.overrides.target_ratio"],
    ]


def test_a_value_that_its_reader_refused_is_told_once():
    (line,) = problems("experiments:\n  a: {matrix: {seed: [&x 1, 2]}}\n  b: *x\n")[:1]
    assert "the anchor &x" in line
    assert not any("Unknown" in line for line in problems("experiments:\n  a: {matrix: *x}\n  b: *x\n"))
