"""The rooms of the library: which room may import which. docs/architecture.md has the picture."""

import ast
from collections.abc import Container, Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from helpers.places import ROOT

SOURCE = ROOT / "src"

BELOW: dict[str, set[str]] = {
    "base": set(),
    # settings
    "config/yaml": {"base"},
    "config/sections": {"base"},
    "config/recipe": {"base", "config/sections"},
    # pictures and networks
    "data": {"base"},
    "data/sources": {"base", "data"},
    "data/preparation": {"base", "config/sections", "data", "data/sources"},
    "graph": {"base"},
    "models/keras": {"base", "graph"},
    "models/saved": {"base", "models/keras"},
    "models": {"base", "graph", "models/keras", "models/saved"},
    "models/onnx": {"base", "graph", "models"},
    # the checks of the settings look at pictures and models, but start no stage
    "config/checks": {
        "base", "config/recipe", "config/sections", "config/yaml", "data/sources", "graph", "models", "models/onnx",
        "models/saved",
    },
    "config": {"base", "config/checks", "config/recipe", "config/sections", "config/yaml"},
    # what several stages share
    "tflite": {"base", "graph"},
    "inference": {"base", "data", "graph", "tflite"},
    "sensitivity": {"base", "data", "graph", "inference", "tflite"},
    "quantisation": {"base", "config/recipe", "graph"},
    "pruning": {"base", "graph"},
    "training": {"base", "config/sections", "data", "graph"},
    "trial": {"base", "config/recipe", "data", "graph", "quantisation", "tflite"},
    # the stages, each of which reads the files of those before it
    "pretrained": {
        "base", "config/sections", "data", "graph", "models", "models/keras", "models/onnx", "models/saved", "training",
        "trial",
    },
    "search": {
        "base", "config/recipe", "config/sections", "data", "graph", "pruning", "quantisation", "tflite", "training",
        "trial",
    },
    "compress/quantizers": {"config/recipe", "graph", "quantisation", "training"},
    "compress/strategies": {
        "base", "compress/quantizers", "config/recipe", "config/sections", "data", "graph",
        "pruning", "training",
    },
    "compress": {
        "base", "compress/quantizers", "compress/strategies", "config/recipe", "config/sections", "data", "graph",
        "pruning", "quantisation", "training", "trial",
    },
    # before training, of the float weights as training will begin with them
    "mixed_precision": {
        "base", "compress", "config/recipe", "config/sections", "data", "graph", "inference", "quantisation",
        "sensitivity", "tflite", "trial",
    },
    "export": {"base", "config/recipe", "graph", "tflite"},
    "optimize": {"base", "data", "graph", "models/onnx", "tflite"},
    "ptq": {
        "base", "config/recipe", "config/sections", "data", "graph", "inference", "optimize", "quantisation", "tflite",
        "trial",
    },
    "device": {"base"},
    "device/build": {"base", "device"},
    "device/shell": {"base", "device", "device/build"},
    "device/adb": {"base", "device", "device/shell"},
    "device/ssh": {"base", "device", "device/shell"},
    "device/emulator": {"base", "device", "device/build", "device/shell"},
    "device/results": {"base", "device"},
    "device/run": {
        "base", "config/sections", "data", "device", "device/adb", "device/build", "device/emulator", "device/results",
        "device/ssh", "graph", "tflite",
    },
    # the trained network with its fake quantisation is evaluated as training ran it
    "evaluate": {
        "base", "compress/quantizers", "config/sections", "data", "graph", "inference", "quantisation", "sensitivity",
        "tflite", "training",
    },
    "report": {
        "base", "data", "device/results", "evaluate", "graph", "mixed_precision", "pruning", "search", "sensitivity",
        "tflite",
    },
    "report/drawing": {"base", "evaluate", "mixed_precision", "report", "sensitivity"},
    "report/pages": {
        "base", "device/results", "evaluate", "mixed_precision", "report", "report/drawing", "search", "sensitivity",
    },
    "report/diff": {"base", "report", "report/pages", "sensitivity"},
    "report/records": {"base", "report"},
    # a first configuration for pictures and a model
    "overlay": {"base", "data/sources", "graph", "models", "models/onnx", "models/saved", "tflite"},
    # what others use as a library: read, quantise, convert, compare
    "api": {
        "base", "config/recipe", "config/sections", "graph", "models", "models/onnx", "models/saved", "pretrained",
        "ptq", "quantisation", "tflite", "training", "trial",
    },
    # what a model file has inside
    "inspection": {"base", "graph", "tflite"},
    # a wheel's workflow in a folder of the user
    "deploy": {"base"},
    # what a person starts by hand
    "commands": {"api", "base", "config", "deploy", "inspection", "optimize", "overlay", "report/diff"},
    # plans the jobs of all stages, and runs none
    "workflow": {
        "base", "config", "config/recipe", "config/sections", "config/yaml", "data", "data/sources",
        "device/build", "device/run", "export", "models", "models/onnx", "optimize", "training",
    },
    ".": {"base", "commands"},  # `python -m qatflow`
}  # fmt: skip
"""Each room of src/qatflow, and the rooms that its modules may import, all of which stand above it in this table."""


