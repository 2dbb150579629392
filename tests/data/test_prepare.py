import csv
import hashlib
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.places import ROOT
from helpers.section_options import option
from helpers.small_data import DIGITS
from qatflow.base.errors import UserError
from qatflow.base.picture_size import square
from qatflow.data import tfrecord
from qatflow.data.picture import decode
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preparation.split import balanced, stratified
from qatflow.data.preprocess import Preprocessing, apply
from qatflow.data.reader import calibration, open_manifest, pictures, records, tensors
from qatflow.data.sources.digits import DigitsSource


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "digits"
    prepare(DIGITS, folder)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def keys(folder: Path, split: str) -> list[str]:
    return [record.key for record in records(open_manifest(folder), split)]


def photos(folder: Path, per_class: int = 10, seed: int = 0) -> Path:
    random = np.random.default_rng(seed)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            pixels = random.integers(0, 256, (20, 30, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:02d}.jpg")
    return folder


def photo_settings(path: Path, **changes) -> Settings:
    spec = Preprocessing(square(32), "stretch", 3, (127.5,), (127.5,))
    base = replace(DIGITS, name="photos", source="folder", path=path, preprocessing=spec)
    return replace(base, **{"validation": 4, "test": 4, "calibration": 4, **changes})


def test_manifest_tells_the_truth_about_the_files(digits: Path):
    value = json.loads((digits / "manifest.json").read_text())
    assert value["classes"] == 10 and value["dataset"] == "digits" and "CC-BY" in value["licence"]
    counts = {name: split["count"] for name, split in value["splits"].items()}
    assert counts == {"train": 1240, "validation": 197, "test": 360}
    listed = [value["labels"], value["calibration"], value["rejected"]]
    for name, split in value["splits"].items():
        shards = len(split["shards"])
        assert [s["file"] for s in split["shards"]] == [
            f"{name}-{i:05d}-of-{shards:05d}.tfrecord" for i in range(shards)
        ]
        labels = Counter(record.label for record in records(open_manifest(digits), name))
        assert split["class_counts"] == [labels[i] for i in range(10)]
        for shard in split["shards"]:
            assert len(list(tfrecord.read(digits / shard["file"]))) == shard["count"]
        listed += split["shards"]
    for file in listed:
        content = (digits / file["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    assert {file["file"] for file in listed} | {"manifest.json"} == set(tree(digits))
    assert value["provenance"]["seed"] == 1 and value["provenance"]["settings"]["validation"] == 197


def test_every_picture_is_in_exactly_one_split_with_its_pixels_and_label(digits: Path):
    source = DigitsSource()
    expected = {p.key: (p.label, source.encoded(i).content) for i, p in enumerate(source.pictures)}
    found = [r for split in ("train", "validation", "test") for r in records(open_manifest(digits), split)]
    assert len(found) == 1797
    assert {r.key: (r.label, r.content) for r in found} == expected


def test_splits_are_stratified(digits: Path):
    manifest = open_manifest(digits)
    totals = np.bincount([p.label for p in DigitsSource().pictures])
    for name, count in (("validation", 197), ("test", 360)):
        assert np.abs(np.array(manifest.splits[name].class_counts) - totals * count / 1797).max() < 1.5


def test_same_inputs_give_the_same_bytes_and_replace_the_folder_whole(digits: Path, tmp_path: Path):
    again = tmp_path / "digits"
    again.mkdir()
    (again / "train-00009-of-00010.tfrecord").write_bytes(b"old")
    manifest = prepare(DIGITS, again)
    assert tree(again) == tree(digits)
    assert manifest == open_manifest(again)
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]  # no temporary folder stays


def test_the_seed_moves_pictures(digits: Path, tmp_path: Path):
    prepare(replace(DIGITS, seed=2), tmp_path / "digits")
    for split in ("train", "validation", "test"):
        assert keys(tmp_path / "digits", split) != keys(digits, split)
    assert set(keys(tmp_path / "digits", "test")) != set(keys(digits, "test"))


def test_order_is_shuffled_over_the_classes(digits: Path):
    for split in ("train", "validation", "test"):
        first = [record.label for record in records(open_manifest(digits), split, 60)]
        assert len(set(first)) == 10 and first != sorted(first)


def test_calibration_list_is_balanced_and_from_training(digits: Path):
    manifest = open_manifest(digits)
    listed = json.loads((digits / "calibration.json").read_text())["pictures"]
    train = list(records(manifest, "train"))
    assert sorted(Counter(p["label"] for p in listed).values()) == [2] * 5 + [3] * 5
    assert len({p["position"] for p in listed}) == 25
    inputs = calibration(manifest)
    assert inputs.shape == (25, 32, 32, 1) and inputs.dtype == np.float32
    for picture, row in zip(listed, inputs, strict=True):
        record = train[picture["position"]]
        assert (record.key, record.label) == (picture["key"], picture["label"])
        assert np.array_equal(row, apply(manifest.preprocessing, decode(record.content, 1)))
    assert np.array_equal(calibration(manifest, 7), inputs[:7])


def test_reader_yields_pictures_and_tensors_in_shard_order(digits: Path):
    manifest = open_manifest(digits / "manifest.json")
    inputs, labels = tensors(manifest, "test", 50)
    assert inputs.shape == (50, 32, 32, 1) and labels.dtype == np.int64
    stored = list(pictures(manifest, "test", 50))
    assert [label for _, label in stored] == labels.tolist()
    picture, _ = stored[7]
    assert picture.shape == (24, 24, 1) and picture.dtype == np.uint8
    assert np.array_equal(
        inputs[7, 4:28, 4:28, 0], (picture[:, :, 0].astype(np.float32) - 127.5) * np.float32(1 / 127.5)
    )
    assert (inputs[:, :4] == -1).all() and (inputs[:, :, 28:] == -1).all()
    assert len(tensors(manifest, "test")[0]) == 360
    other = replace(manifest.preprocessing, size=square(40), channels=3)
    assert tensors(manifest, "test", 2, other)[0].shape == (2, 40, 40, 3)


def test_stratified_takes_proportional_shares_and_leaves_one_of_each():
    labels = np.repeat([0, 1, 2], [50, 30, 1])
    for seed in range(5):
        chosen = stratified(labels, 20, np.random.default_rng(seed), "data.test")
        assert np.bincount(labels[chosen], minlength=3).tolist() == [12, 8, 0]
    assert stratified(labels, 78, np.random.default_rng(0), "data.test").sum() == 78
    with pytest.raises(UserError, match=r"data\.test: 79 pictures .* lower data\.test to 78"):
        stratified(labels, 79, np.random.default_rng(0), "data.test")


def test_balanced_takes_turns_until_a_class_is_used_up():
    labels = np.repeat([0, 1, 2], [50, 30, 2])
    chosen = balanced(labels, 20, seed=1)
    assert labels[chosen].tolist() == [0, 1, 2, 0, 1, 2] + [0, 1] * 7
    assert len(set(chosen.tolist())) == 20
    with pytest.raises(UserError, match=r"data\.calibration: 83"):
        balanced(labels, 83, seed=1)


def test_broken_pictures_are_listed_and_the_rest_is_kept(tmp_path: Path):
    source = photos(tmp_path / "photos")
    broken = source / "cat" / "03.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    (source / "dog" / "notes.txt").write_text("no picture")
    manifest = prepare(photo_settings(source, max_rejected=0.1), tmp_path / "out")
    with (tmp_path / "out" / "rejected.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["key", "reason"] and {row[0] for row in rows[1:]} == {"cat/03.jpg", "dog/notes.txt"}
    kept = [r for split in ("train", "validation", "test") for r in records(manifest, split)]
    assert len(kept) == 19 and manifest.rejected == 2 == len(rows) - 1
    for record in kept:
        assert record.content == (source / record.key).read_bytes()


def test_too_many_broken_pictures_stop_with_the_list_and_leave_the_old_data(tmp_path: Path):
    source = photos(tmp_path / "photos")
    prepare(photo_settings(source), tmp_path / "out")
    before = tree(tmp_path / "out")
    (source / "cat" / "03.jpg").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"(?s)1 of 20 pictures .*data\.max_rejected = 0\.01.*cat/03\.jpg: the file is em"
    ):
        prepare(photo_settings(source), tmp_path / "out")
    assert tree(tmp_path / "out") == before
    assert "cat/03.jpg" in (tmp_path / "out.rejected.csv").read_text()
    prepare(photo_settings(source, max_rejected=0.1), tmp_path / "out")
    assert not (tmp_path / "out.rejected.csv").exists()


def test_a_sources_own_splits_are_taken_as_they_are(tmp_path: Path):
    for seed, split in enumerate(("train", "val", "test")):
        photos(tmp_path / "photos" / split, per_class=3, seed=seed)
    manifest = prepare(photo_settings(tmp_path / "photos", validation=1, test=1), tmp_path / "out")
    for name, folder in (("train", "train"), ("validation", "val"), ("test", "test")):
        assert {r.key.split("/")[0] for r in records(manifest, name)} == {folder}
        assert manifest.splits[name].class_counts == (3, 3)


def test_pictures_too_large_to_pad_stop_preparation(tmp_path: Path):
    spec = Preprocessing(square(24), "pad", 3, (127.5,), (127.5,))
    with pytest.raises(UserError, match=r"20 of the 20 pictures looked at first .*, such as cat/00\.jpg \(30×20\)"):
        prepare(photo_settings(photos(tmp_path / "photos"), preprocessing=spec), tmp_path / "out")


def test_asking_for_too_many_validation_pictures_is_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"data\.validation: 5000 pictures"):
        prepare(replace(DIGITS, validation=5000), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_or_cut_shard_is_told_with_the_way_out(digits: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"manifest\.json is missing: .*--forcerun prepare_data"):
        open_manifest(tmp_path / "manifest.json")
    folder = tmp_path / "digits"
    folder.mkdir()
    for name, content in tree(digits).items():
        (folder / name).write_bytes(content)
    shard = folder / "train-00001-of-00003.tfrecord"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"train-00001-of-00003\.tfrecord has \d+ bytes.*--forcerun prepare_data"):
        open_manifest(folder)
    shard.unlink()
    with pytest.raises(UserError, match=r"train-00001-of-00003\.tfrecord is missing"):
        open_manifest(folder)
    shard.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    with pytest.raises(UserError, match=r"00001-of-00003\.tfrecord has changed since .*--forcerun prepare_data"):
        list(records(open_manifest(folder), "train"))
    with pytest.raises(UserError, match=r"record at byte .* is damaged"):
        list(tfrecord.read(shard))
    (folder / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json is damaged .*--forcerun prepare_data"):
        open_manifest(folder)


def test_the_program_runs_by_hand_and_tells_mistakes_in_one_line(tmp_path: Path):
    def run(*arguments: str) -> subprocess.CompletedProcess:
        script, output = str(ROOT / "workflow/scripts/prepare_data.py"), str(tmp_path / "d")
        program = [sys.executable, script, "--output", output]
        return subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)

    section = {"name": "d", "preprocessing": DIGITS.preprocessing.to_json()}
    ran = run(*option("data", **section, source="digits", validation=100, calibration=10))
    assert ran.returncode == 0 and "1337 train, 100 validation, 360 test" in ran.stdout, ran.stderr
    assert open_manifest(tmp_path / "d").splits["train"].count == 1337
    ran = run(*option("data", **section, source="folder", path=tmp_path / "nowhere"))
    assert ran.returncode == 1 and ran.stderr.startswith("error: data.path:") and ran.stderr.count("\n") == 1
