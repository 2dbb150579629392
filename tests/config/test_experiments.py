"""Many experiments in one configuration: what each comes to, and how a mistake in one is told."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from helpers.workflow_helpers import ROOT
from qatflow.base.errors import UserError
from qatflow.config.load import load_config, load_experiments
from qatflow.config.read_recipe import load_compress
from qatflow.config.sections.config import Config
from qatflow.config.sections.device import DeviceSection

FILES = [Path("config/config.yaml"), Path("config/test.yaml"), Path("my.yaml")]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)


def load(text: str, **overrides) -> dict[str, Config]:
    Path("my.yaml").write_text(text, encoding="utf-8")
    return {name: found.config for name, found in load_experiments(FILES, overrides).items()}


def problems(text: str, **overrides) -> list[str]:
    with pytest.raises(UserError) as error:
        load(text, **overrides)
    return str(error.value).splitlines()[1:]


def changed(one: Config, other: Config) -> dict[str, object]:
    """Return what `other` has in another way than `one`, by dotted key."""

    def leaves(value: dict[str, object], above: str = "") -> dict[str, object]:
        found: dict[str, object] = {}
        for key, inner in value.items():
            found |= leaves(inner, f"{above}{key}.") if isinstance(inner, dict) else {f"{above}{key}": inner}
        return found

    before, after = leaves(one.model_dump()), leaves(other.model_dump())
    return {key: after.get(key) for key in before | after if before.get(key) != after.get(key)}


def test_each_is_the_whole_configuration_with_its_own_keys_dotted_or_nested_in_the_order_of_the_file():
    alone = load_config(FILES[:2])
    found = load(
        """\
experiments:
  small: {model.alpha: 0.5, pretrained: {name: half, train: {epochs: 3}}}
  base:
  ptq: {method: ptq, device.pictures: 5, data.name: other, data.preprocessing.mean: [1.5], pretrained.name: third}
"""
    )
    assert list(found) == ["small", "base", "ptq"]
    pinned = {"data.seed": 1, "pretrained.seed": 1}  # shared, whatever the seeds of the experiments
    assert changed(alone, found["base"]) == {"experiment": "base", **pinned}
    assert changed(alone, found["small"]) == {
        "experiment": "small", "model.alpha": 0.5, "pretrained.name": "half", "pretrained.train.epochs": 3, **pinned,
    }  # fmt: skip
    assert changed(alone, found["ptq"]) == {
        "experiment": "ptq", "method": "ptq", "device.pictures": 5, "data.preprocessing.mean": [1.5],
        "data.name": "other", "pretrained.name": "third", **pinned,
    }  # fmt: skip


def test_a_matrix_is_multiplied_out_with_names_that_say_the_values_and_do_not_depend_on_one_another():
    text = """\
experiments:
  types:
    matrix:
      weight_quantize_type: [abs_max, channel_wise_abs_max]
      compress.learning_rate: [0.01, 1e-5, null]
    seed: [7, 8]
    compress.batch_size: 32
