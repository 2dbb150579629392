"""Sections of the configuration, and the recipe, as command-line options, and back."""

import argparse
import json
import re
import shlex
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.config.read_recipe import load_compress
from qatflow.config.recipe.option import add_recipe, recipe_of
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.schema import json_schema
from qatflow.config.sections.accuracy import AccuracySection, EvaluateSection
from qatflow.config.sections.base import Section
from qatflow.config.sections.compress import CompressSection
from qatflow.config.sections.config import Config
from qatflow.config.sections.data import DataSection
from qatflow.config.sections.device import DeviceSection
from qatflow.config.sections.hardware import HardwareSection
from qatflow.config.sections.model import ModelSection, QuantizedModelSection
from qatflow.config.sections.options import add_section, as_json
from qatflow.config.sections.pretrained import PretrainedSection

SECTIONS = [
    *(AccuracySection, CompressSection, Config, DataSection, DeviceSection, EvaluateSection, HardwareSection),
    *(ModelSection, PretrainedSection, QuantizedModelSection),
]
PRESETS = sorted((ROOT / "config/compress").glob("*.yaml"))
HAZARDS = [
    "-s",
    "--cpu=-x",
    "a folder/with space",
    "emulator-5556; rm",
    "$HOME",
    "`ls`",
    "'",
    '"',
    "\\",
    "*",
    "ä/ö",
    "none",
]
TEXTS = st.sampled_from(HAZARDS) | st.text(
    st.characters(codec="utf-8", exclude_characters="{}\x7f", exclude_categories=["Cc"]), min_size=1, max_size=8
)


def parsed(section: type[Section], *words: str, **limits: Any) -> Any:
    parser = argparse.ArgumentParser(prog="program")
    add_section(parser, "section", section, **limits)
    return parser.parse_args(words).section


def refused(capsys: pytest.CaptureFixture[str], section: type[Section], *words: str, **limits: Any) -> str:
    """Return what the program's user reads below its usage."""
    with pytest.raises(SystemExit) as ended:
        parsed(section, *words, **limits)
    assert ended.value.code == 2
    return capsys.readouterr().err.partition("program: error: ")[2]


