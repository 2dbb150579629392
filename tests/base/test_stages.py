"""Which package may import which: stages import no later stage, and libraries none but the data."""

import pytest

from qatflow.base.code_digest import PACKAGE, SOURCE, _direct

STAGES = ("data", "pretrained", "search", "compress", "export", "optimize", "ptq", "evaluate", "device", "report")
LIBRARIES = ("base", "graph", "models", "tflite", "quantise", "pruning", "trial", "training")


def imported(package: str) -> set[str]:
    """Return the packages of the project that a package's own modules import, also within functions."""
    root = SOURCE / PACKAGE
    files = {path for module in (root / package).rglob("*.py") for path in _direct(module)}
    return {path.relative_to(root).parts[0] for path in files if path.parent != root} - {package}


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_a_later_one(stage: str):
    packages = imported(stage)
    assert "base" in packages
    assert not packages & set(STAGES[STAGES.index(stage) + 1 :])


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_imports_no_stage_but_the_data(library: str):
    assert imported(library) & set(STAGES) <= {"data"}
