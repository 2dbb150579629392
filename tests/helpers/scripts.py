"""The programs of the rules as modules, for tests that call their functions in this process."""

import importlib.util
from types import ModuleType

from helpers.places import ROOT


def load_script(name: str) -> ModuleType:
    """Return workflow/scripts/<name>.py as a module."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / f"workflow/scripts/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