"""
    found = load(text)
    assert list(found) == [
        f"types_{weights}_{rate}_seed{seed}"
        for weights in ("abs_max", "channel_wise_abs_max")
        for rate in ("learning_rate0p01", "learning_rate1e-05", "learning_rate-none")
        for seed in (7, 8)
    ]
    one = found["types_channel_wise_abs_max_learning_rate1e-05_seed8"]
    assert (one.seed, one.seed_of("data"), one.seed_of("pretrained")) == (8, 1, 1)
    assert (one.compress.learning_rate, one.compress.batch_size) == (1e-5, 32)
    strategies = load_compress(Path(one.compress.config), one.compress.overrides).strategies
    assert strategies["quantization_strategy"].weight_quantize_type == "channel_wise_abs_max"
    more = load(text.replace("seed: [7, 8]", "seed: [9, 8, 7]") + "  another: {seed: 3}\n")
    assert {name: more[name] for name in found} == found


@pytest.mark.parametrize(
    ("axis", "names"),
    [
        ("device.keep: [true, false]", ["m_keep-true", "m_keep-false"]),
        (
            "compress.config: [config/compress/test.yaml, config/compress/quantization.yaml]",
            ["m_test", "m_quantization"],
        ),
        ("epoch: [4, 10]", ["m_epoch4", "m_epoch10"]),
        ("checkpoint_path: [./a/b c, none]", ["m_b-c", "m_none"]),
        ("accuracy.max_drop: [0.5, 12]", ["m_max_drop0p5", "m_max_drop12"]),
    ],
)
def test_a_name_is_made_of_any_plain_value(axis, names):
    if "b c" in axis:
        axis = axis.replace("b c", "b+c")  # a path of the compress YAML has no spaces
    assert list(load(f"experiments:\n  m: {{matrix: {{{axis}}}}}\n")) == names


def test_one_is_chosen_by_only():
    text = "experiments: {a: , b: {seed: 2}, c: {seed: 3}}\n"
    assert list(load(text, only="b")) == ["b"]
    assert list(load(text, only=["c", "a"])) == ["c", "a"]
    assert load_config(FILES, {"only": "c"}).seed == 3
    assert problems(text, only="d") == ["--config: only: there is no experiment 'd'; the experiments are a, b, c"]
    assert problems(text, only=[]) == ["--config: only: names no experiment"]
    assert problems("only: some\n") == [
        "my.yaml:1: only: there is no experiment 'some'; the experiments are digits_quant"
    ]


UNKNOWN = (
    "unknown key; allowed here: matrix, seed, method, data, model, pretrained, ptq, compress, teacher, "
    "quantized_model, accuracy, device, devices, hardware, evaluate, inspect, report, model_card, the keys below "
    "them with dots, and keys of the compress YAML"
)
CPU = "; did you mean 'cpu'?"


def test_all_that_is_wrong_is_told_with_its_line_and_once():
    assert problems(
        """\
seed: -1
experiments:
  one: 3
  a b: {}
  two:
    model.alpha: 2.75
    sead: 4
    device: {cpuu: x}
    experiment: three
    weight_quantize_type: abs_maxx
    compressor.epochs: 3
    strategies.none.weight_bits: 8
  Two: {}
  many:
    matrix: {seed: 4, data: [{}], method: [], alpah: [1]}
  more: {matrix: []}
