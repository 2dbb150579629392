"""Archives: what is in them comes out whole below one folder, and nothing else does."""

import bz2
import gzip
import io
import lzma
import os
import random
import re
import shutil
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.little_space import python, run_on_small_disk
from qatflow.base.archive import extract, extract_once, is_archive
from qatflow.base.errors import UserError

FILES = {"top/a.txt": b"a", "top/deep/er/ü b.bin": random.Random(0).randbytes(100_000), "top/empty": b""}
PACKED = ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip"]


def make_tar(path: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    mode: Any = "w:" + {".gz": "gz", ".bz2": "bz2", ".xz": "xz"}.get(path.suffix, "")
    with tarfile.open(path, mode) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size, info.mode = len(member[1]), 0o7777
                tar.addfile(info, io.BytesIO(member[1]))
    return path


def make_zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def make(path: Path, *members: tuple[str, bytes]) -> Path:
    return make_zip(path, *members) if path.suffix == ".zip" else make_tar(path, *members)


def refused(archive: Path, reason: str, **bounds: int) -> None:
    """Unpacking ends in one message that names the archive, and leaves no trace anywhere."""
    around = archive.parent.parent
    before = sorted(around.rglob("*"))
    with pytest.raises(UserError, match=rf"(?s)^{re.escape(str(archive))}.*{reason}"):
        extract(archive, archive.parent / "folder" / "out", **bounds)
    (archive.parent / "folder").rmdir()
    assert sorted(around.rglob("*")) == before


def unpacked(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


CHANGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda out: None,
    "a file is gone": lambda out: (out / "top" / "a.txt").unlink(),
    "a file is cut": lambda out: os.truncate(out / "top" / "deep" / "er" / "ü b.bin", 99_999),
    "a file has other bytes": lambda out: (out / "top" / "a.txt").write_bytes(b"b"),
    "a file has moved": lambda out: (out / "top" / "a.txt").rename(out / "top" / "deep" / "a.txt"),
    "all is gone": shutil.rmtree,
    "killed before the mark was written": lambda out: out.with_name("out.json").unlink(),
    "the mark is damaged": lambda out: os.truncate(out.with_name("out.json"), 20),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
def test_what_is_unpacked_is_kept_while_nothing_has_changed(tmp_path: Path, name: str, change: str):
    archive, out = make(tmp_path / name, *FILES.items()), tmp_path / "work" / "out"
    extract_once(archive, out)
    first = os.open(out, os.O_RDONLY)  # held open, so that no other folder gets its number
    CHANGES[change](out)
    extract_once(archive, out)
    assert unpacked(out) == FILES
    assert os.path.samestat(os.fstat(first), out.stat()) == (change == "nothing")
    os.close(first)


def test_another_archive_of_the_name_is_unpacked_and_a_bad_one_is_not_taken_for_unpacked(tmp_path: Path):
    archive, out = make(tmp_path / "a.tar", ("a", b"1")), tmp_path / "work" / "out"
    extract_once(archive, out)
    about = archive.stat()
    make(archive, ("a", b"2"))  # as large, and as old
    os.utime(archive, ns=(about.st_atime_ns, about.st_mtime_ns))
    extract_once(archive, out)
    assert unpacked(out) == {"a": b"2"}
    archive.write_bytes(archive.read_bytes()[:700])
    for _ in range(2):
        with pytest.raises(UserError, match="damaged or cut off"):
            extract_once(archive, out)


@pytest.fixture
def inner(tmp_path: Path) -> Path:
    """A folder that is not at the top of what the test may look at."""
    (tmp_path / "inner").mkdir()
    return tmp_path / "inner"


@pytest.mark.parametrize("name", PACKED)
def test_files_come_out_as_they_went_in(tmp_path: Path, name: str):
    archive = make(tmp_path / name, *FILES.items())
    assert is_archive(archive)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "of an earlier time").touch()
    extract(archive, tmp_path / "out")
    found = {p.relative_to(tmp_path / "out").as_posix(): p for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == FILES
    assert all(path.stat().st_mode & 0o7111 == 0 for path in found.values())  # neither set-uid nor executable


def test_the_name_decides_nothing(tmp_path: Path):
    archive = make(tmp_path / "a.zip", *FILES.items()).rename(tmp_path / "pictures.dat")
    assert is_archive(archive)
    extract(archive, tmp_path / "out")
    assert (tmp_path / "out" / "top" / "a.txt").read_bytes() == b"a"
    text = tmp_path / "a.tar"
    text.write_text("no archive")
    assert not is_archive(text)
    text.write_bytes(gzip.compress(b"too short")[:12])
    assert not is_archive(text)
    assert not is_archive(tmp_path)
    assert not is_archive(tmp_path / "none")


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/qatflow-evil", "..", "a/..", "b\\..\\..\\evil"])
@pytest.mark.parametrize("kind", ["a.tar", "a.tar.gz", "a.zip"])
def test_a_path_out_of_the_folder_is_refused(inner: Path, kind: str, name: str):
    refused(make(inner / kind, ("good", b"x"), (name, b"evil")), rf"{re.escape(repr(name))}.*leaves the folder")


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"?"]
)
@pytest.mark.parametrize("target", ["/etc", "../..", "good"])
def test_links_and_devices_are_refused(inner: Path, kind: bytes, target: str):
    archive = make_tar(inner / "a.tar", ("good", b"x"), link("odd", target, kind), ("odd/passwd", b"evil"))
    refused(archive, "'odd' is neither a file nor a folder")


