"""Sums that are left beside what is written, and the one message of who reads it after it changed."""

import hashlib
import json
import re

import pytest

from helpers.flipped_bytes import flipped
from qatflow.base.errors import UserError
from qatflow.base.sums import check, read_checked, read_sealed, write_sealed
from qatflow.search.candidate import Candidate, Outcome, Size, read_outcomes
from qatflow.search.conclude import conclude
from qatflow.search.controller import State
from qatflow.search.result import read_result
from qatflow.search.rounds import Round, read_round, write_round
from qatflow.tflite.latency_table import LatencyTable, read_table, write_table

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


def test_what_a_search_writes_is_checked_by_who_reads_it(tmp_path):
    candidate = Candidate(1, (1,), Size(80, 8), {"ratios": {"conv": 0.5}})
    write_round(Round(State((0,)), Size(100, 10), (candidate,)), tmp_path / "candidates.json")
    tried = tmp_path / "candidate_1"
    tried.mkdir()
    for name in ("model", "weights"):
        (tried / name).write_bytes(bytes(100))
    write_sealed(tried / "outcome.json", Outcome(candidate, 0.5, 0.5).to_json(), files=("model", "weights"))
    rounds, best = [tmp_path / "candidates.json"], tmp_path / "best"

    def concluded() -> None:
        conclude("AutoPruneStrategy", "acc_top1", rounds, [tried], best)

    concluded()
    latency = tmp_path / "latency_table.json"
    write_table(latency, LatencyTable("ms", {"name": "phone"}, 1, 0.0, {"a": 1.0}, (), {}))
    readers = {
        rounds[0]: lambda: read_round(rounds[0]),
        tried / "outcome.json": lambda: read_outcomes([tried / "outcome.json"]),
        **{tried / name: concluded for name in ("model", "weights")},
        best / "best.json": lambda: read_result(best / "best.json"),
        **{best / name: lambda name=name: check(best / name) for name in ("model", "weights", "history.csv")},
        latency: lambda: read_table(latency),
    }
    assert set(readers) == {path for path in tmp_path.rglob("*") if path.is_file()}
    for path, read in readers.items():
        read()
        with flipped(path), pytest.raises(UserError, match=f"^{re.escape(str(path))} (has changed|is damaged)"):
            read()
