"""Bad and odd pictures: each is converted, kept, or listed in rejected.csv with its reason; none is lost in silence."""

import csv
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.little_space import run_on_small_disk
from helpers.pictures import class_folders, files_below, noise, png, save, write
from helpers.places import ROOT
from helpers.restricted import RESTRICTED
from helpers.section_options import option
from qatflow.base.errors import UserError
from qatflow.base.picture_size import square
from qatflow.data.example import Record
from qatflow.data.manifest import Manifest, Shard
from qatflow.data.picture import RejectedError, decode, encode, stored
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preparation.shards import EarlierSplits, WrittenShard
from qatflow.data.preprocess import Preprocessing
from qatflow.data.reader import open_manifest, records, tensors
from qatflow.data.sources.folder import FolderSource

STRETCH = Preprocessing(square(32), "stretch", 3, (127.5,), (127.5,))
SECTION = {"name": "photos", "source": "folder", "calibration": 2, "preprocessing": STRETCH.to_json()}


def settings(path: Path, **changes) -> Settings:
    counts = {"validation": 2, "test": 2, "calibration": 2}
    values: dict[str, Any] = {"max_rejected": 1.0, "preprocessing": STRETCH, **counts, **changes}
    return Settings(name="photos", source="folder", path=path, shards=1, seed=1, **values)


def run(path: Path, output: Path, **section: object) -> subprocess.CompletedProcess:
    command = [*RESTRICTED, sys.executable, str(ROOT / "workflow/scripts/prepare_data.py"), "--output", str(output)]
    command += option("data", **SECTION, path=path, **section)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)


