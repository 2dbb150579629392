"""What an artefact was made from is named from the working folder, wherever that lies."""

from pathlib import Path

import pytest

from qatflow.base.provenance import record


def test_inputs_below_the_working_folder_are_named_without_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    for name in ("one", "copy"):
        folder = tmp_path / name
        (folder / "demo").mkdir(parents=True)
        (folder / "demo/main.cc").write_text("int main() {}\n")
        (folder / "weights").write_text("0.5")
        monkeypatch.chdir(folder)
        said.append(record([folder / "demo/main.cc", Path("weights")], {})["inputs"])
    assert said[0] == said[1] and list(said[0]) == ["demo/main.cc", "weights"]


def test_an_input_elsewhere_keeps_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "pictures.tar").write_bytes(b"")
    monkeypatch.chdir(tmp_path / "work")
    assert list(record([tmp_path / "pictures.tar"], {})["inputs"]) == [str(tmp_path / "pictures.tar")]