"""
    ) == [
        "my.yaml:1: seed: must be a whole number from 0, below 2,147,483,648; got -1",
        "my.yaml:3: experiments.one: must be a mapping of keys to values; got 3",
        "my.yaml:4: experiments.a b: must be a name of letters, digits, - and _; got the text 'a b'",
        "my.yaml:6: model.alpha: must be a number from 0.03125 to 2 or null; got 2.75",
        f"my.yaml:7: experiments.two.sead: {UNKNOWN}; did you mean 'seed'?",
        "my.yaml:8: device.cpuu: unknown key; allowed here: " + ", ".join(DeviceSection.model_fields) + CPU,
        f"my.yaml:9: experiments.two.experiment: {UNKNOWN}",
        "my.yaml:13: experiments.Two: makes an experiment named 'Two', as experiments.two does",
        f"my.yaml:15: experiments.many.matrix.alpah: {UNKNOWN}",
        "my.yaml:15: experiments.many.matrix.data: a mapping cannot be part of a name: write it as an experiment of "
        "its own",
        "my.yaml:15: experiments.many.matrix.method: must be a list of values, one for each experiment; got an "
        "empty list",
        "my.yaml:15: experiments.many.matrix.seed: must be a list of values, one for each experiment; got 4",
        "my.yaml:16: experiments.more.matrix: must be a mapping of keys to lists; got an empty list",
        'my.yaml:10: strategies.quantization_strategy.weight_quantize_type: must be "abs_max", '
        '"channel_wise_abs_max", "lsq" or "channel_wise_lsq"; got the text \'abs_maxx\'; did you mean \'abs_max\'?',
        "my.yaml:11: compressor.epochs: unknown key; allowed here: epoch, strategies, checkpoint_path, init_model, "
        "eval_epoch; did you mean 'epoch'?",
        "my.yaml:12: compress.overrides.strategies.none.weight_bits: config/compress/test.yaml has no 'none' under "
        "strategies; it has quantization_strategy",
    ]


CLASH = "give one of the two another name, or both the same settings"


def test_two_that_would_write_one_folder_differently_are_refused():
    assert problems("experiments:\n  base:\n  wide:\n    model.alpha: 0.75\n") == [
        "my.yaml:4: pretrained.name: 'MobileNetV1_digits' is also that of experiment base, with another model.alpha: "
        + CLASH
    ]
    assert problems("experiments:\n  base:\n  more:\n    pretrained.name: other\n    data.shards: 3\n") == [
        f"my.yaml:5: data.name: 'digits' is also that of experiment base, with another data.shards: {CLASH}"
    ]
    assert problems("experiments:\n  base:\n  late:\n    data.seed: 3\n    pretrained.name: other\n") == [
        f"my.yaml:4: data.name: 'digits' is also that of experiment base, with another data.seed: {CLASH}"
    ]


def test_one_demo_is_linked_with_one_library():
    phone = "device: {type: adb, serial: x, toolchain: clang, aar: one.aar}\nexperiments:\n  base:\n  other:\n"
    for name in ("one.aar", "two.aar"):
        Path(name).touch()
    load(phone + "    device.target: linux.armv8\n    device.toolchain: gcc\n    device.aar: null\n")
    assert problems(phone + "    device.aar: two.aar\n") == [
        "my.yaml:1: device.toolchain: 'build.lite.android.armv8.clang' is also that of experiment base, with another "
        f"device.aar: {CLASH}"
    ]


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time that it takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def test_two_thousand_experiments_are_checked_in_a_few_times_what_reading_their_text_takes():
    """Each is checked by itself; what they share is typed, checked and read once; it is about 3.5 times."""
    load("seed: 1\n")  # what is made once for all configurations
    one = "  e{0}: {{seed: {0}, model.alpha: 0.1{1:04}, pretrained.name: w{0}, epoch: {1}}}\n"
    different = "experiments:\n" + "".join(one.format(n, n + 2) for n in range(1500))
    seeds = ", ".join(map(str, range(500)))
    matrix = f"experiments:\n  m: {{matrix: {{seed: [{seeds}], epoch: [2, 3], compress.batch_size: [8, 16]}}}}\n"
    reading = seconds(lambda: yaml.safe_load(different))
    for text, count in ((different, 1500), (matrix, 2000)):
        found: dict[str, Config] = {}
        assert seconds(lambda text=text, found=found: found.update(load(text))) < 7 * reading
        assert len(found) == count


def test_a_matrix_is_counted_before_it_is_multiplied_out():
    axes = ", ".join(f"{key}: [{', '.join(map(str, range(1, 101)))}]" for key in ("seed", "epoch", "eval_epoch"))
    start = time.process_time()
    told = problems(f"experiments:\n  few:\n  m: {{matrix: {{{axes}, compress.batch_size: [1, 2, 3], {axes}}}}}\n")
    assert "my.yaml:3: experiments.m: with this one there are more than 2,000 experiments" in told
    assert time.process_time() - start < 1


def test_as_many_as_a_night_holds_and_no_more():
    axes = ", ".join(f"{key}: [{', '.join(map(str, range(1, 14)))}]" for key in ("epoch", "eval_epoch", "batch_size"))
    (found,) = problems(f"experiments:\n  m:\n    matrix: {{{axes.replace('batch', 'compress.batch')}}}\n")
    assert found == "my.yaml:2: experiments.m: with this one there are more than 2,000 experiments"


def test_a_training_may_begin_with_what_another_experiment_has_trained():
    def begun(folder: str) -> str:
        return f"experiments:\n  thin:\n  again:\n    compress.overrides: {{init_model: {folder}}}\n"

    assert list(load(begun("results/thin/trained"))) == ["thin", "again"]
    said = "compress.config: compressor.init_model in config/compress/test.yaml is results"
    (told,) = problems(begun("results/again/trained"))
    assert f"{said}/again/trained, which this training itself makes: name another folder" in told
    (told,) = problems(begun("results/thn/trained"))
    assert (
        f"{said}/thn/trained, which does not exist, and no experiment here makes it; the experiments are thin, again"
        in told
    )
    assert "did you mean 'thin'" in told
    Path("results/thn/trained").mkdir(parents=True)
    for name in ("model", "weights"):
        Path("results/thn/trained", name).touch()
    assert load(begun("results/thn/trained"))
