"""Valid configurations, changed at random: each is accepted with the meaning written, or refused by a UserError
that names the key. No other exception ever.

More than 1,500 mutants, of the main configuration and of a compress YAML; each way to a value is taken.
"""

import copy
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from helpers.mutants import SCALARS, UNREADABLE, at, same
from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.config.load import load_config
from qatflow.config.read_recipe import load_compress
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.schema import json_schema
from qatflow.config.sections.base import resolved
from qatflow.config.sections.config import Config

Keys = tuple[str, ...]

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # much faster, where PyYAML is built with it
NOT_IN_A_KEY = ("pruners", "distillers", "quantizers", "controllers", "include")  # sections of PaddleSlim's grammar


class Base:
    """A valid configuration, how it is read, and the ways to its values."""

    def __init__(self, values: dict[str, Any], load: Callable[[Path], Any], schema: dict[str, Any]) -> None:
        self.values = values
        self.load = load
        self.schema = schema
        self.ways = sorted(self._ways(values, ()))
        self.tried: set[Keys] = set()

    def _ways(self, node: dict[str, Any], above: Keys) -> Iterator[Keys]:
        for key, inner in node.items():
            yield (*above, key)
            if isinstance(inner, dict):
                yield from self._ways(inner, (*above, key))

    def choices(self, keys: Keys) -> list[str]:
        """Return what stands in the schema for the way as a choice: `ptq`, `refuse`, `abs_max`."""
        node = self.schema
        for key in keys:
            node = node.get("properties", {}).get(key) or node.get("additionalProperties") or {}
        return [choice for choice in (*node.get("enum", []), node.get("const")) if isinstance(choice, str)]

    def read(self, text: str) -> dict[str, Any]:
        path = Path("mutant.yaml")
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        return resolved(self.load(path))

    def refusal(self, text: str) -> list[str]:
        with pytest.raises(UserError) as error:
            self.read(text)
        return str(error.value).splitlines()[1:]


@functools.cache
def base(name: str) -> Base:
    if name == "config":
        default = Path("config/config.yaml")
        return Base(yaml.safe_load(default.read_text()), lambda path: load_config([path]), json_schema(Config))
    page = resolved(load_compress(Path("config/compress/quantization.yaml")))
    return Base(page, load_compress, json_schema(CompressConfig))


def changed(values: dict[str, Any], keys: Keys, value: Any) -> dict[str, Any]:
    values = copy.deepcopy(values)
    at(values, keys[:-1])[keys[-1]] = value
    return values


def dump(values: dict[str, Any]) -> str:
    return yaml.dump(values, Dumper=DUMPER, sort_keys=False, allow_unicode=True)


@pytest.fixture(autouse=True, scope="module")
def in_a_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("mutants"))
        Path("config").symlink_to(ROOT / "config")
        yield
    base.cache_clear()


names = st.sampled_from(["config", "compress"])


@pytest.mark.parametrize("name", ["config", "compress"])
def test_a_changed_value_keeps_its_meaning_or_is_refused_by_its_key(name):
    valid = base(name)
    unchanged = valid.read(dump(valid.values))

    @settings(max_examples=300, derandomize=True)
    @given(st.sampled_from(valid.ways), st.data())
    def change(keys: Keys, data: st.DataObject) -> None:
        written = data.draw(st.sampled_from([*valid.choices(keys), *sorted(SCALARS)]))
        check(keys, written, SCALARS.get(written, written))

    def check(keys: Keys, written: str, meant: Any) -> None:
        valid.tried.add(keys)
        text = dump(changed(valid.values, keys, "MUTANT")).replace("MUTANT", written)
        try:
            accepted = valid.read(text)
        except UserError as error:
            lines = str(error).splitlines()[1:]
            assert lines and any(re.match(rf"(mutant\.yaml:\d+: |.*\b){re.escape(keys[-1])}\b", line) for line in lines)
            assert (at(valid.values, keys), type(at(valid.values, keys))) != (meant, type(meant))
            return
        assert meant is not UNREADABLE
        if meant == {}:  # an empty section has its defaults
            return
        assert same(at(accepted, keys), meant)
        assert accepted == changed(unchanged, keys, meant)

    change()
    for keys in valid.ways:  # those that chance left out, and the choices of each
        for written in valid.choices(keys) or ["null"]:
            check(keys, written, SCALARS.get(written, written))
    assert valid.tried == set(valid.ways)


def test_the_ways_are_those_of_the_schema_recent_keys_among_them():
    ways = {".".join(keys) for keys in base("config").ways}
    assert ways >= {"method", "accuracy.worse_than_ptq", "compress.equalize_channels", "compress.learning_rate"}
    assert base("config").choices(("method",)) == ["ptq", "qat", "auto"]
    assert len(base("compress").ways) > 20


