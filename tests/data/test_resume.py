"""Preparation killed and taken up again: the bytes are those of a run that was not, and nothing half is trusted."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.killed_renaming import KILLED
from helpers.pictures import class_folders, noise, save, write
from helpers.places import ROOT
from helpers.section_options import option
from qatflow.base.errors import UserError
from qatflow.base.picture_size import square
from qatflow.data.preparation import prepare as preparation
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preparation.progress import ProgressDisplay
from qatflow.data.preprocess import Preprocessing
from qatflow.data.reader import open_manifest, records

SPEC = Preprocessing(square(32), "stretch", 3, (127.5,), (127.5,))


def settings(path: Path, **changes) -> Settings:
    values = {"validation": 8, "test": 8, "calibration": 6, "shards": 4, "max_rejected": 0.1, "seed": 1} | changes
    return Settings(name="photos", source="folder", path=path, preprocessing=SPEC, **values)


def command(path: Path, output: Path, *options: str) -> list[str | Path]:
    wanted = settings(path)
    program = ROOT / "workflow" / "scripts" / "prepare_data.py"
    names = ("name", "source", "path", "preprocessing", "validation", "test", "calibration", "shards", "max_rejected")
    section = {name: value for name, value in wanted.to_json().items() if name in names}
    return [program, *option("data", **section), "--seed", str(wanted.seed), "--output", output, *options]


def start(*arguments: str | Path, **options) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen([sys.executable, *arguments], text=True, env=environment, **options)


def tree(folder: Path) -> dict[str, bytes]:
    """All files but what tells of the program's own commit."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = class_folders(tmp_path_factory.mktemp("pictures") / "photos", per_class=40)
    for i in range(6):  # some of these come apart when splits are set aside
        write(root / "cat" / f"copy{i}.jpg", (root / "cat" / f"{i:02d}.jpg").read_bytes())
    write(root / "dog" / "empty.jpg", b"")
    return root


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("data") / "photos"
    prepare(settings(photos), output)
    return tree(output)


@pytest.mark.parametrize("cores", [2, 3, 16])
def test_any_number_of_processes_gives_the_same_bytes(photos: Path, undisturbed: dict, tmp_path: Path, cores: int):
    prepare(settings(photos), tmp_path / "photos", cores)
    assert tree(tmp_path / "photos") == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    assert b"the same picture is among those of" in undisturbed["rejected.csv"]


def test_killed_at_every_file_that_it_finishes_it_goes_on_to_the_same_bytes(
    photos: Path, undisturbed: dict, tmp_path: Path
):
    # a run renames: the description of its state; shard and note, six times; the list of the rejected, the labels, the
    # calibration list, the manifest, and the folder. What is finished is not renamed again, the last five are.
    for renaming in (2, 3, 4, 5, 4, 5, 4, 4, 3, 4, 5, 6):
        assert start("-c", KILLED, str(renaming), *command(photos, tmp_path / "photos")).wait(60) == -signal.SIGKILL
        assert not (tmp_path / "photos").exists()
    assert len(list((tmp_path / ".prepare").rglob("*.tfrecord.json"))) == 6
    written = {path.name: path.stat().st_ino for path in (tmp_path / ".prepare").rglob("*.tfrecord")}
    assert start(*command(photos, tmp_path / "photos")).wait(60) == 0
    assert {name: (tmp_path / "photos" / name).stat().st_ino for name in written} == written
    assert tree(tmp_path / "photos") == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_the_processes_of_a_killed_run_are_gone_and_the_next_takes_over_what_is_finished(
    tmp_path: Path, capfd: pytest.CaptureFixture
):
    root = class_folders(tmp_path / "pictures", classes=("cat", "dog"), per_class=3)
    for i in range(24):  # large enough to be in the middle of something
        save(root / "cat" / f"large{i}.png", noise(i, 500, 500, 3), compress_level=0)
    arguments = command(root, tmp_path / "photos", "--cores", "2")
    whole = command(root, tmp_path / "whole" / "photos")
    assert start(*whole).wait(60) == 0
    run = start(*arguments)
    notes = tmp_path / ".prepare" / "photos"
    while not (found := list(notes.glob("*/train-*.json"))):
        assert run.poll() is None
        time.sleep(0.005)
    run.kill()
    run.wait()
    time.sleep(0.5)
    mark = str(tmp_path).encode()
    assert not [
        process.name
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and int(process.name) != os.getpid() and mark in cmdline(process)
    ]
    shards = {note: note.parent / "data" / note.name.removesuffix(".json") for note in found}
    before = {shard.name: shard.stat().st_ino for shard in shards.values()}
    assert start(*arguments).wait(60) == 0
    assert tree(tmp_path / "photos") == tree(tmp_path / "whole" / "photos")
    assert {name: (tmp_path / "photos" / name).stat().st_ino for name in before} == before, "written anew"


