"""The resolved configuration beside the results: it says everything, and given back it is the same run."""

import copy
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.workflow_helpers import PROGRAMS, ROOT, SMALL, Project, copy_project
from qatflow.base.errors import UserError
from qatflow.config.load import load_config
from qatflow.config.read_recipe import load_compress
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.base import resolved
from qatflow.config.sections.config import Config
from qatflow.config.written import as_written, compress_yaml, config_yaml

RESULTS = "results/digits_quant"
WRITTEN = ("--configfile", f"{RESULTS}/config.yaml")
TARGET = f"{RESULTS}/.config_written"
"""What the rule makes last: a target of one job, where the target `report` has all."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)


def write(config: Config, compress: CompressConfig) -> Path:
    path = Path("results", config.experiment, "config.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(config_yaml(as_written(config)), encoding="utf-8")
    path.with_name("compress.yaml").write_text(compress_yaml(resolved(compress)), encoding="utf-8")
    return path


def keys_of(schema: dict[str, Any], above: str = "") -> set[str]:
    inner = {f"{above}{key}": node for key, node in schema.get("properties", {}).items()}
    return {key for key, node in inner.items() if "properties" not in node}.union(
        *(keys_of(node, f"{key}.") for key, node in inner.items())
    )


def test_both_files_say_everything_fit_their_schemas_and_give_the_same_configuration():
    config = load_config([Path("config/config.yaml"), Path("config/test.yaml")], {"seed": 7})
    compress = load_compress(Path(config.compress.config))
    path = write(config, compress)
    shutil.rmtree("config/compress")  # the two files alone give the run

    again = load_config([path])
    assert again.compress.config == "results/digits_quant/compress.yaml"
    expected = copy.deepcopy(resolved(config))
    expected["compress"]["config"] = again.compress.config
    for section in ("data", "pretrained"):
        expected[section]["seed"] = 7  # that of the configuration, written where it is used
    assert resolved(again) == expected
    assert load_compress(Path(again.compress.config)) == compress
    assert config_yaml(as_written(again)) == path.read_text()

    for name, schema in (("config.yaml", "schema.json"), ("compress.yaml", "compress.schema.json")):
        text = path.with_name(name).read_text()
        named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
        assert named and (path.parent / named[1]).resolve() == Path("config", schema).resolve()
        content, rules = yaml.safe_load(text), json.loads(Path("config", schema).read_text())
        jsonschema.Draft202012Validator(rules).validate(content)
        said = {".".join(keys) for keys in ways(content, ())}
        assert keys_of(rules) - {"strategies"} <= said


def ways(node: dict[str, Any], above: tuple[str, ...]) -> set[tuple[str, ...]]:
    inner = {(*above, key): value for key, value in node.items()}
    return set(inner).union(*(ways(value, keys) for keys, value in inner.items() if isinstance(value, dict)))


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12) | st.sampled_from(
    [
        "1e-3",
        "5",
        "0x_",
        "2020-13-45",
        "yes",
        "true",
        "~",
        "null",
        "=",
        "<<",
        "&a",
        "- x",
        "#x",
        "a: b",
        "'",
        '"',
        " x ",
    ]
)


@settings(max_examples=200, derandomize=True)
@given(texts, texts, st.floats(0, 1e300), st.integers(0, 2**31 - 1))
def test_what_is_written_is_read_back_as_it_was(text, other, number, seed):
    overrides = {"seed": seed, "device": {"type": "adb", "serial": text, "cpu": other, "tolerance": number}}
    strategy = {"class": "QuantizationStrategy", "float_model_save_path": "x", "save_in_nodes": [text, other]}
    try:
        config = Config.model_validate(overrides)
        compress = CompressConfig.model_validate(
            {"strategies": {"q": strategy}, "compressor": {"epoch": 1, "strategies": ["q"]}}
        )
    except ValueError:  # braces and control characters
        return
    path = write(config, compress)
    if "none" in (text.lower(), other.lower()):  # null in a compress YAML, so that it is nobody's
        return
    again = load_config([path])
    assert again.device == config.device and again.seed == seed
    assert load_compress(Path(again.compress.config)) == compress


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project, after the rule has run on the small configuration."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    answer = project.snakemake("--cores", "1", TARGET, *SMALL)
    assert answer.returncode == 0, answer.stderr
    return project


@pytest.mark.workflow
def test_the_rule_writes_them_alone_and_given_back_there_is_nothing_to_do(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    written = [".config_written", ".configfiles.json", "compress.yaml", "config.yaml"]
    assert sorted(path.name for path in Path(RESULTS).iterdir()) == written
    assert not Path("data").exists()
    config, again = (load_config([Path("config/config.yaml"), Path(SMALL[1])]), load_config([Path(WRITTEN[1])]))
    for section in ("data", "pretrained"):
        assert again.seed_of(section) == config.seed_of(section)
    same = {name: getattr(config, name) for name in ("compress", "data", "pretrained")}
    assert again.model_copy(update=same) == config
    assert project.plan(TARGET, *WRITTEN) == {}
    assert project.plan("all", *WRITTEN) == project.plan("all", *SMALL)
    assert "write_config" not in project.plan("all", *WRITTEN)


@pytest.mark.workflow
def test_it_is_written_anew_when_a_value_changes_and_only_then(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    small = Path("config/test.yaml").read_text()
    Path("config/other.yaml").write_text(f"# another name and a comment\n{small}seed: 1 # as it is\n")
    assert project.plan(TARGET, "--configfile", "config/other.yaml") == {}
    shutil.move("config/test.yaml", "config/moved.yaml")
    Path("config/other.yaml").write_text(f"{small}seed: 2\n")
    assert project.plan(TARGET, "--configfile", "config/other.yaml") == {"write_config": 1}
    shutil.move("config/moved.yaml", "config/test.yaml")
    Path("config/compress/other.yaml").write_text("include: [test.yaml]\n")
    moved = ("--config", "compress={config: config/compress/other.yaml}")
    assert project.plan(TARGET, *SMALL, *moved) == {}
    Path("config/compress/other.yaml").write_text("include: [test.yaml]\ncompressor: {eval_epoch: 2}\n")
    assert project.plan(TARGET, *SMALL, *moved) == {"write_config": 1}


@pytest.mark.workflow
def test_a_run_from_the_written_files_that_fails_leaves_them(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project.folder)
    before = {path: path.read_bytes() for path in Path(RESULTS).glob("*.yaml")}
    (tmp_path / "python").write_text("#!/bin/sh\necho no disk >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    failing = Project(project.folder, {"PATH": f"{tmp_path}{os.pathsep}{PROGRAMS}{os.pathsep}{os.environ['PATH']}"})
    answer = failing.snakemake("--cores", "1", TARGET, *WRITTEN, "--config", "seed=2")
    assert answer.returncode == 1
    assert {path: path.read_bytes() for path in Path(RESULTS).glob("*.yaml")} == before
    answer = project.snakemake("--cores", "1", TARGET, *WRITTEN, "--config", "seed=2")
    assert answer.returncode == 0, answer.stderr
    assert load_config([Path(WRITTEN[1])]).seed == 2


def test_without_the_compress_yaml_beside_it_the_message_says_what_is_missing():
    # a file of that name in the checkout's own results would be taken
    config = load_config([Path("config/config.yaml")], {"experiment": "nowhere_else"})
    path = write(config, load_compress(Path(config.compress.config)))
    path.with_name("compress.yaml").unlink()
    with pytest.raises(UserError, match=r"config\.yaml:\d+: compress\.config: the file results/nowhere_else/comp"):
        load_config([path])
