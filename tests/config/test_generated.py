"""The generated files equal what the models generate, and the schemas agree with the loader."""

import difflib
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from helpers.places import ROOT
from qatflow.config.generate import generated
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.schema import json_schema
from qatflow.config.sections.config import Config
from qatflow.config.validate import validate
from qatflow.config.yaml.merge import Merged

FILES = sorted((ROOT / "config").rglob("*.yaml"))


@pytest.mark.parametrize("name", ["schema.json", "compress.schema.json", "config.yaml", "README.md"])
def test_a_generated_file_is_up_to_date(name):
    path = ROOT / "config" / name
    written, wanted = path.read_text(encoding="utf-8"), generated(ROOT / "config")[path]
    drift = difflib.unified_diff(written.splitlines(), wanted.splitlines(), name, "from the model", lineterm="")
    assert written == wanted, "run `python -m qatflow.config.generate`:\n" + "\n".join(drift)


def misses_a_key(error: jsonschema.ValidationError) -> bool:
    """Whether that is all that is wrong; of several classes of a section, with one of them."""
    if error.validator != "oneOf":
        return error.validator == "required"
    classes = {inner.schema_path[0] for inner in error.context}
    return any(
        all(misses_a_key(inner) for inner in error.context if inner.schema_path[0] == number) for number in classes
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_yaml_names_its_schema_for_editors_and_fits_it(path):
    head, name = path.read_text(encoding="utf-8").splitlines()[0].split("=")
    assert head == "# yaml-language-server: $schema"
    schema = json.loads((path.parent / name).read_text(encoding="utf-8"))
    assert (path.parent / name).resolve() == ROOT / "config" / (
        "compress.schema.json" if path.parent.name == "compress" else "schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(values))
    if "include" in values:  # such a file lacks what those that it includes have
        assert all(map(misses_a_key, errors))
    else:
        assert errors == []


@pytest.mark.parametrize("name", ["schema", "compress.schema"])
def test_a_schema_refuses_unknown_keys_and_describes_each_key(name):
    schema = json.loads((ROOT / f"config/{name}.json").read_text(encoding="utf-8"))

    def check(node: dict, keys: str) -> int:
        if "oneOf" in node:
            return sum(check(one, f"{keys}({one['properties']['class']['const']})") for one in node["oneOf"])
        assert node["additionalProperties"] is False, keys
        count = 0
        for key, inner in node["properties"].items():
            assert inner.get("description"), f"{keys}.{key} has no description"
            additional = inner.get("additionalProperties")
            if inner.get("properties"):
                count += check(inner, f"{keys}.{key}")
            elif isinstance(additional, dict):
                count += check(additional, f"{keys}.{key}.*")
            else:
                assert "default" in inner or key in node["required"], f"{keys}.{key} has no default"
                count += 1
        return count

    assert check(schema, name) > 15


VALUES: list[Any] = [
    *(None, True, False, 0, 1, 2, 3, 16, 31, 32, 64, 1000, 5000, 10**6, 2**31, -1, 0.5, 0.99, 1.5, 1e-9, 1e6 + 0.5),
    *("", "x", "a b", "../x", "{x}", "a" * 64, "a" * 101, "\0", "ptq", "idx", "abs_max", "QuantizationStrategy"),
    *([], [1], [1, 2], ["x"], ["conv2d"], [""], [[1]], {}, {"x": 1}),
]


@pytest.mark.parametrize("model", [Config, CompressConfig])
def test_the_schema_takes_each_value_that_the_loader_takes_and_no_other(model):
    strategy = {"class": "QuantizationStrategy"}
    least = {"strategies": {"q": strategy}, "compressor": {"epoch": 1}} if model is CompressConfig else {}
    valid = model.model_validate(least).model_dump(mode="json", by_alias=True)
    schema = json_schema(model)
    jsonschema.Draft202012Validator(schema).validate(valid)
    taken = 0
    for keys in ways(valid, ()):
        # all else stays valid, so the section alone is validated: the whole takes much longer
        section = jsonschema.Draft202012Validator(schema["properties"][keys[0]])
        for value in VALUES:
            changed = with_value(valid, keys, value)
            _, reports = validate(model, Merged(changed), lambda _: ())
            accepted = not reports
            taken += accepted
            assert section.is_valid(changed[keys[0]]) == accepted, (keys, value)
    assert taken > 100


def with_value(values: dict[str, Any], keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return `values` with another one at `keys`; what does not change is shared."""
    first, *rest = keys
    return {**values, first: with_value(values[first], tuple(rest), value) if rest else value}


def ways(node: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, inner in node.items():
        yield (*above, key)
        if isinstance(inner, dict):
            yield from ways(inner, (*above, key))