def rejected(folder: Path) -> dict[str, str]:
    with (folder / "rejected.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["key", "reason"] and len({key for key, _ in rows}) == len(rows)
    return dict(rows)


def kept(manifest: Manifest) -> dict[str, Record]:
    found = [record for split in manifest.splits for record in records(manifest, split)]
    by_key = {record.key: record for record in found}
    assert len(by_key) == len(found) == sum(split.count for split in manifest.splits.values())
    return by_key


def pixels(record: Record) -> np.ndarray:
    return decode(record.content, 3)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The issue's list, in train/cat unless it is about splits, among sound pictures."""
    root = tmp_path_factory.mktemp("pictures") / "photos"
    for number, split in enumerate(("train", "val", "test")):
        class_folders(root / split, seed=number)
    cat = root / "train" / "cat"
    whole = (cat / "00.jpg").read_bytes()
    write(cat / "truncated.jpg", whole[: len(whole) * 2 // 3])
    write(cat / "nothing.jpg", b"")
    write(cat / "text.jpg", b"Dear all, this is no picture.\n")
    save(cat / "wrong.jpg", noise(1, 8, 8, 3), format="PNG")
    save(cat / "no_picture_by_its_name.txt", noise(2, 8, 8, 3), format="BMP")
    Image.new("CMYK", (8, 8), (255, 0, 0, 127)).save(cat / "cmyk.jpg", quality=100)
    save(cat / "grey16.png", np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
    rows = b"".join(b"\0" + bytes(48) for _ in range(7)) + b"\0" + b"\xab\xcd\x12\x34\xff\xee" * 8
    write(cat / "rgb16.png", png(8, 8, 16, 2, rows))
    palette = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) % 2, "P")
    palette.putpalette([200, 10, 20, 5, 90, 210])
    palette.save(cat / "palette.png")
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    for name in ("moving.gif", "moving.png", "moving.webp"):
        frames[0].save(cat / name, save_all=True, append_images=frames[1:], lossless=True)
    save(cat / "grey.jpg", noise(3, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    save(cat / "turned.jpg", noise(4, 8, 24, 3), exif=exif)
    save(cat / "one.png", np.array([[[7, 8, 9]]], np.uint8))
    save(cat / "wide.jpg", noise(5, 20, 30_000, 3))
    write(cat / "bomb.png", png(30_000, 30_000, 8, 2, b""))
    save(cat / "secret.jpg", noise(6, 8, 8, 3)).chmod(0)
    save(cat / "Käse – 猫 ☃.jpg", noise(7, 8, 8, 3))
    save(cat / " with  spaces .jpg", noise(8, 8, 8, 3))
    save(cat / 'a "quoted", name.jpg', noise(9, 8, 8, 3))
    save(cat / "two\nlines.jpg", noise(10, 8, 8, 3))
    save(cat / os.fsdecode(b"latin \xe4.png"), noise(11, 8, 8, 3))
    save(cat / "below" / "deeper.png", noise(12, 8, 8, 3))
    os.mkfifo(cat / "fifo.jpg")
    (cat / "broken link.jpg").symlink_to("gone.jpg")
    (cat / "linked folder").symlink_to("below")
    (root / "train" / "empty").mkdir()
    save(root / "val" / "bird" / "1.png", noise(13, 8, 8, 3))
    write(root / "val" / "cat" / "copy.jpg", whole)
    (root / "test" / "dog" / "same pixels.bmp").parent.mkdir(exist_ok=True)
    with Image.open(root / "val" / "dog" / "01.jpg") as image:
        image.save(root / "test" / "dog" / "same pixels.bmp")
    save(root / "loose.png", noise(14, 8, 8, 3))
    return root


@pytest.fixture(scope="module")
def prepared(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("data") / "photos"
    ran = run(tree, output, max_rejected=1)
    assert ran.returncode == 0 and ran.stderr == "", ran.stderr
    return output


REASONS = {
    "train/cat/truncated.jpg": "damaged or unreadable: image file is truncated",
    "train/cat/nothing.jpg": "the file is empty",
    "train/cat/text.jpg": "not a picture in a format that is read (",
    "train/cat/bomb.png": "too large: ",
    "train/cat/secret.jpg": "cannot be read: Permission denied",
    "train/cat/fifo.jpg": "neither a file nor a folder",
    "train/cat/broken link.jpg": "cannot be read: No such file or directory",
    "train/cat/linked folder": "a link to a folder, which is not followed",
    "train/empty/": "a class folder without a picture",
    "val/bird/1.png": "its class 'bird' has no folder in train/",
    "train/cat/00.jpg": "the same picture is among those of validation: val/cat/copy.jpg",
    "val/dog/01.jpg": "the same picture is among those of test: test/dog/same pixels.bmp",
    "loose.png": "lies outside train/, val/ and test/",
}


def test_each_unusable_picture_is_listed_with_its_reason(prepared: Path):
    found = rejected(prepared)
    assert set(found) == set(REASONS)
    for key, reason in REASONS.items():
        assert found[key].startswith(reason), (key, found[key])


def test_counts_in_are_counts_out_and_rejected(tree: Path, prepared: Path):
    manifest = open_manifest(prepared)
    listed = [key for key in rejected(prepared) if not key.endswith("/")]
    assert files_below(tree) == len(kept(manifest)) + len(listed)
    assert manifest.rejected == len(rejected(prepared))
    assert manifest.labels == ("cat", "dog")


def test_sound_pictures_are_kept_byte_for_byte_whatever_their_name(tree: Path, prepared: Path):
    found = kept(open_manifest(prepared))
    for name in (
        "wrong.jpg",
        "grey.jpg",
        "one.png",
        "wide.jpg",
        "Käse – 猫 ☃.jpg",
        " with  spaces .jpg",
        "below/deeper.png",
    ):
        assert found[f"train/cat/{name}"].content == (tree / "train" / "cat" / name).read_bytes()
    assert found['train/cat/a "quoted", name.jpg'].label == 0
    # what text files cannot hold is written as an escape, in keys alone
    assert found["train/cat/two\\nlines.jpg"].content == (tree / "train/cat/two\nlines.jpg").read_bytes()
    assert "train/cat/latin \\xe4.png" in found


def test_odd_pictures_are_converted_to_the_pixels_that_they_show(tree: Path, prepared: Path):
    found = {key.removeprefix("train/cat/"): record for key, record in kept(open_manifest(prepared)).items()}
    cmyk = pixels(found["cmyk.jpg"]).reshape(-1, 3).astype(int)
    assert np.abs(cmyk - (0, 128, 128)).max() <= 3  # all cyan, half black: (255−C)(255−K)/255
    assert np.array_equal(pixels(found["grey16.png"])[:, :, 0], np.arange(64).reshape(8, 8) * 1000 // 256)
    assert pixels(found["rgb16.png"])[0].max() == 0 and (pixels(found["rgb16.png"])[7] == (0xAB, 0x12, 0xFF)).all()
    assert pixels(found["palette.png"])[0].tolist() == [[200, 10, 20], [5, 90, 210]] * 2
    for name in ("moving.gif", "moving.png", "moving.webp"):
        assert (pixels(found[name]) == (250, 0, 0)).all(), name
    with Image.open(tree / "train/cat/turned.jpg") as image:
        assert np.array_equal(pixels(found["turned.jpg"]), np.rot90(np.asarray(image), -1))
    for name in ("cmyk.jpg", "grey16.png", "rgb16.png", "palette.png", "moving.gif", "turned.jpg"):
        content = found[name].content
        assert content[:8] == b"\x89PNG\r\n\x1a\n" and content[24] == 8, name  # 8 bits a channel
    converted = {"cmyk.jpg", "grey16.png", "rgb16.png", "palette.png", "turned.jpg", "no_picture_by_its_name.txt"}
    converted |= {"moving.gif", "moving.png", "moving.webp", "test/dog/same pixels.bmp"}
    assert open_manifest(prepared).converted == len(converted)


def test_the_smallest_and_the_widest_reach_the_network(tree: Path, prepared: Path):
    manifest = open_manifest(prepared)
    inputs, _ = tensors(manifest, "train")
    by_key = dict(zip((record.key for record in records(manifest, "train")), inputs, strict=True))
    one = (np.array([7, 8, 9], np.float32) - np.float32(127.5)) * np.float32(1 / 127.5)
    assert (by_key["train/cat/one.png"] == one).all()
    assert np.isfinite(by_key["train/cat/wide.jpg"]).all()


def test_more_than_one_per_cent_stops_with_the_whole_list(tree: Path, tmp_path: Path):
    ran = run(tree, tmp_path / "photos")  # the default, data.max_rejected = 0.01
    total = files_below(tree) + 1  # and the empty class folder
    assert ran.returncode == 1 and ran.stdout.startswith("2 classes: cat, dog; 53 pictures\nwarning: the folder ")
    first, *lines = ran.stderr.splitlines()
    assert first.startswith(
        f"error: {len(REASONS)} of {total} pictures cannot be used, more than data.max_rejected = 0.01"
    )
    assert {line.strip().split(": ")[0] for line in lines} == set(REASONS)
    # what is finished is kept for a run with other limits, or with the bad pictures mended
    assert {path.name for path in tmp_path.iterdir()} == {"photos.rejected.csv", ".prepare"}
    with (tmp_path / "photos.rejected.csv").open() as file:
        assert {row["key"] for row in csv.DictReader(file)} == set(REASONS)


def test_exactly_the_allowed_share_goes_on(tmp_path: Path):
    root = class_folders(tmp_path / "photos", per_class=5)
    write(root / "cat" / "00.jpg", b"")
    assert prepare(settings(root, max_rejected=0.1), tmp_path / "out").rejected == 1
    with pytest.raises(UserError, match="1 of 10 pictures"):
        prepare(settings(root, max_rejected=0.09), tmp_path / "out")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_made_upright(tmp_path: Path, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = noise(0, 16, 24, 3)
    upright = {
        1: raw, 2: raw[:, ::-1], 3: raw[::-1, ::-1], 4: raw[::-1], 5: raw.transpose(1, 0, 2),
        6: np.rot90(raw, -1), 7: raw[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(raw),
    }  # fmt: skip
    found = stored(save(tmp_path / "a.png", raw, exif=exif).read_bytes())
    assert np.array_equal(decode(found.content, 3), upright[orientation])
    assert (found.height, found.width) == upright[orientation].shape[:2]
    assert found.converted == (orientation != 1)


def test_sixteen_bits_are_turned_too(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.random.default_rng(0).integers(0, 2**16, (4, 6)).astype(np.uint16)
    found = stored(save(tmp_path / "a.png", deep, exif=exif).read_bytes())
    assert np.array_equal(decode(found.content, 1)[:, :, 0], np.rot90(deep // 256, -1))


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_picture_cut_anywhere_is_rejected(tmp_path: Path, kind: str, share: float):
    whole = save(tmp_path / "a", noise(0, 64, 64, 3), format=kind).read_bytes()
    stored(whole)
    with pytest.raises(RejectedError):
        stored(whole[: int(len(whole) * share)])


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"P6 nonsense",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n",
        b"<svg xmlns='x'/>",
        b"GIF89a",
        b"BM",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"RIFF\x04\0\0\0WEBP",
        b"II*\0",
    ],
)
def test_what_only_begins_like_a_picture_is_rejected_without_a_warning(content: bytes):
    with warnings.catch_warnings(), pytest.raises(RejectedError):
        warnings.simplefilter("error")
        stored(content)


@pytest.mark.parametrize("size", [(30_000, 30_000), (30_000, 4_000), (2**31 - 1, 1)])
def test_too_many_pixels_are_rejected_before_they_are_read(size: tuple[int, int]):
    with warnings.catch_warnings(), pytest.raises(RejectedError, match=r"^too large: .*89478485 pixels"):
        warnings.simplefilter("error")
        stored(png(*size, 8, 2, b""))


def test_a_wide_picture_is_rejected_where_it_cannot_be_padded(tmp_path: Path):
    root = class_folders(tmp_path / "photos")
    save(root / "cat" / "wide.jpg", noise(5, 20, 30_000, 3))
    pad = Preprocessing(square(32), "pad", 3, (127.5,), (127.5,))
    manifest = prepare(settings(root, preprocessing=pad), tmp_path / "out")
    assert rejected(manifest.folder) == {
        "cat/wide.jpg": "30000×20 pixels do not fit the 32×32 square of preprocessing.resize `pad`: "
        "raise preprocessing.size, or set preprocessing.resize to `stretch`"
    }


def test_a_folder_that_cannot_be_listed_stops_with_its_name(tmp_path: Path):
    root = class_folders(tmp_path / "photos")
    class_folders(root / "cat", classes=("locked",))
    (root / "cat" / "locked").chmod(0)
    ran = run(root, tmp_path / "out", max_rejected=1)
    assert ran.returncode == 1
    assert ran.stderr == (
        f"error: data.path: {root}/cat/locked cannot be listed: Permission denied: make it readable, or remove it\n"
    )


def test_a_class_whose_training_pictures_are_all_rejected_stops(tmp_path: Path):
    root = tmp_path / "photos"
    for number, split in enumerate(("train", "val", "test")):
        class_folders(root / split, per_class=2, seed=number)
    for name in ("00.jpg", "01.jpg"):
        write(root / "train" / "dog" / name, b"")
    with pytest.raises(UserError, match=r"every training picture of class 'dog' was rejected.*out\.rejected\.csv"):
        prepare(settings(root), tmp_path / "out")
    assert not (tmp_path / "out").exists() and "train/dog/00.jpg" in (tmp_path / "out.rejected.csv").read_text()


def test_a_split_whose_pictures_are_all_rejected_stops(tmp_path: Path):
    root = tmp_path / "photos"
    for number, split in enumerate(("train", "val", "test")):
        class_folders(root / split, per_class=2, seed=number)
    for path in (root / "val").rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"every picture for validation was rejected.*out\.rejected\.csv"):
        prepare(settings(root), tmp_path / "out")


def test_copies_within_a_split_are_kept_and_those_across_are_not(tmp_path: Path):
    root = class_folders(tmp_path / "photos", per_class=20)
    for i in range(20):  # of each cat three, so that some come apart when splits are set aside
        for copy in ("a", "b"):
            write(root / "cat" / f"{i:02d}{copy}.jpg", (root / "cat" / f"{i:02d}.jpg").read_bytes())
    manifest = prepare(settings(root, validation=16, test=16), tmp_path / "out")
    parts = {name: {record.content for record in records(manifest, name)} for name in manifest.splits}
    assert not parts["train"] & parts["validation"] and not parts["test"] & (parts["train"] | parts["validation"])
    assert manifest.splits["test"].count == 16  # the figures' pictures stay
    assert len(kept(manifest)) + manifest.rejected == 80 and manifest.rejected > 0
    assert any(len(parts[name]) < manifest.splits[name].count for name in parts)  # copies within one


def test_an_empty_class_folder_of_validation_is_listed(tmp_path: Path):
    for number, split in enumerate(("train", "val", "test")):
        class_folders(tmp_path / "photos" / split, seed=number)
    (tmp_path / "photos" / "val" / "mouse").mkdir()
    source = FolderSource(tmp_path / "photos")
    assert [(r.key, r.reason) for r in source.rejected] == [("val/mouse/", "a class folder without a picture")]


def test_labels_stay_one_a_line_whatever_the_folders_are_called(tmp_path: Path):
    names = ("a b", "line\nbreak", "tab\tbed", "Ünïcode 猫")
    root = class_folders(tmp_path / "photos", classes=names)
    manifest = open_manifest(prepare(settings(root), tmp_path / "out").folder)
    assert manifest.labels == ("a b", "line\\nbreak", "tab\\tbed", "Ünïcode 猫")


def test_a_broken_link_in_the_place_of_a_class_folder_is_listed(tmp_path: Path):
    root = class_folders(tmp_path / "photos")
    (root / "bird").symlink_to("gone")
    assert [r.key for r in FolderSource(root).rejected] == ["bird"]


def test_a_disk_that_fills_up_is_one_message_and_leaves_whole_shards_alone(tmp_path: Path):
    root, disk = class_folders(tmp_path / "photos", per_class=40), tmp_path / "disk"
    program = [sys.executable, str(ROOT / "workflow/scripts/prepare_data.py"), "--output", str(disk / "photos")]
    ran, left = run_on_small_disk(disk, 64, *program, *option("data", **SECTION, path=root, validation=2, test=2))
    assert ran.returncode == 1 and ran.stdout == "2 classes: cat, dog; 80 pictures\n" and ran.stderr.count("\n") == 1
    assert ran.stderr.startswith(f"error: cannot write {disk}/.prepare/photos/") and "make room" in ran.stderr
    finished = {name.removesuffix(".json") for name in map(os.path.basename, left) if name.endswith(".tfrecord.json")}
    assert {name for name in map(os.path.basename, left) if name.endswith(".tfrecord")} == finished != set()
    assert not (disk / "photos").exists()


def test_pictures_that_differ_above_or_below_the_middle_alone_are_not_the_same():
    pixels = noise(1, 256, 64, 3)  # 49 kB
    others = [pixels.copy(), pixels.copy()]
    others[0][0, 0, 0] ^= 1
    others[1][-1, -1, -1] ^= 1
    one, *rest = (encode(each) for each in (pixels, *others))
    assert {picture.check() for picture in rest} == {one.check()}
    shard = WrittenShard(Shard("test", "", 0, 1), np.array([0]), np.array([one.digest()]), (), 0)
    earlier = EarlierSplits([("test", shard)], lambda place: f"picture {place}")
    assert [earlier.find(picture) for picture in (one, *rest)] == ["test: picture 0", None, None]