@settings(max_examples=160, derandomize=True)
@given(names, st.data(), st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20))
def test_a_key_that_does_not_exist_is_refused_by_its_name(name, data, wrong):
    valid = base(name)
    # without its class it is not known what else a strategy may have: that is what is told then
    plain = [keys for keys in valid.ways if keys[:-1] != ("strategies",) and keys[-1] != "class"]
    keys = data.draw(st.sampled_from(plain))
    values = copy.deepcopy(valid.values)
    section = at(values, keys[:-1])
    assume(wrong not in section and wrong not in NOT_IN_A_KEY)
    section[wrong] = section.pop(keys[-1])
    place = f"{'.'.join((*keys[:-1], wrong))}: unknown key; allowed here: "
    assert any(place in line for line in valid.refusal(dump(values)))


@settings(max_examples=100, derandomize=True)
@given(names, st.data())
def test_a_key_left_out_has_its_default_or_is_named_as_missing(name, data):
    valid = base(name)
    keys = data.draw(st.sampled_from(valid.ways))
    values = copy.deepcopy(valid.values)
    del at(values, keys[:-1])[keys[-1]]
    try:
        accepted = valid.read(dump(values))
    except UserError as error:
        assert name == "compress"
        assert keys[-1] in str(error)
    else:
        if name == "config":  # the base holds the defaults
            assert accepted == valid.values


@settings(max_examples=100, derandomize=True)
@given(names, st.data(), st.sampled_from(["twice", "twice with another value", "moved"]))
def test_a_key_written_twice_or_elsewhere_is_refused_by_its_name(name, data, how):
    valid = base(name)
    keys = data.draw(st.sampled_from([keys for keys in valid.ways if len(keys) > 1]))
    values = copy.deepcopy(valid.values)
    if how == "moved":
        assume(keys[-1] not in values)
        values[keys[-1]] = copy.deepcopy(at(values, keys))
        assert any(f": {keys[-1]}: unknown key" in line for line in valid.refusal(dump(values)))
        return
    again = copy.deepcopy(at(values, keys)) if how == "twice" else "other"
    at(values, keys[:-1])["AGAIN"] = again
    told = valid.refusal(dump(values).replace("AGAIN", keys[-1]))
    assert any(f"{'.'.join(keys)}: duplicate key; line " in line for line in told)


@settings(max_examples=150, derandomize=True)
@given(names, st.data(), st.integers(2, 5))
def test_of_several_wrong_values_each_is_named(name, data, count):
    valid = base(name)
    ways = [keys for keys in valid.ways if not isinstance(at(valid.values, keys), dict)]
    wrong = data.draw(st.lists(st.sampled_from(ways), min_size=count, max_size=count, unique=True))
    values = copy.deepcopy(valid.values)
    for keys in wrong:
        at(values, keys[:-1])[keys[-1]] = [[{}]]  # right for no key
    told = {line.split(": ")[1].partition("[")[0] for line in valid.refusal(dump(values))}
    # what a strategy of an unknown class may have is not known
    unknown = [keys[:-1] for keys in wrong if keys[-1] == "class"]
    assert told == {".".join(keys) for keys in wrong if keys[:-1] not in unknown or keys[-1] == "class"}


def leaves(node: Any, above: Keys) -> Iterator[tuple[Keys, Any]]:
    if not isinstance(node, dict):
        yield above, node
        return
    for key, inner in node.items():
        yield from leaves(inner, (*above, key))


def says(text: Any, value: Any) -> bool:
    """Whether the value is what the text says, each scalar of which is still as it was written."""
    if isinstance(value, list):
        return isinstance(text, list) and len(text) == len(value) and all(map(says, text, value))
    if value is None:
        return text in ("", "~", "null", "Null", "NULL") or text.lower() == "none"
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    return float(text) == value if isinstance(value, int | float) else text == value


@settings(max_examples=500, derandomize=True)
@given(names, st.data(), st.text(st.characters(codec=None), max_size=6), st.integers(0, 8))
def test_damaged_text_means_what_it_says_or_is_refused_by_line_and_key(name, data, inserted, removed):
    valid = base(name)
    text = dump(valid.values)
    position = data.draw(st.integers(0, len(text)))
    damaged = (text[:position] + inserted + text[position + removed :]).encode("utf-8", "replace").decode()
    try:
        accepted = valid.read(damaged)
    except UserError as error:
        for line in str(error).splitlines()[1:]:
            assert re.match(r"mutant\.yaml:\d+: |config/\S+: |mutant\.yaml: larger than", line), line
        return
    # PyYAML's base loader leaves each scalar as text; no duplicates, tags or anchors are left to mislead it
    for keys, written in leaves(yaml.load(damaged, yaml.BaseLoader), ()):
        if keys != ("include",):
            assert says(written, at(accepted, keys)), keys