def values_of(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return values that a schema allows."""
    if choices := schema.get("anyOf", schema.get("oneOf")):
        return st.one_of(*map(values_of, choices))
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "integer":
            low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
            return st.integers(low, schema["exclusiveMaximum"] - 1 if high is None else high)
        case "number":
            above, below = "exclusiveMinimum" in schema, "exclusiveMaximum" in schema
            low = schema["exclusiveMinimum" if above else "minimum"]
            high = schema["exclusiveMaximum" if below else "maximum"]
            return st.floats(low, high, exclude_min=above, exclude_max=below)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "array":
            sizes = {"min_size": schema.get("minItems", 0), "max_size": schema.get("maxItems", 3)}
            return st.lists(values_of(schema["items"]), **sizes)
        case "object" if "properties" in schema:
            required = schema.get("required", [])
            inner = {key: values_of(one) for key, one in schema["properties"].items()}
            return st.fixed_dictionaries(
                {key: one for key, one in inner.items() if key in required},
                optional={key: one for key, one in inner.items() if key not in required},
            )
        case "object":
            names = schema.get("patternProperties") or {"": schema.get("additionalProperties", True)}
            (each,) = names.values()
            return st.dictionaries(TEXTS, st.integers() | TEXTS if each is True else values_of(each), max_size=2)
    pattern = schema.get("pattern", "")
    if "{}" in pattern:
        return TEXTS.filter(lambda text: re.search(pattern, text) is not None)
    return st.from_regex(pattern, fullmatch=True, alphabet=st.characters(codec="ascii"))


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_value_of_every_section_comes_back_from_the_shell_words(section):
    @settings(max_examples=60, derandomize=True)
    @given(values_of(json_schema(section)))
    def back(values: dict[str, Any]) -> None:
        given = section.model_validate(values)
        assert parsed(section, *shlex.split(f"--section {shlex.quote(as_json(given))}")) == given
        keys = list(section.model_fields)[::2]
        parts = [as_json(given, only=keys), as_json(given, leave_out=keys)]
        assert parsed(section, *shlex.split(f"--section {shlex.join(parts)}")) == given

    back()


def test_a_real_shell_passes_every_text_on():
    sections = [DeviceSection(type="adb", serial=text, cpu=text) for text in HAZARDS]
    command = shlex.join([sys.executable, "-c", "import sys; print(*sys.argv[1:], sep='\\n')", *map(as_json, sections)])
    for locale in ("C", "C.UTF-8"):
        answer = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, check=True, env={"LC_ALL": locale}
        )
        assert [parsed(DeviceSection, "--section", line) for line in answer.stdout.splitlines()] == sections


def test_what_is_not_given_has_its_default_and_later_parts_go_over_earlier_ones():
    assert parsed(DeviceSection) == parsed(DeviceSection, "--section", "{}") == DeviceSection()
    assert parsed(DeviceSection, "--section", '{"threads":[8]}') == DeviceSection(threads=[8])
    train = '{"train":{"epochs":3,"momentum":0}}', '{"train":{"epochs":4},"source":"train"}'
    found = parsed(PretrainedSection, "--section", *train).train
    assert (found.epochs, found.momentum) == (4, 0.0)
    assert parsed(DeviceSection, "--section", '{"threads":[1,2]}', '{"threads":[4]}').threads == [4]


def test_a_key_that_a_program_does_not_take_is_refused_by_name(capsys):
    limits = {"only": ("type", "threads", "keep"), "leave_out": ("keep",)}
    assert parsed(DeviceSection, "--section", '{"threads":[8]}', **limits) == DeviceSection(threads=[8])
    for key in ("keep", "pictures", "thread"):
        told = refused(capsys, DeviceSection, "--section", json.dumps({key: 1}), **limits)
        assert told == f"argument --section: '{key}': unknown key; allowed here: type, threads\n"


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "1", '"a"', "null", '{"pictures":NaN}', "{'pictures': 1}", '{"pictures":1', "[" * 100_000, "\0"],
    ids=lambda text: text[:20],
)
def test_what_is_no_mapping_as_json_is_one_line(capsys, text):
    told = refused(capsys, DeviceSection, "--section", text)
    assert told == f"argument --section: must be a mapping as JSON; got {text!r}\n"


@pytest.mark.parametrize(
    ("section", "values", "told"),
    [
        (DeviceSection, {"pictures": 0}, "pictures: must be a whole number from 1 to 100,000,000; got 0"),
        (DeviceSection, {"threads": [1, 65]}, "threads[1]: must be a whole number from 1 to 64; got 65"),
        (DeviceSection, {"threads": []}, "threads: must be a list of at least one, each item a whole number"),
        (DeviceSection, {"tolerance": -1}, "tolerance: must be a number from 0 to 1,000,000 or null; got -1"),
        (DeviceSection, {"tolerance": float("1e999")}, "tolerance: must be a number from 0 to 1,000,000 or null; got "),
        (DeviceSection, {"cpu": "{x}"}, "cpu: must be some text without { and }; got the text '{x}'"),
        (DeviceSection, {"serial": ""}, "serial: must be some text without { and } or null; got the text ''"),
        (DeviceSection, {"name": "a/b"}, "name: must be a name of letters, digits, - and _; got the text 'a/b'"),
        (DeviceSection, {"type": "adv"}, "type: must be \"emulator\", \"adb\" or \"ssh\"; got the text 'adv'; did"),
        (DeviceSection, {"keep": 1}, "keep: must be true or false; got 1"),
        (DataSection, {"preprocessing": {"channels": True}}, "preprocessing.channels: must be a whole number from 1"),
        (DataSection, {"preprocessing": {"sise": 32}}, "preprocessing.sise: unknown key; allowed here: size, resize,"),
        (CompressConfig, {"compressor": {}}, "compressor.epoch: is missing; a whole number from 1 to 10,000 is"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_by_option_key_and_what_is_allowed(capsys, section, values, told):
    """By the real program that makes the messages."""
    if section is CompressConfig:
        parser = argparse.ArgumentParser(prog="program")
        add_recipe(parser)
        with pytest.raises(SystemExit):
            parser.parse_args(["--recipe", json.dumps(values)])
        said = capsys.readouterr().err.partition("program: error: ")[2]
        assert said.startswith(f"argument --recipe: {told}")
        return
    said = refused(capsys, section, "--section", json.dumps(values).replace("Infinity", "1e999"))
    assert said.startswith(f"argument --section: {told}") and said.count("\n") == 1


def test_several_wrong_values_are_all_told(capsys):
    told = refused(capsys, DeviceSection, "--section", '{"repeats":0,"warmup":-1}').splitlines()
    assert len(told) == 2 and any("repeats: must be" in line for line in told) and "warmup: must be" in "".join(told)


def test_help_shows_each_key_with_its_meaning_and_default(capsys):
    with pytest.raises(SystemExit):
        parsed(PretrainedSection, "--help", leave_out=("path",))
    told = " ".join(capsys.readouterr().out.split())
    assert "The float weights that quantisation starts from. Keys of --section:" in told
    assert "train.momentum (default: 0.9) Nesterov momentum of SGD." in told
    source = 'source (default: "train"; one of train, model, keras-applications, file, url)'
    assert f"{source} Where the weights come from. train: they are trained here" in told
    assert "path (default" not in told and "sha256 (default: null)" in told


def recipe(*words: str) -> CompressConfig:
    parser = argparse.ArgumentParser(prog="program")
    add_recipe(parser)
    return recipe_of(parser.parse_args(words))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_preset_comes_back_as_the_recipe_that_it_is(preset):
    read = load_compress(preset)
    assert recipe("--recipe", *shlex.split(shlex.quote(as_json(read)))) == read


def test_a_file_is_read_by_the_same_loader_with_its_overrides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    overrides = {"epoch": 5, "strategies.quantization_strategy.end_epoch": 4}
    by_hand = recipe("--config", "config/compress/quantization.yaml", "--overrides", json.dumps(overrides))
    assert by_hand == load_compress(ROOT / "config/compress/quantization.yaml", overrides)
    assert by_hand.compressor.epoch == 5


def test_a_file_with_problems_gives_the_loaders_message(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("compressor: {epoch: 0, epochs: 1}\n")
    with pytest.raises(UserError) as by_loader:
        load_compress(file)
    with pytest.raises(UserError) as by_hand:
        recipe("--config", str(file))
    assert str(by_hand.value) == str(by_loader.value) and "mine.yaml:1" in str(by_hand.value)
    with pytest.raises(UserError, match="cannot be read: No such file"):
        recipe("--config", str(tmp_path / "none.yaml"))


def test_a_recipe_is_given_in_one_way(capsys):
    given = as_json(load_compress(PRESETS[0]))
    for words, told in (
        (("--recipe", given, "--config", "x.yaml"), "argument --config: not allowed with argument --recipe"),
        ((), "one of the arguments --recipe --config is required"),
    ):
        with pytest.raises(SystemExit):
            recipe(*words)
        assert told in capsys.readouterr().err


def test_overrides_go_with_a_file_alone():
    given = as_json(load_compress(PRESETS[0]))
    with pytest.raises(UserError, match="--overrides: goes with --config"):
        recipe("--recipe", given, "--overrides", "{}")