STAGES = ("data", "pretrained", "search", "compress", "export", "optimize", "ptq", "evaluate", "device", "report")
LIBRARIES = (
    "base", "graph", "models", "tflite", "inference", "sensitivity", "quantisation", "pruning", "trial", "training",
)  # fmt: skip


def modules() -> dict[str, Path]:
    """Return the file of each module of the library, by its name."""
    names = {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in (SOURCE / "qatflow").rglob("*.py")
    }
    return {name.removesuffix(".__init__"): path for name, path in names.items()}


def direct_imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules of the library that a file imports, also within functions and for type checkers alone."""
    return imported(ast.walk(ast.parse(path.read_text("utf-8"))), known)


def imported(nodes: Iterable[ast.AST], known: Container[str]) -> set[str]:
    """Return the known modules that the import statements among the nodes name."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            inner = {name for alias in node.names if (name := f"{node.module}.{alias.name}") in known}
            found |= inner or ({node.module} if node.module in known else set())
    return found


def room(path: Path) -> str:
    return path.parent.relative_to(SOURCE / "qatflow").as_posix()


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    known = modules()
    return {name: direct_imports(path, known) - {name} for name, path in known.items()}


def test_no_modules_import_each_other_in_a_circle(imports: dict[str, set[str]]):
    assert len(imports) > 250
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_no_room_imports_one_that_is_not_below_it(imports: dict[str, set[str]]):
    known = modules()
    wrong = [
        f"{name} imports {other}: {room(known[name])} may not import {room(known[other])}"
        for name, others in imports.items()
        for other in sorted(others)
        if room(known[other]) not in {room(known[name]), *BELOW.get(room(known[name]), set())}
    ]
    assert not wrong, "\n".join(wrong)


def test_the_table_has_every_room_below_those_that_import_it():
    rooms = {room(path) for path in modules().values()}
    assert set(BELOW) == rooms
    seen: set[str] = set()
    for name, below in BELOW.items():
        assert below <= seen, f"{name}: {sorted(below - seen)} stand below it in the table"
        seen.add(name)


def test_importing_a_package_imports_nothing_else(imports: dict[str, set[str]]):
    packages = [name for name, path in modules().items() if path.name == "__init__.py"]
    assert {name: imports[name] for name in packages if imports[name]} == {}


def packages(imports: dict[str, set[str]], package: str) -> set[str]:
    """Return the outer packages that the modules of one import."""
    inner = (others for name, others in imports.items() if f"{name}.".startswith(f"qatflow.{package}."))
    return {name.split(".")[1] for names in inner for name in names} - {package}


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_a_later_one(imports: dict[str, set[str]], stage: str):
    below = packages(imports, stage)
    assert "base" in below
    assert not below & set(STAGES[STAGES.index(stage) + 1 :])


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_imports_no_stage_but_the_data(imports: dict[str, set[str]], library: str):
    assert packages(imports, library) & set(STAGES) <= {"data"}


def test_planning_needs_no_package_of_the_rules(imports: dict[str, set[str]]):
    """Snakemake's own environment has none of them where the rules have environments of their own (`--sdm conda`)."""
    known, reached, waiting = modules(), set(), [name for name in imports if name.startswith("qatflow.workflow.")]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += at_import(known[name], known)
    packages = {
        package: name
        for name in sorted(reached)
        for package in at_import(known[name], {"numpy": ROOT, "tensorflow": ROOT, "PIL": ROOT, "safetensors": ROOT})
    }
    assert len(reached) > 80
    assert not packages


def at_import(path: Path, known: dict[str, Path]) -> set[str]:
    """Return what a file imports when it is imported itself: not within functions, and not for type checkers."""
    tree = ast.parse(path.read_text("utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return imported(top, known)
