"""The tutorial: its notebook is made of the page."""

import importlib.util
from types import ModuleType

import nbformat
import pytest

from helpers.places import ROOT


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebook", ROOT / "docs/tutorial/notebook.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebook_is_made_of_the_page(program):
    text = program.notebook(program.PAGE.read_text(encoding="utf-8"))
    assert program.NOTEBOOK.read_text(encoding="utf-8") == text, "run `python docs/tutorial/notebook.py`"
    nbformat.validate(nbformat.reads(text, 4))
