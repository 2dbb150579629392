import gzip
import hashlib
import io
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.idx_files import RANDOM, write_idx
from qatflow.base.errors import UserError
from qatflow.config.checks.config import check_config
from qatflow.config.sections.config import Config
from qatflow.data.picture import RejectedError, decode, encode, stored
from qatflow.data.sources.digits import DigitsSource
from qatflow.data.sources.folder import FolderSource
from qatflow.data.sources.idx import DEBIAN_FOLDER, FASHION_MNIST_LABELS, FASHION_MNIST_SHA256, IdxSource, open_idx
from qatflow.data.sources.table import SOURCES


def save(path: Path, size: tuple[int, int] = (6, 4), mode: str = "RGB", **options) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = RANDOM.integers(0, 256, (size[1], size[0], bands), np.uint8)
    Image.fromarray(pixels.squeeze(), mode).save(path, **options)
    return pixels


@pytest.mark.parametrize("packed", [True, False])
def test_idx_yields_the_pixels_and_labels_of_its_files(tmp_path: Path, packed: bool):
    arrays = write_idx(tmp_path, packed=packed)
    source = IdxSource(tmp_path)
    assert source.labels == ("0", "1", "2")
    assert [p.split for p in source.pictures] == ["train"] * 6 + ["test"] * 4
    assert [p.label for p in source.pictures] == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert [p.key for p in source.pictures[5:7]] == ["train/00005", "t10k/00000"]
    pixels = np.concatenate([arrays["train-images-idx3-ubyte"], arrays["t10k-images-idx3-ubyte"]])
    for i, expected in enumerate(pixels):
        encoded = source.encoded(i)
        assert (encoded.height, encoded.width) == (5, 7)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(encoded.content))), expected)


def test_idx_takes_class_names_from_labels_txt(tmp_path: Path):
    write_idx(tmp_path)
    (tmp_path / "labels.txt").write_text("cat\ndog\nbird\n")
    assert IdxSource(tmp_path).labels == ("cat", "dog", "bird")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    with pytest.raises(UserError, match=r"labels\.txt names 2 classes"):
        IdxSource(tmp_path)


def test_idx_names_every_missing_file(tmp_path: Path):
    write_idx(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte.gz").unlink()
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match="lacks train-labels-idx1-ubyte, t10k-images-idx3-ubyte"):
        IdxSource(tmp_path)
    with pytest.raises(UserError, match="is not a folder"):
        open_idx(tmp_path / "nowhere", tmp_path)


