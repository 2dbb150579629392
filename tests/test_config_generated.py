"""The generated files equal what the models generate, and the schemas agree with the loader."""

import difflib
from pathlib import Path

import jsonschema
import pytest
import yaml

from qatflow.config.schema import generated

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "config").rglob("*.yaml"))


@pytest.mark.parametrize("name", ["schema.json", "compress.schema.json", "config.yaml", "README.md"])
def test_a_generated_file_is_up_to_date(name):
    path = ROOT / "config" / name
    written, wanted = path.read_text(encoding="utf-8"), generated(ROOT / "config")[path]
    drift = difflib.unified_diff(written.splitlines(), wanted.splitlines(), name, "from the model", lineterm="")
    assert written == wanted, "run `python -m qatflow.config.schema`:\n" + "\n".join(drift)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_yaml_names_its_schema_for_editors_and_fits_it(path):
    head, name = path.read_text(encoding="utf-8").splitlines()[0].split("=")
    assert head == "# yaml-language-server: $schema"
    schema = yaml.safe_load((path.parent / name).read_text(encoding="utf-8"))
    assert (path.parent / name).resolve() == ROOT / "config" / (
        "compress.schema.json" if path.parent.name == "compress" else "schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(values))
    if path.stem == "test" and path.parent.name == "compress":  # an overlay lacks what the file it includes has
        assert all(error.validator == "required" for error in errors)
    else:
        assert errors == []


@pytest.mark.parametrize("name", ["schema", "compress.schema"])
def test_a_schema_refuses_unknown_keys_and_describes_each_key(name):
    schema = yaml.safe_load((ROOT / f"config/{name}.json").read_text(encoding="utf-8"))

    def check(node: dict, keys: str) -> int:
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
