"""Valid configurations, changed at random: each is accepted with the meaning written, or refused by a UserError
that names the key. No other exception ever."""

import copy
import functools
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from qatflow.config.compress_yaml import load_compress
from qatflow.config.load import load_config, resolved
from qatflow.errors import UserError

ROOT = Path(__file__).parent.parent
Keys = tuple[str, ...]

# Scalars as they stand in a file, with what YAML 1.2 makes of them; UNREADABLE: the reader itself refuses them.
UNREADABLE = object()
SCALARS: dict[str, Any] = {
    "1e-3": 0.001, "1E+2": 100.0, "0.5": 0.5, ".5": 0.5, "-1": -1, "0": 0, "1": 1, "2": 2, "3": 3, "8": 8, "64": 64,
    "10000": 10000, "1e400": UNREADABLE, "99999999999999999999": UNREADABLE, "true": True, "false": False, "yes": "yes",
    "null": None, "~": None, "1_000": "1_000", "1:30": "1:30", "0x10": "0x10", ".inf": ".inf", ".nan": ".nan",
    "'1'": "1", "'true'": "true", "text": "text", "''": "", "../up": "../up", "/abs": "/abs", "adb": "adb",
    "digits": "digits", "folder": "folder", "file": "file", "abs_max": "abs_max", "stretch": "stretch", "[]": [],
    "[1]": [1], "[1, 2, 3]": [1, 2, 3], "[text]": ["text"], "{}": {}, "{a: 1}": {"a": 1}, "&x 1": UNREADABLE,
    "*x": UNREADABLE, "!t 1": UNREADABLE, "\t1": UNREADABLE, "'a\0b'": UNREADABLE, "ä/ö": "ä/ö", "a b": "a b",
}  # fmt: skip


class Base:
    """A valid configuration, how it is read, and the ways to its values."""

    def __init__(self, values: dict[str, Any], load: Any) -> None:
        self.values = values
        self.load = load
        self.ways = sorted(self._ways(values, ()))

    def _ways(self, node: dict[str, Any], above: Keys) -> list[Keys]:
        ways = [(*above, key) for key in node]
        for key, inner in node.items():
            if isinstance(inner, dict):
                ways += self._ways(inner, (*above, key))
        return ways

    def read(self, text: str) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mutant.yaml"
            path.write_bytes(text.encode("utf-8", "surrogateescape"))
            return resolved(self.load(path))


@functools.cache
def base(name: str) -> Base:
    if name == "config":
        default = ROOT / "config/config.yaml"
        return Base(yaml.safe_load(default.read_text()), lambda path: load_config([path]))
    page = ROOT / "config/compress/quantization.yaml"
    return Base(resolved(load_compress(page)), load_compress)


def at(values: dict[str, Any], keys: Keys) -> Any:
    for key in keys:
        values = values[key]
    return values


def dump(values: dict[str, Any]) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def same(one: Any, other: Any) -> bool:
    """Equal, where a float key takes a whole number, and `none` is null in a compress YAML."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


@pytest.fixture(autouse=True, scope="module")
def in_the_checkout():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        yield


names = st.sampled_from(["config", "compress"])


@settings(max_examples=400, deadline=None, derandomize=True)
@given(names, st.data())
def test_a_changed_value_keeps_its_meaning_or_is_refused_by_its_key(name, data):
    valid = base(name)
    keys = data.draw(st.sampled_from(valid.ways))
    written = data.draw(st.sampled_from(sorted(SCALARS)))
    values = copy.deepcopy(valid.values)
    at(values, keys[:-1])[keys[-1]] = "MUTANT"
    text = dump(values).replace("MUTANT", written)
    try:
        accepted = valid.read(text)
    except UserError as error:
        assert SCALARS[written] is UNREADABLE or any(keys[-1] in line for line in str(error).splitlines()), str(error)
        assert (at(valid.values, keys), type(at(valid.values, keys))) != (SCALARS[written], type(SCALARS[written]))
        return
    assert SCALARS[written] is not UNREADABLE
    at(values, keys[:-1])[keys[-1]] = SCALARS[written]
    if SCALARS[written] == {}:  # an empty section has its defaults
        return
    assert same(at(accepted, keys), SCALARS[written])
    at(values, keys[:-1])[keys[-1]] = at(accepted, keys)
    assert accepted == {**valid.read(dump(valid.values)), **values}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(names, st.data(), st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20))
def test_a_key_that_does_not_exist_is_refused_by_its_name(name, data, wrong):
    valid = base(name)
    keys = data.draw(st.sampled_from([keys for keys in valid.ways if keys[:-1] != ("strategies",)]))
    values = copy.deepcopy(valid.values)
    section = at(values, keys[:-1])
    if wrong in section or wrong == "include":
        return
    section[wrong] = section.pop(keys[-1])
    with pytest.raises(UserError) as error:
        valid.read(dump(values))
    assert f"{'.'.join((*keys[:-1], wrong))}: unknown key" in str(error.value) or wrong in (
        "pruners", "distillers", "quantizers", "controllers"
    )  # fmt: skip


@settings(max_examples=100, deadline=None, derandomize=True)
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


@settings(max_examples=300, deadline=None, derandomize=True)
@given(names, st.data(), st.text(st.characters(codec=None), max_size=6), st.integers(0, 8))
def test_damaged_text_never_ends_in_anything_but_a_user_error(name, data, inserted, removed):
    text = dump(base(name).values)
    position = data.draw(st.integers(0, len(text)))
    damaged = text[:position] + inserted + text[position + removed :]
    encoded = damaged.encode("utf-8", "replace").decode()
    try:
        base(name).read(encoded)
    except UserError as error:
        assert str(error).strip()