def test_idx_refuses_damaged_files(tmp_path: Path):
    write_idx(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz cannot be read"):
        IdxSource(tmp_path)
    path.write_bytes(gzip.compress(gzip.decompress(whole)[:-1]))
    with pytest.raises(UserError, match="announces 210 values but 209 follow"):
        IdxSource(tmp_path)
    path.write_bytes(gzip.compress(b"<html>not found</html>"))
    with pytest.raises(UserError, match="not an idx file"):
        IdxSource(tmp_path)
    path.write_bytes((tmp_path / "t10k-images-idx3-ubyte.gz").read_bytes())
    with pytest.raises(UserError, match="as many labels"):
        IdxSource(tmp_path)


@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_known_by_its_labels_and_its_published_sums():
    source = open_idx(None, Path("unused"))
    assert source.labels == FASHION_MNIST_LABELS and "MIT" in source.licence
    assert np.array_equal(np.bincount([p.label for p in source.pictures]), [7000] * 10)
    # The published files carry name and time in the gzip header, which Debian strips; the rest is the same.
    times = {"train": 1504176606, "t10k": 1504176627}
    for name, expected in FASHION_MNIST_SHA256.items():
        header = b"\x1f\x8b\x08\x08" + struct.pack("<I", times[name.split("-")[0]]) + b"\0\x03"
        published = header + name.removesuffix(".gz").encode() + b"\0" + (DEBIAN_FOLDER / name).read_bytes()[10:]
        assert hashlib.sha256(published).hexdigest() == expected


def test_digits_repeat_each_scaled_pixel_three_times():
    from sklearn.datasets import load_digits

    source = DigitsSource()
    original = load_digits()
    assert len(source.pictures) == 1797 and source.labels == tuple("0123456789")
    pixels = decode(source.encoded(3).content, 1)[:, :, 0]
    assert pixels.shape == (24, 24) and source.pictures[3].label == original.target[3]
    for y in range(24):
        for x in range(24):
            assert pixels[y, x] == round(original.images[3][y // 3, x // 3] * 255 / 16)


def test_folder_without_splits_keeps_the_files_bytes(tmp_path: Path):
    save(tmp_path / "dog" / "b 1.png")
    save(tmp_path / "cat" / "deep" / "ä.jpg", quality=90)
    save(tmp_path / "cat" / "a.png", mode="L")
    (tmp_path / "cat" / ".hidden").write_text("x")
    source = SOURCES["folder"](tmp_path, tmp_path)
    assert source.labels == ("cat", "dog")
    assert [(p.key, p.label, p.split) for p in source.pictures] == [
        ("cat/a.png", 0, "train"),
        ("cat/deep/ä.jpg", 0, "train"),
        ("dog/b 1.png", 1, "train"),
    ]
    for i, picture in enumerate(source.pictures):
        encoded = source.encoded(i)
        assert encoded.content == (tmp_path / picture.key).read_bytes() and not encoded.converted
        assert (encoded.width, encoded.height) == (6, 4)


@pytest.mark.parametrize("validation", ["val", "validation"])
def test_folder_with_splits_takes_classes_from_training(tmp_path: Path, validation: str):
    for split in ("train", validation, "test"):
        save(tmp_path / split / "cat" / "1.png")
        save(tmp_path / split / "dog" / "1.png")
    save(tmp_path / validation / "bird" / "1.png")
    save(tmp_path / "test" / "loose.png")
    save(tmp_path / "other" / "1.png")
    source = FolderSource(tmp_path)
    assert source.labels == ("cat", "dog")
    assert sorted({p.split for p in source.pictures}) == ["test", "train", "validation"] and len(source.pictures) == 6
    assert {r.key: r.reason for r in source.rejected} == {
        f"{validation}/bird/1.png": "its class 'bird' has no folder in train/",
        "test/loose.png": "lies in no class folder",
        "other/1.png": "lies outside train/, val/ and test/",
    }


def test_folder_mistakes_are_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"data\.path is missing"):
        SOURCES["folder"](None, tmp_path)
    with pytest.raises(UserError, match="nowhere is not a folder"):
        SOURCES["folder"](tmp_path / "nowhere", tmp_path)
    save(tmp_path / "cat" / "1.png")
    with pytest.raises(UserError, match="holds only one class folder"):
        FolderSource(tmp_path)
    (tmp_path / "dog").mkdir()
    with pytest.raises(UserError, match="holds only one class folder with pictures: at least two"):
        FolderSource(tmp_path)


def pack(folder: Path, archive: Path, *, below: str = "") -> Path:
    """Pack a folder's content, below a folder of that name where one is given."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(folder.rglob("*")):
                file.write(path, Path(below) / path.relative_to(folder))
    else:
        with tarfile.open(archive, "w:gz" if archive.suffix == ".gz" else "w") as tar:
            tar.add(folder, below or ".")
    return archive


@pytest.mark.parametrize("below", ["", "photos", "pictures of/2024"])
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip"])
def test_an_archive_of_a_folder_holds_what_the_folder_holds(tmp_path: Path, name: str, below: str):
    for split in ("train", "val"):
        save(tmp_path / "photos" / split / "cat" / "ä 1.png")
        save(tmp_path / "photos" / split / "dog" / "deep" / "1.jpg")
    folder = FolderSource(tmp_path / "photos")
    archive = pack(tmp_path / "photos", tmp_path / name, below=below)
    source = SOURCES["folder"](archive, tmp_path / ".download" / "photos")
    assert source.labels == folder.labels and source.pictures[:] == folder.pictures[:] and source.rejected == []
    for i in range(4):
        assert source.encoded(i) == folder.encoded(i)
    assert source.inputs == (archive,) and source.origin == f"pictures of the archive {name}"


def test_an_archive_without_splits_and_with_what_macos_adds(tmp_path: Path):
    save(tmp_path / "photos" / "cat" / "1.png")
    save(tmp_path / "photos" / "dog" / "1.png")
    archive = pack(tmp_path / "photos", tmp_path / "photos.zip", below="photos")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("__MACOSX/photos/cat/._1.png", b"attributes")
    source = SOURCES["folder"](archive, tmp_path / "work")
    assert [p.key for p in source.pictures] == ["cat/1.png", "dog/1.png"] and source.rejected == []


def test_an_archive_is_unpacked_below_the_work_folder_alone_and_another_in_its_place(tmp_path: Path):
    for number in (1, 2):
        shutil.rmtree(tmp_path / "photos", ignore_errors=True)
        for name in ("cat", "dog"):
            save(tmp_path / "photos" / name / f"{number}.png")
        pack(tmp_path / "photos", tmp_path / "photos.tar")
        source = SOURCES["folder"](tmp_path / "photos.tar", tmp_path / "work")
        assert [p.key for p in source.pictures] == [f"cat/{number}.png", f"dog/{number}.png"]
    unpacked = (tmp_path / "work" / "unpacked").stat().st_ino
    assert SOURCES["folder"](tmp_path / "photos.tar", tmp_path / "work").pictures[:] == source.pictures[:]
    assert (tmp_path / "work" / "unpacked").stat().st_ino == unpacked
    assert {p.name for p in tmp_path.iterdir()} == {"photos", "photos.tar", "work"}


def test_a_bad_archive_is_told_and_so_is_a_file_that_is_none(tmp_path: Path):
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../evil"))
    with pytest.raises(UserError, match=r"evil\.tar: the path '\.\./evil' in it leaves the folder"):
        SOURCES["folder"](tmp_path / "evil.tar", tmp_path / "work")
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(UserError, match=r"notes\.txt is neither a folder nor a tar or zip archive"):
        SOURCES["folder"](tmp_path / "notes.txt", tmp_path / "work")


def test_the_configuration_takes_an_archive_for_a_folder_and_nothing_else(tmp_path: Path):
    def problems(source: str, path: Path) -> list[str]:
        data = {"source": source, "path": str(path), "validation": 2, "test": 2}
        return [problem.message for problem in check_config(Config.model_validate({"data": data}))]

    for name in ("cat/1", "cat/2", "cat/3", "dog/1", "dog/2", "dog/3"):
        save(tmp_path / "photos" / f"{name}.png")
    archive = pack(tmp_path / "photos", tmp_path / "photos.tar.gz")
    assert problems("folder", archive) == problems("folder", tmp_path / "photos") == []
    assert len(problems("idx", archive)) == 1
    (tmp_path / "notes.txt").write_text("none")
    assert len(problems("folder", tmp_path / "notes.txt")) == 1


def test_unreadable_pictures_are_rejected_with_a_reason(tmp_path: Path):
    save(tmp_path / "whole.jpg", (64, 64))
    whole = (tmp_path / "whole.jpg").read_bytes()
    for content, reason in ((b"", "empty"), (b"hello", "not a picture"), (whole[: len(whole) // 2], "truncated")):
        with pytest.raises(RejectedError, match=reason):
            stored(content)


def test_other_kinds_become_upright_lossless_png(tmp_path: Path):
    pixels = save(tmp_path / "a.bmp")
    kept = stored((tmp_path / "a.bmp").read_bytes())
    assert kept.converted and np.array_equal(decode(kept.content, 3), pixels)

    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90° clockwise
    save(tmp_path / "turned.jpg", (6, 4), exif=exif)
    kept = stored((tmp_path / "turned.jpg").read_bytes())
    with Image.open(tmp_path / "turned.jpg") as image:
        expected = np.rot90(np.asarray(image), -1)
    assert (kept.width, kept.height) == (4, 6) and np.array_equal(decode(kept.content, 3), expected)

    sixteen = RANDOM.integers(0, 2**16, (4, 6)).astype(np.uint16)
    Image.fromarray(sixteen).save(tmp_path / "deep.png")
    kept = stored((tmp_path / "deep.png").read_bytes())
    assert np.array_equal(decode(kept.content, 1)[:, :, 0], sixteen // 256)

    for name, mode in (("cmyk.jpg", "CMYK"), ("alpha.png", "RGBA"), ("grey_alpha.png", "LA")):
        save(tmp_path / name, mode=mode)
        assert stored((tmp_path / name).read_bytes()).converted

    frames = [Image.new("P", (6, 4), colour) for colour in (1, 2)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert decode(stored((tmp_path / "moving.gif").read_bytes()).content, 3).shape == (4, 6, 3)


def test_decoding_converts_between_grey_and_colour():
    colour = RANDOM.integers(0, 256, (4, 6, 3), np.uint8)
    grey = decode(encode(colour).content, 1)[:, :, 0].astype(float)
    assert np.abs(grey - colour @ np.array([0.299, 0.587, 0.114])).max() <= 1
    flat = RANDOM.integers(0, 256, (4, 6), np.uint8)
    assert np.array_equal(decode(encode(flat).content, 3), np.stack([flat] * 3, axis=2))
