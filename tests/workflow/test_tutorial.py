"""The tutorial: its notebook is made of the page, and its cells run, with fewer pictures and a small network."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbclient import NotebookClient

from helpers.places import HELPERS, ROOT
from helpers.workflow_helpers import copy_project, files_of

SMALLER = {
    "draw_flowers.py pictures/flowers": "draw_flowers.py pictures/flowers --each 60",
    "weight_bits: 3": "weight_bits: 2",  # 45 validation pictures do not decide whether 3 are enough
}
"""What the test changes in the cells."""
FASTER = """\
import yaml

written = yaml.safe_load(Path("flowers.yaml").read_text())
assert written["data"]["preprocessing"]["size"] == 64 and written["pretrained"]["source"] == "train"
written["data"]["preprocessing"]["size"] = 32
written["data"] |= {"calibration": 40, "shards": 1}
written["model"] = {"function": "few_layers:narrow_mobilenet", "batch_norm_momentum": 0.8}
written["accuracy"]["worse_than_ptq"] = "allow"
written |= {"inspect": {"sensitivity_pictures": 0}, "evaluate": {"repeats": 2}}
written["device"] = {"pictures": 5, "repeats": 1, "threads": [1], "count_instructions": False}
text = yaml.safe_dump(written).replace("max_drop: 1\\n", "max_drop: 1 #\\n")  # a later cell edits this line
assert "max_drop: 1 #" in text
_ = Path("flowers.yaml").write_text(text)"""
"""A cell behind that of `init`: the same configuration for less work."""


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


def test_what_a_user_has_put_beside_the_project_is_in_no_copy(tmp_path):
    """A flowers.yaml in the checkout would stop the notebook's copy: `init` overwrites nothing."""
    for name in ("run.sh", "src/known.py", "src/new.py", "src/data/new.py", "flowers.yaml", "pictures/rose/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for command in (["init", "-q"], ["add", "run.sh", "src/known.py"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    assert sorted(files_of(tmp_path)) == ["run.sh", "src/data/new.py", "src/known.py", "src/new.py"]


@pytest.mark.e2e
def test_the_cells_of_the_notebook_run_in_order(tmp_path, monkeypatch):
    folder = copy_project(tmp_path / "qatflow").folder
    shutil.copy(HELPERS / "few_layers.py", folder)
    set_up(folder)
    monkeypatch.setenv("QATFLOW_NO_APT", "1")
    book = nbformat.read(folder / "docs/tutorial.ipynb", 4)
    for cell in book.cells:
        for old, new in SMALLER.items():
            cell.source = cell.source.replace(old, new) if cell.cell_type == "code" else cell.source
    (first,) = (place for place, cell in enumerate(book.cells) if "./run.sh init" in cell.source.partition("\n")[2]
                and cell.cell_type == "code")  # fmt: skip
    book.cells.insert(first + 1, nbformat.v4.new_code_cell(FASTER))
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(folder / "docs")}}).execute()
    closed = json.loads((folder / "results/flowers_3bit/gate.json").read_text())
    assert not closed["passed"]
    assert (folder / "results/flowers/report/report.html").is_file()


def set_up(folder: Path) -> None:
    """Give a copy of the project this Python's environment, as its own set-up would leave it."""
    environment = folder / ".venv"
    environment.mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != "qatflow-setup":
            (environment / part.name).symlink_to(part)
    subprocess.run(["bash", "-c", 'source ./setup.sh && wanted_stamp >"$stamp"'], cwd=folder, check=True)
