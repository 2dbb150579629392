"""The conda environments have the versions of the lock file, and only direct dependencies."""

import ast
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from helpers.places import ROOT
from qatflow.base.code_digest import imported_modules

ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))


def requirements(text: str) -> dict[str, str]:
    """Return the name and the rest of each requirement."""
    return dict(re.findall(r"^([a-z][a-z0-9-]*)(.*)$", text, re.MULTILINE))


def packages(path: Path) -> dict[str, str]:
    environment = yaml.safe_load(path.read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert [item.split("=")[0] for item in conda] == ["python", "pip"]
    assert conda[0].startswith("python=3.11.")
    return dict(item.split("==") for item in pip["pip"])


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_versions_are_those_of_the_lock_file(path):
    locked = requirements((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    for name, version in packages(path).items():
        assert locked[name].split()[0] == f"=={version}", name


@cache
def imported(path: Path) -> frozenset[str]:
    """Return the modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return frozenset(names)


@cache
def distributions() -> Mapping[str, list[str]]:
    """Return the packages that provide each module."""
    return metadata.packages_distributions()


def imported_packages(files: Iterable[Path]) -> set[str]:
    """Return the packages that `files` import, by their names in the lock file."""
    names = {name for path in files for name in imported(path)}
    providers = distributions()
    packages = {"protobuf" for name in names if name.startswith("google.protobuf")}
    for name in {name.split(".")[0] for name in names if not name.startswith("google.")}:
        packages |= {provider.lower().replace("_", "-") for provider in providers.get(name, [])}
    return packages - {"qatflow"}


def rules() -> list[tuple[str, str, str]]:
    """Return the name, the program and the environment of each rule that runs a program."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    found = []
    for rule in re.split(r"^(?=rule |checkpoint )", text, flags=re.MULTILINE)[1:]:
        program, environment = re.search(r'program\("(\w+)"\)', rule), re.search(r'envs/(\w+)\.yaml"', rule)
        if program:
            name = re.match(r"\w+ (\w+)", rule)
            assert name
            assert environment, f"rule {name[1]} names no environment"
            found.append((name[1], program[1], environment[1]))
    return found


@pytest.mark.parametrize(("rule", "program", "environment"), rules())
def test_a_rule_s_environment_has_what_its_program_imports(rule, program, environment):
    script = ROOT / f"workflow/scripts/{program}.py"
    imported = imported_packages([script, *imported_modules(script)])
    assert imported <= set(packages(ROOT / f"envs/{environment}.yaml"))


def test_they_have_only_direct_dependencies():
    direct = requirements((ROOT / "requirements.in").read_text(encoding="utf-8"))
    imported = imported_packages((ROOT / "src").rglob("*.py"))
    for path in ENVIRONMENTS:
        assert set(packages(path)) <= imported | set(direct)


def test_the_light_environment_has_no_tensorflow():
    assert not {"tensorflow", "tf-keras", "tensorflow-model-optimization"} & set(packages(ROOT / "envs/light.yaml"))


def test_the_lock_file_names_no_host_and_has_a_hash_for_each_package():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*-(-index-url|i|-extra-index-url|-find-links|f)\b", text, re.MULTILINE)
    for entry in re.split(r"\n(?=[a-z])", text.strip()):
        if not entry.startswith("#"):
            assert "--hash=sha256:" in entry, entry.split()[0]
