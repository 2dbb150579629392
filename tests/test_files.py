"""Files and folders that appear whole or not at all."""

from pathlib import Path

import pytest

from qatflow.files import sha256, whole_file, whole_folder, write_text


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path):
    path = tmp_path / "folder" / "file.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_others_may_read_a_file_also_when_its_writer_made_it_private(tmp_path: Path):
    path = tmp_path / "file"
    with whole_file(path) as temporary:
        temporary.unlink()
        temporary.write_bytes(b"x")
        temporary.chmod(0o600)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_program_stays_executable(tmp_path: Path):
    with whole_file(tmp_path / "program") as temporary:
        temporary.chmod(0o700)
    assert (tmp_path / "program").stat().st_mode & 0o777 == 0o744


def test_a_folder_takes_the_place_of_the_old_one_whole(tmp_path: Path):
    path = tmp_path / "folder"
    for content in ("old", "new"):
        with whole_folder(path) as temporary:
            write_text(temporary / content, content)
    assert [p.name for p in path.iterdir()] == ["new"]
    with pytest.raises(RuntimeError), whole_folder(path) as temporary:
        write_text(temporary / "half", "")
        raise RuntimeError
    assert [p.name for p in path.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_sha256_of_the_standards_example(tmp_path: Path):
    write_text(tmp_path / "abc", "abc")  # FIPS 180-4, example of one block
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path / "abc") == expected


def test_provenance_does_without_git(monkeypatch, tmp_path: Path):
    from qatflow import provenance

    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.commit() is None
    assert provenance.versions()["numpy"]
