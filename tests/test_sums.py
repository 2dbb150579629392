"""Sums that are left beside what is written, and the one message of who reads it after it changed."""

import hashlib
import json
import re

import pytest

from qatflow.errors import UserError
from qatflow.sums import check, read_checked, read_sealed, write_sealed

VALUE = {"format_version": 1, "said": ["top-1 91.20 %, …"], "models": {"float": {"top1": 0.912}}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "weights").write_bytes(bytes(range(256)))
    (tmp_path / "labels.txt").write_text("a\nb\n")
    write_sealed(tmp_path / "manifest.json", VALUE, files=["weights", "labels.txt"])
    return tmp_path


def test_what_was_sealed_is_read_back_and_has_the_sums_of_all_files(folder):
    assert read_sealed(folder / "manifest.json") == VALUE
    text = (folder / "manifest.json").read_text()
    sums = json.loads(text)["sha256"]
    assert sums["weights"] == hashlib.sha256(bytes(range(256))).hexdigest()
    blank = text.replace(sums["manifest.json"], 64 * "0")
    assert sums["manifest.json"] == hashlib.sha256(blank.encode()).hexdigest()
    assert read_checked(folder / "weights") == bytes(range(256))
    check(folder / "labels.txt")


def test_no_flipped_bit_of_a_sealed_file_changes_what_is_read(folder):
    path = folder / "manifest.json"
    content = path.read_bytes()
    refused = 0
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        try:
            # the name of the sum may be hit: the rest is then as it was
            assert read_sealed(path).items() >= VALUE.items()
        except UserError as error:
            refused += 1
            assert re.search(r"has changed since it was written|is damaged", str(error))
    assert refused > 0.95 * len(content)


def test_a_changed_file_is_named_with_both_sums_and_what_to_do(folder):
    path, sums = folder / "weights", json.loads((folder / "manifest.json").read_text())["sha256"]
    path.write_bytes(b"\x01" + bytes(range(1, 256)))
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    for read in (read_checked, check):
        with pytest.raises(UserError) as caught:
            read(path)
        assert str(caught.value) == (
            f"{path} has changed since it was written (sha256 {found[:12]}…, {folder}/manifest.json says "
            f"{sums['weights'][:12]}…): remove it to have it made again"
        )


def test_a_file_that_nothing_tells_of_is_read_as_it_is(folder):
    (folder / "other").write_bytes(b"x")
    assert read_checked(folder / "other") == b"x"
    (folder / "hand.json").write_text('{"a": 1}')
    assert read_sealed(folder / "hand.json") == {"a": 1}