def cmdline(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def stopped(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output of a run that ended when all shards were there."""

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "_finish", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(settings(photos), tmp_path / "photos")
    return tmp_path / "photos"


def shards(output: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in (output.parent / ".prepare").rglob("*.tfrecord")}


def redone(output: Path, run: Settings) -> set[str]:
    """Prepare, and return which shards were written anew."""
    before = shards(output)
    prepare(run, output)
    return {name for name, inode in before.items() if (output / name).stat().st_ino != inode}


@pytest.mark.parametrize("damage", ["cut", "altered", "gone", "note cut", "note gone"])
def test_a_shard_that_is_not_whole_is_made_anew(stopped: Path, photos: Path, undisturbed: dict, damage: str):
    (shard,) = (stopped.parent / ".prepare").rglob("train-00001*.tfrecord")
    note = shard.parent.parent / f"{shard.name}.json"
    content = shard.read_bytes()
    if damage == "cut":
        shard.write_bytes(content[:-100])
    elif damage == "altered":
        shard.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
    elif damage == "gone":
        shard.unlink()
    elif damage == "note cut":
        note.write_bytes(note.read_bytes()[:-20])
    else:
        note.unlink()
    assert redone(stopped, settings(photos)) <= {shard.name}
    assert tree(stopped) == undisturbed


def test_nothing_is_made_anew_where_only_what_is_checked_at_the_end_has_changed(stopped: Path, photos: Path):
    other = Preprocessing(square(64), "crop", 1, (0,), (1,))
    changed = replace(settings(photos, max_rejected=0.5, calibration=3), preprocessing=other)
    assert redone(stopped, changed) == set()
    assert open_manifest(stopped).preprocessing == other


@pytest.mark.parametrize("changes", [{"seed": 2}, {"validation": 9}, {"shards": 3}, {"convert": False}])
def test_other_settings_start_over_and_say_so(
    stopped: Path, photos: Path, changes: dict, capsys: pytest.CaptureFixture, tmp_path: Path
):
    prepare(settings(photos, **changes), stopped)
    assert "belongs to other settings or code: starting over" in capsys.readouterr().out
    prepare(settings(photos, **changes), tmp_path / "again")
    assert tree(stopped) == tree(tmp_path / "again")


def test_a_picture_that_was_exchanged_since_is_read_again(tmp_path: Path):
    root = tmp_path / "pictures"
    for number, split in enumerate(("train", "val", "test")):
        class_folders(root / split, per_class=4, seed=number)
    write(root / "train" / "cat" / "00.jpg", b"")
    with pytest.raises(UserError, match=r"1 of 24 pictures"):
        prepare(settings(root, max_rejected=0), tmp_path / "photos")
    save(root / "train" / "cat" / "00.jpg", noise(99, 20, 30, 3))
    assert len(redone(tmp_path / "photos", settings(root, max_rejected=0))) == 1
    keys = {
        r.key for split in ("train", "validation", "test") for r in records(open_manifest(tmp_path / "photos"), split)
    }
    assert "train/cat/00.jpg" in keys and len(keys) == 24


def test_a_copy_that_appeared_in_an_earlier_split_is_found_again(tmp_path: Path):
    root = tmp_path / "pictures"
    for number, split in enumerate(("train", "val", "test")):
        class_folders(root / split, per_class=4, seed=number)
    write(root / "test" / "dog" / "00.jpg", b"")
    with pytest.raises(UserError, match=r"1 of 24 pictures"):
        prepare(settings(root, max_rejected=0), tmp_path / "photos")
    write(root / "test" / "dog" / "00.jpg", (root / "train" / "cat" / "01.jpg").read_bytes())
    manifest = prepare(settings(root), tmp_path / "photos")
    assert (
        "train/cat/01.jpg,the same picture is among those of test: test/dog/00.jpg"
        in (tmp_path / "photos" / "rejected.csv").read_text()
    )
    assert manifest.splits["train"].count == 7


def test_a_killed_process_is_told_with_the_way_out(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from qatflow.data.preparation import shards as module

    usable, tests = module.ShardMaker._usable, os.getpid()

    def killed(self: module.ShardMaker, place: int) -> object:
        if os.getpid() != tests:
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when the memory is used up
        return usable(self, place)

    with monkeypatch.context() as patch:
        patch.setattr(module.ShardMaker, "_usable", killed)
        with pytest.raises(UserError, match=r"was killed, most likely because memory ran out.*fewer cores"):
            prepare(settings(photos), tmp_path / "photos", cores=2)


def test_a_log_has_lines_with_rate_and_time_left_and_a_short_run_none(capsys: pytest.CaptureFixture, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = ProgressDisplay(2000, "pictures")
    for seconds, done in ((0.1, 16), (9.8, 484), (5.1, 700), (10.0, 1200)):
        now[0] += seconds
        progress.show(done)
    progress.go_on()
    now[0] += 10
    progress.show(300)
    progress.close()
    assert capsys.readouterr().err.splitlines() == [
        "700 of 2000 pictures (35 %), 46.67 pictures/s, 00:27 left",
        "1200 of 2000 pictures (60 %), 50.00 pictures/s, 00:16 left",
        "1500 of 2000 pictures (75 %), 30.00 pictures/s, 00:16 left",
    ]


def test_a_terminal_has_a_bar(photos: Path, tmp_path: Path):
    there, here = os.openpty()
    fcntl.ioctl(here, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    run = start(*command(photos, tmp_path / "photos"), stderr=here, stdout=subprocess.PIPE)
    os.close(here)
    shown = b""
    while True:
        try:
            shown += os.read(there, 4096)
        except OSError:  # the other side is closed
            break
    assert run.wait() == 0
    assert re.search(rb"100%.* 87/87 .*pictures/s", shown), shown


def test_the_listing_takes_its_names_and_thirteen_bytes_a_picture():
    from qatflow.data.sources.listing import Listing

    listing = Listing()
    for i in range(1000):
        listing.add(b"n01440764/n01440764_%05d.JPEG" % i, i % 7, ("train", "validation", "test")[i % 3])
    listing.add(b"latin \xe4\n.png", 7, "test")
    assert len(listing) == 1001 and listing[-1].key == "latin \\xe4\\n.png" and listing[1000].split == "test"
    assert [p.label for p in listing[10:13]] == [3, 4, 5] and listing[5].key == "n01440764/n01440764_00005.JPEG"
    assert np.array_equal(listing.labels[:1000], np.arange(1000) % 7)
    assert np.array_equal(listing.splits[:1000], np.arange(1000) % 3)
    with pytest.raises(IndexError):
        listing[1001]