def test_a_link_in_a_zip_is_refused(inner: Path):
    info = zipfile.ZipInfo("odd")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(make_zip(inner / "a.zip", ("good", b"x"), (info, b"/etc")), "'odd' is neither a file nor a folder")


@pytest.mark.parametrize("kind", ["a.tar", "a.zip"])
def test_a_name_that_comes_twice_is_refused(inner: Path, kind: str):
    with pytest.warns(UserWarning) if kind == "a.zip" else pytest.MonkeyPatch.context():
        archive = make(inner / kind, ("a", b"1"), ("a", b"2"))
    refused(archive, "'a' .*File exists")
    refused(make(inner / kind, ("a", b"1"), ("a/b", b"2")), "'a/b'")
    refused(make(inner / kind, ("x" * 300, b"1")), "File name too long")


@pytest.mark.parametrize("kind", PACKED)
def test_the_bounds_hold_to_the_byte_and_to_the_file(inner: Path, kind: str):
    archive = make(inner / kind, ("a", bytes(600)), ("b", bytes(400)))
    extract(archive, inner / "fits", max_bytes=1000, max_files=2)
    for path in sorted((inner / "fits").iterdir()):
        path.unlink()
    (inner / "fits").rmdir()
    refused(archive, "more than 999 bytes.*unpack it yourself", max_bytes=999)
    refused(archive, "more than 1 files", max_files=1)


def test_a_bomb_is_stopped_at_a_hundred_times_its_size_without_being_asked(inner: Path):
    refused(make_tar(inner / "a.tar.gz", ("zeros", bytes(70_000_000))), "more than 67108864 bytes")


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_an_archive_that_is_cut_off_is_refused(inner: Path, kind: str, share: float):
    archive = make(inner / kind, *FILES.items())
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    refused(archive, "damaged or cut off")


@pytest.mark.parametrize("kind", PACKED[:4])
def test_an_archive_that_ends_between_two_files_is_refused(inner: Path, kind: str):
    part = make_tar(inner / "whole.tar", ("a", b"1"), ("b", b"2"))
    content = part.read_bytes()[: 2 * tarfile.BLOCKSIZE]  # the first file, and no mark of the end
    part.unlink()
    opened: Any = {"a.tar": open, "a.tar.gz": gzip.open, "a.tar.bz2": bz2.open, "a.tar.xz": lzma.open}[kind]
    with opened(inner / kind, "wb") as file:
        file.write(content)
    refused(inner / kind, "damaged or cut off.*no end")


def test_a_header_that_is_damaged_half_way_is_not_taken_for_the_end(inner: Path):
    archive = make_tar(inner / "a.tar", ("a", b"1"), ("b", b"2"), ("c", b"3"))
    content = bytearray(archive.read_bytes())
    content[2 * tarfile.BLOCKSIZE + 150] ^= 1
    archive.write_bytes(content)
    refused(archive, "damaged or cut off")


def spoil(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(byte ^ 0xFF for byte in content[middle : middle + 20]) + content[middle + 20 :]


def encrypt(content: bytes) -> bytes:
    """Set the flag that says encrypted in each header, local and central."""
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := content.find(signature, at + 1)) >= 0:
            content = content[: at + place] + b"\x01\x00" + content[at + place + 2 :]
    return content


def lie(content: bytes) -> bytes:
    """Announce one byte less than there is, in the central directory that zipfile goes by."""
    at = content.index(b"PK\x01\x02") + 24
    (size,) = struct.unpack("<I", content[at : at + 4])
    return content[:at] + struct.pack("<I", size - 1) + content[at + 4 :]


@pytest.mark.parametrize(
    ("kind", "change"),
    [(kind, spoil) for kind in PACKED[1:]] + [("a.zip", encrypt), ("a.zip", lie)],
)
def test_a_damaged_or_encrypted_archive_is_refused(inner: Path, kind: str, change: Callable[[bytes], bytes]):
    archive = make(inner / kind, ("noise", random.Random(1).randbytes(50_000)))
    archive.write_bytes(change(archive.read_bytes()))
    refused(archive, "damaged|encrypted")


def test_a_full_disk_is_one_message_and_leaves_nothing(tmp_path: Path):
    archive, disk = make(tmp_path / "a.zip", *FILES.items()), tmp_path / "disk"
    code = f"""
from pathlib import Path; from qatflow.base.archive import extract
extract(Path({str(archive)!r}), Path({str(disk / "out")!r}))
"""
    ran, left = run_on_small_disk(disk, 64, *python(code))
    assert ran.returncode == 1 and ran.stderr.startswith(f"error: cannot write {disk}/out: ")
    assert ran.stderr.count("\n") == 1 and left == set()
