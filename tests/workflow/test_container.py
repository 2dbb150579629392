"""`--sdm apptainer`: the rules' image, from an environment variable, and refused by name where it cannot be used."""

from pathlib import Path

import pytest

from qatflow.base.errors import UserError
from qatflow.workflow.container import VARIABLE, image


def test_no_image_unless_apptainer_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "docker://qatflow")
    assert image([]) is None and image(["conda"]) is None
    assert image(["apptainer"]) == "docker://qatflow"


def test_a_file_is_taken_from_where_snakemake_was_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "qatflow.sif").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "qatflow.sif")
    assert image(["apptainer"]) == str(tmp_path / "qatflow.sif")


@pytest.mark.parametrize(
    ("methods", "named", "message"),
    [
        (["apptainer"], "", "needs an image: set QATFLOW_IMAGE to a file"),
        (["apptainer"], "gone.sif", r"QATFLOW_IMAGE is gone\.sif, which does not exist"),
        (["conda", "apptainer"], "docker://qatflow", "exclude each other"),
    ],
)
def test_what_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, methods: list[str], named: str, message: str
) -> None:
    monkeypatch.setenv(VARIABLE, named)
    with pytest.raises(UserError, match=message):
        image(methods)
