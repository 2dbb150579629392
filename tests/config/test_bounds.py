"""The numbers of a configuration and of a compress YAML: each has two bounds, so that none is one that nobody means."""

import importlib
import pkgutil
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from helpers.workflow_helpers import ROOT
from qatflow.base.errors import UserError
from qatflow.config import recipe, sections
from qatflow.config.checks.config import check_together
from qatflow.config.load import load_config
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.schema import json_schema
from qatflow.config.sections.base import Section
from qatflow.config.sections.config import Config

FILES = [Path("config/config.yaml"), Path("config/test.yaml"), Path("my.yaml")]
LOWER, UPPER = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")
MODULES = [
    importlib.import_module(module.name)
    for package in (recipe, sections)
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
]
SECTIONS = sorted(
    {
        one
        for module in MODULES
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Section) and one.__module__ == module.__name__
    },
    key=lambda section: section.__name__,
)


def numbers(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield the schema of each number within one."""
    if isinstance(schema, list):
        for inner in schema:
            yield from numbers(inner)
    elif isinstance(schema, dict):
        if schema.get("type") in ("integer", "number") and not {"enum", "const"} & set(schema):
            yield schema
        for key, inner in schema.items():
            if key not in ("default", "enum", "$defs", "$ref"):
                yield from numbers(inner)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_each_number_of_each_section_has_two_bounds(section):
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue
        found = list(numbers(section.model_json_schema()["properties"][field.alias or name]))
        for number in found:
            assert any(key in number for key in LOWER) and any(key in number for key in UPPER), f"{name}: {number}"
        if "int" in str(field.annotation) or "float" in str(field.annotation):
            assert found or "Literal" in str(field.annotation), name


@pytest.mark.parametrize(("whole", "count"), [(Config, 60), (CompressConfig, 50)])
def test_the_schemas_show_them(whole, count):
    found = list(numbers(json_schema(whole)))
    assert len(found) >= count
    assert all(any(key in number for key in LOWER) and any(key in number for key in UPPER) for number in found)


def test_what_lies_beyond_a_bound_is_refused_and_the_bound_itself_is_not():
    tried = 0
    for section in SECTIONS:
        for name, field in section.model_fields.items():
            for number in numbers(section.model_json_schema()["properties"][field.alias or name]):
                value = TypeAdapter(field.rebuild_annotation())
                for inside, outside, step in (("minimum", "exclusiveMinimum", -1), ("maximum", "exclusiveMaximum", 1)):
                    bound = number.get(inside, number.get(outside))
                    several = "array" in str(section.model_json_schema()["properties"][field.alias or name])
                    if several or (number["type"] == "number" and inside not in number):
                        continue
                    at = bound if inside in number else bound - step
                    assert value.validate_python(at, strict=True) == at
                    with pytest.raises(ValueError, match="should be"):
                        value.validate_python(at + step * max(abs(at), 1), strict=True)
                    tried += 1
    assert tried > 100


@pytest.fixture
def problems(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)

    def problems(text: str) -> list[str]:
        Path("my.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(UserError) as error:
            load_config(FILES)
        return str(error.value).splitlines()[1:]

    return problems


WILD = [
    *("data.validation: 1e18", "data.calibration: 999999999999999999", "data.preprocessing.std: [4.9e-324]"),
    *("data.preprocessing.mean: [1e308]", "model.alpha: 1e-6", "pretrained.train.epochs: 999999999999999999"),
    *("pretrained.train.batch_size: 999999999999999999", "pretrained.train.learning_rate: 1e308"),
    *("pretrained.train.learning_rate: 4.9e-324", "pretrained.train.warmup_epochs: 1e300"),
    *("pretrained.train.weight_decay: 1e308", "compress.batch_size: 999999999999999999"),
    *("compress.learning_rate: 4.9e-324", "compress.learning_rate: 1e308", "compress.keep_checkpoints: 99999999999"),
    *("compress.checkpoint_steps: 999999999999999999", "device.pictures: 999999999999999999"),
    *("device.warmup: 999999999999999999", "device.repeats: 999999999999999999", "evaluate.repeats: 99999999999"),
    *("hardware.memory_limit: 999999999999999999", "compress.overrides.epoch: 100000000000000000"),
    *("compress.overrides.end_epoch: 99999999999999999", "compress.overrides.eval_epoch: 100000000000000"),
]


@pytest.mark.parametrize("wild", WILD)
def test_a_number_that_nobody_means_is_refused_by_line_and_key_at_once(wild, problems):
    way, _, value = wild.partition(": ")
    *above, key = way.split(".")
    nested = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(above))
    start = time.process_time()
    lines = problems(f"{nested}{'  ' * len(above)}{key}: {value}\n")
    place = f"my.yaml:{len(above) + 1}: "
    assert any(line.startswith(place) and f"{key}" in line and "must be" in line for line in lines), lines
    assert time.process_time() - start < 1


def test_whether_an_epoch_is_evaluated_is_computed_as_training_does_it():
    """Against the list of epochs: every eval_epoch-th is evaluated, and the last of all."""
    config = Config.model_validate({"compress": {"export": "best"}})
    for epochs in range(1, 7):
        for every in range(8):
            for first in range(epochs):
                for last in range(first, epochs):
                    strategy = {"class": "QuantizationStrategy", "start_epoch": first, "end_epoch": last}
                    compressor = {"epoch": epochs, "eval_epoch": every, "strategies": ["q"]}
                    compress = CompressConfig.model_validate({"strategies": {"q": strategy}, "compressor": compressor})
                    evaluated = [e for e in range(epochs) if every and ((e + 1) % every == 0 or e == epochs - 1)]
                    wanted = not any(first <= epoch <= last for epoch in evaluated)
                    assert bool(list(check_together(config, compress))) == wanted


def test_the_largest_numbers_are_checked_at_once(problems):
    text = Path("config/compress/auto_prune.yaml").read_text().replace("[quantization", "[config/compress/quantization")
    for old, new in (
        ("search_steps: 20", "search_steps: 1000"),
        ("start_epoch: 6", "start_epoch: 0"),
        ("end_epoch: 6", "end_epoch: 9999"),
        ("epoch: 7", "epoch: 10000\n    eval_epoch: 10000"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    Path("q.yaml").write_text(text)
    Path("my.yaml").write_text(
        "compress: {config: q.yaml, export: best, batch_size: 65536, checkpoint_steps: 1000000}\n"
        "pretrained: {train: {epochs: 10000, batch_size: 65536, learning_rate: 100, warmup_epochs: 10000}}\n"
        "device: {repeats: 100000, warmup: 100000}\nevaluate: {repeats: 100000}\n"
    )
    start = time.process_time()
    assert load_config(FILES).pretrained.train.epochs == 10_000
    assert time.process_time() - start < 1
