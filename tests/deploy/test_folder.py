"""`qatflow run` puts files into a folder, and never writes over what is the user's."""

from pathlib import Path

import pytest

from qatflow.base.deployed import RECORD, read_record
from qatflow.base.errors import UserError
from qatflow.deploy.folder import deploy

OLD = {"Snakefile": "old", "config/config.yaml": "a: 1", "workflow/gone.smk": "x", "demo/same.cc": "same"}
NEW = {"Snakefile": "new", "config/config.yaml": "a: 1", "workflow/added.smk": "y", "demo/same.cc": "same"}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def files(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != RECORD]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write(tmp_path / "old", OLD)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write(tmp_path / "new", NEW)


@pytest.fixture
def folder(tmp_path: Path, old: Path) -> Path:
    folder = write(tmp_path / "mine", {"my.yaml": "mine"})
    deploy(old, folder, "1.0", log=lambda line: None)
    assert files(folder) == OLD | {"my.yaml": "mine"}
    return folder


def test_files_of_the_user_s_own_are_no_ground_to_put_anything_there(tmp_path: Path, old: Path):
    mine = {"Snakefile": "my own", "config/config.yaml": "a: 1"}
    folder = write(tmp_path / "mine", mine)
    with pytest.raises(UserError, match=r"1 file of other contents .*: Snakefile. Start in another folder"):
        deploy(old, folder, "1.0")
    assert files(folder) == mine and not (folder / RECORD).exists()


def test_a_removed_file_comes_back_and_a_changed_one_stays(folder: Path, old: Path):
    (folder / "demo/same.cc").unlink()
    (folder / "Snakefile").write_text("mine")
    lines: list[str] = []
    deploy(old, folder, "1.0", log=lines.append)
    assert files(folder) == OLD | {"my.yaml": "mine", "Snakefile": "mine"}
    assert lines == [
        f"{folder}: 1 file of qatflow 1.0 put here",
        f"{folder}: changed by you, and used as they are: Snakefile",
    ]


def test_another_version_is_only_described_until_it_is_asked_for(folder: Path, new: Path):
    (folder / "config/config.yaml").write_text("a: 2")
    before = files(folder)
    with pytest.raises(UserError) as caught:
        deploy(new, folder, "2.0")
    assert str(caught.value).splitlines() == [
        f"{folder} has the workflow of qatflow 1.0, and 2.0 is installed. Nothing was changed.",
        "  would be written: Snakefile, workflow/added.smk",
        "  would be removed: workflow/gone.smk",
        "  changed by you, would be kept: config/config.yaml",
        "Start `qatflow run --update` to do so, or go on with the old one: pip install qatflow==1.0",
    ]
    assert files(folder) == before
    deploy(new, folder, "2.0", update=True, log=lambda line: None)
    assert files(folder) == NEW | {"my.yaml": "mine", "config/config.yaml": "a: 2"}
    record = read_record(folder)
    assert record is not None and record.version == "2.0"
    lines: list[str] = []
    deploy(new, folder, "2.0", log=lines.append)
    assert lines == [f"{folder}: changed by you, and used as they are: config/config.yaml"]


@pytest.mark.parametrize("update", [False, True])
def test_what_both_have_changed_is_overwritten_in_no_case(folder: Path, new: Path, update: bool):
    (folder / "Snakefile").write_text("mine")
    before = files(folder)
    with pytest.raises(UserError, match=r"1 file changed by you and by qatflow 2.0, .*: Snakefile"):
        deploy(new, folder, "2.0", update)
    assert files(folder) == before
    (folder / "Snakefile").unlink()
    deploy(new, folder, "2.0", update=True, log=lambda line: None)
    assert files(folder) == NEW | {"my.yaml": "mine"}


def test_a_changed_file_that_the_other_version_lacks_is_kept(folder: Path, new: Path):
    (folder / "workflow/gone.smk").write_text("mine")
    deploy(new, folder, "2.0", update=True, log=lambda line: None)
    assert (folder / "workflow/gone.smk").read_text() == "mine"


def test_another_build_of_the_same_version_is_noticed(folder: Path, new: Path):
    with pytest.raises(UserError, match=r"has the workflow of another build of qatflow 1.0"):
        deploy(new, folder, "1.0")


def test_a_damaged_record_is_named(folder: Path, old: Path):
    (folder / RECORD).write_text("{")
    with pytest.raises(UserError, match=rf"{RECORD} is damaged .* in a new folder"):
        deploy(old, folder, "1.0")
