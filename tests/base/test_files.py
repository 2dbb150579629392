"""Files and folders that appear whole or not at all."""

import os
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers.little_space import ROOT, python, run_on_small_disk
from qatflow.base.errors import UserError
from qatflow.base.files import sha256, whole_file, whole_folder, write_text


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
    from qatflow.base import provenance

    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.commit() is None
    assert provenance.versions()["numpy"]


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def test_a_fifo_gets_what_is_written_and_stays_one(fifo: Path):
    with ThreadPoolExecutor() as pool:
        read = pool.submit(fifo.read_text)
        write_text(fifo, "ä" * 100_000)
        assert read.result(timeout=10) == "ä" * 100_000
    assert fifo.is_fifo() and [p.name for p in fifo.parent.iterdir()] == ["fifo"]


def test_a_terminal_gets_what_is_written_through_a_link(tmp_path: Path):
    master, slave = os.openpty()
    link = tmp_path / "terminal"
    link.symlink_to(os.ttyname(slave))
    write_text(link, "shown")
    assert os.read(master, 100) == b"shown"
    assert link.is_symlink() and link.is_char_device()
    os.close(slave)
    os.close(master)


WRITE = "from pathlib import Path; import sys; from qatflow.base.files import write_text\n"


def test_standard_output_gets_what_is_written_whether_it_is_a_pipe_or_a_file(tmp_path: Path):
    command = python(WRITE + "print('before', flush=True)\nwrite_text(Path('/dev/stdout'), 'text\\n')\nprint('after')")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    assert subprocess.check_output(command, text=True, env=environment) == "before\ntext\nafter\n"
    output = tmp_path / "out.txt"
    with output.open("a") as file:
        subprocess.run(command, stdout=file, check=True, env=environment)
    assert output.read_text() == "before\ntext\nafter\n"
    assert Path("/dev/stdout").is_symlink() and [p.name for p in tmp_path.iterdir()] == ["out.txt"]


def test_a_link_to_a_file_stays_and_its_target_is_replaced_whole(tmp_path: Path):
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    write_text(target, "old")
    (tmp_path / "between").symlink_to("elsewhere/target")
    link.symlink_to(tmp_path / "between")
    before = target.stat().st_ino
    write_text(link, "new")
    assert link.is_symlink() and (tmp_path / "between").is_symlink() and target.read_text() == "new"
    assert target.stat().st_ino != before  # by a rename: a reader of the old file keeps it
    with pytest.raises(RuntimeError), whole_file(link) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "new" and [p.name for p in target.parent.iterdir()] == ["target"]


def test_a_link_to_what_is_not_there_yet_makes_its_target(tmp_path: Path):
    (tmp_path / "link").symlink_to("folder/new")
    write_text(tmp_path / "link", "x")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "folder" / "new").read_text() == "x"


def test_a_linked_folder_stays_a_link(tmp_path: Path):
    (tmp_path / "disk" / "data").mkdir(parents=True)
    (tmp_path / "disk" / "data" / "old").touch()
    (tmp_path / "data").symlink_to("disk/data")
    with whole_folder(tmp_path / "data") as temporary:
        (temporary / "new").touch()
    assert (tmp_path / "data").is_symlink()
    assert [p.name for p in (tmp_path / "disk" / "data").iterdir()] == ["new"]


@pytest.mark.parametrize(
    ("name", "reason"), [("folder", "Is a directory"), ("file/below", "Not a directory"), ("loop", "Too many levels")]
)
def test_a_place_that_cannot_be_written_is_one_message(tmp_path: Path, name: str, reason: str):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match=rf"cannot write {tmp_path / name}: {reason}.*: name another place"):
        write_text(tmp_path / name, "x")
    assert {p.name for p in tmp_path.iterdir()} == {"folder", "file", "loop"}
    assert (tmp_path / "file").read_text() == "kept"


def test_a_file_in_the_place_of_a_folder_is_one_message_and_stays(tmp_path: Path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(UserError, match=r"cannot write .*data: Not a directory"), whole_folder(tmp_path / "data"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["data"] and (tmp_path / "data").read_text() == "mine"


def test_a_full_device_is_one_message(tmp_path: Path):
    (tmp_path / "link").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"cannot write .*link: No space left on device: make room"):
        write_text(tmp_path / "link", "x")
    assert (tmp_path / "link").is_symlink()


def test_a_full_disk_is_one_message_and_leaves_the_old_file(tmp_path: Path):
    disk = tmp_path / "disk"
    code = f"{WRITE}path = Path({str(disk / 'a.txt')!r})\nwrite_text(path, 'old')\nwrite_text(path, 'x' * 1_000_000)"
    ran, left = run_on_small_disk(disk, 64, *python(code))
    assert ran.returncode == 1 and ran.stderr.count("\n") == 1
    assert re.match(
        rf"error: cannot write {disk}/a\.txt: (No space left on device|File too large): make room", ran.stderr
    )
    assert left == {"a.txt"}


def test_a_disk_that_fills_up_in_a_folder_leaves_no_folder(tmp_path: Path):
    disk = tmp_path / "disk"
    code = f"""
from pathlib import Path; from qatflow.base.files import whole_folder
with whole_folder(Path({str(disk / "data")!r})) as folder:
    (folder / "a").write_bytes(bytes(1_000))
    (folder / "b").write_bytes(bytes(1_000_000))
"""
    ran, left = run_on_small_disk(disk, 64, *python(code))
    assert ran.returncode == 1 and ran.stderr.count("\n") == 1
    assert ran.stderr.startswith(f"error: cannot write {disk}/data: ")
    assert left == set()


KILLED = """
import os, signal
from pathlib import Path; from qatflow.base.files import whole_file, whole_folder
path = Path({path!r})
with {writer}(path) as temporary:
    (temporary / "half").write_text("x") if temporary.is_dir() else temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("writer", ["whole_file", "whole_folder"])
def test_what_a_killed_process_left_is_removed_by_the_next_and_that_of_a_live_one_stays(tmp_path: Path, writer: str):
    path = tmp_path / "out"
    ran = subprocess.run(python(KILLED.format(path=str(path), writer=writer)))
    assert ran.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    if writer == "whole_file":
        with whole_file(path) as temporary, whole_file(path) as second:  # both of a process that is alive
            assert not left.exists() and temporary.exists() and second.exists()
            temporary.write_text("whole")
            second.write_text("whole")
    else:
        with whole_folder(path) as temporary:
            assert not left.exists()
            (temporary / "whole").touch()
    write_text(tmp_path / "other", "x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "out"]
