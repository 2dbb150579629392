"""The conda environments have the versions of the lock file, and only direct dependencies."""

import ast
import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from helpers.places import ROOT
from qatflow.base.code_digest import imported_modules

ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
LOCK = ROOT / "requirements.lock"
PYTHONS = ("3.11", "3.12", "3.13")


def requirements(text: str) -> dict[str, str]:
    """Return the name and the rest of each requirement."""
    return dict(re.findall(r"^([a-z][a-z0-9-]*)(.*)$", text, re.MULTILINE))


def packages(path: Path) -> dict[str, str]:
    environment = yaml.safe_load(path.read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert [item.split("=")[0] for item in conda] == ["python", "pip"]
    assert conda[0].rpartition(".")[0] in {f"python={version}" for version in PYTHONS}
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


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_file_is_whole_for_each_python_and_machine(python, machine):
    # from what the installed packages say of themselves
    locked = {name: rest.split()[0].removeprefix("==") for name, rest in requirements(LOCK.read_text("utf-8")).items()}
    about = {
        **default_environment(), "python_version": python, "python_full_version": f"{python}.9",
        "implementation_version": f"{python}.9", "platform_machine": machine,
    }  # fmt: skip
    wanted = [
        Requirement(line) for line in (ROOT / "requirements.in").read_text("utf-8").splitlines() if line[0] != "#"
    ]
    seen = set()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        assert name in locked, f"{name} is needed on Python {python}"
        assert requirement.specifier.contains(locked[name]), f"{requirement}, but {name} {locked[name]} is locked"
        for extra in {"", *requirement.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            package = metadata.distribution(name)
            assert package.version == locked[name], (
                f"{name} {package.version} is installed: run ./test.sh, which mends it"
            )
            assert SpecifierSet(package.metadata.get("Requires-Python") or "").contains(f"{python}.9"), name
            for needed in map(Requirement, package.requires or ()):
                if needed.marker is None or needed.marker.evaluate({**about, "extra": extra}):
                    wanted.append(needed)
    if python == PYTHONS[0]:  # later ones need a few less
        assert {name for name, _ in seen} == set(locked)


def test_the_supported_pythons_are_said_alike_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    allowed = SpecifierSet(project["project"]["requires-python"])
    assert [f"3.{minor}" for minor in range(20) if allowed.contains(f"3.{minor}.9")] == list(PYTHONS)
    prefix = "Programming Language :: Python :: "
    assert [each.removeprefix(prefix) for each in project["project"]["classifiers"] if prefix in each] == list(PYTHONS)
    assert project["tool"]["mypy"]["python_version"] == PYTHONS[0]
    setup = (ROOT / "setup.sh").read_text("utf-8")
    assert re.search(r"^pythons=\((.*)\)", setup, re.MULTILINE)[1].split() == list(reversed(PYTHONS))
    assert f"--python-version {PYTHONS[0]} " in (ROOT / "requirements.in").read_text("utf-8")


def test_the_lock_file_names_no_host_and_has_a_hash_for_each_package():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*-(-index-url|i|-extra-index-url|-find-links|f)\b", text, re.MULTILINE)
    for entry in re.split(r"\n(?=[a-z])", text.strip()):
        if not entry.startswith("#"):
            assert "--hash=sha256:" in entry, entry.split()[0]
