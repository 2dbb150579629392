"""One whole run of the workflow, on the small configuration and a network of few layers: made once, copied by many."""

import shutil
from pathlib import Path

from helpers import shared
from helpers.places import HELPERS
from helpers.workflow_helpers import SMALL, Project, copy_project

SETTINGS = (*SMALL, "few.yaml")
"""The configuration: `config/test.yaml` with MobileNetV1's first separable convolutions alone, on a rectangle."""
SIZE = (32, 24)
"""Height and width of the network's input."""
FEW = f"""\
model: {{function: "few_layers:narrow_mobilenet", alpha: null}}
data: {{preprocessing: {{size: [{SIZE[0]}, {SIZE[1]}]}}}}
"""
COMMAND = ("snakemake", "--cores", "2", "all", *SETTINGS)
PRINTED = ".printed"
"""The file with what the run printed."""


def new_project(folder: Path) -> Project:
    """Return a copy of the project with the overlay and the network's function, before any run."""
    project = copy_project(folder)
    shutil.copy(HELPERS / "few_layers.py", folder)
    (folder / "few.yaml").write_text(FEW)
    return project


def copied(folder: Path, *, without: tuple[str, ...] = ()) -> Project:
    """Copy the project after its run, which was not interrupted, to a new folder.

    Args:
        folder: to make.
        without: folders of the project to leave out.
    """
    finished = shared.once("small-run", _run)
    shutil.copytree(
        finished, folder, symlinks=True, dirs_exist_ok=True,
        ignore=lambda parent, names: set(without) & set(names) if Path(parent) == finished else set(),
    )  # fmt: skip
    return Project(folder)


def _run(folder: Path) -> None:
    answer = new_project(folder).run(*COMMAND)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (folder / PRINTED).write_text(answer.stdout + answer.stderr)
