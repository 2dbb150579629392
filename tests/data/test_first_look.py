"""What a stranger's folder of pictures may look like, and how early the message comes."""

import shutil
from pathlib import Path

import pytest

from helpers.pictures import class_folders, noise, save, write
from qatflow.base.errors import UserError
from qatflow.base.picture_size import square
from qatflow.config.checks.config import check_config
from qatflow.config.sections.config import Config
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing
from qatflow.data.sources.folder import FolderSource, open_folder

CROP = Preprocessing(square(32), "crop", 3, (127.5,), (127.5,))


def settings(path: Path, preprocessing: Preprocessing = CROP, **changes: float) -> Settings:
    return Settings(
        "photos", "folder", path, 2, 2, 2, 1, changes.get("max_rejected", 0.0), 1, preprocessing
    )  # fmt: skip


def problems(path: Path, **preprocessing: object) -> list[str]:
    split = {"validation": 2, "test": 1, "calibration": 1}
    data = {"source": "folder", "path": str(path), **split, "preprocessing": {"resize": "crop", **preprocessing}}
    return [found.message for found in check_config(Config.model_validate({"data": data}))]


def test_what_systems_put_beside_pictures_is_no_picture(tmp_path: Path):
    root = class_folders(tmp_path / "photos")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "Icon\r", "ehthumbs.db", "THUMBS.DB"):
        write(root / "cat" / name, b"x")
        write(root / name, b"x")
    save(root / ".ipynb_checkpoints" / "00-checkpoint.jpg", noise(1, 20, 30, 3))
    save(root / "dog" / ".ipynb_checkpoints" / "00-checkpoint.jpg", noise(1, 20, 30, 3))
    save(root / "@eaDir" / "00.jpg", noise(1, 20, 30, 3))
    source = FolderSource(root)
    assert source.labels == ("cat", "dog") and len(source.pictures) == 8 and not source.rejected
    manifest = prepare(settings(root), tmp_path / "out")
    assert manifest.rejected == 0 and sum(split.count for split in manifest.splits.values()) == 8


def test_a_folder_one_or_two_levels_too_high_is_refused_before_any_job(tmp_path: Path):
    inner = class_folders(tmp_path / "download" / "flowers-1.0" / "dataset")
    write(tmp_path / "download" / "README.txt", b"x")
    assert problems(inner) == []
    for high in (inner.parent, inner.parent.parent):
        (message,) = problems(high)
        assert message.endswith(f"Did you mean data.path: {inner}?")
        with pytest.raises(UserError, match=f"Did you mean data.path: {inner}"):
            open_folder(high, tmp_path)
    class_folders(inner.parent / "other")  # now two would do: neither is proposed, and both look like classes
    assert problems(inner.parent) == []
    assert FolderSource(inner.parent).warnings == [
        "the class dataset has no pictures of its own, only folders (cat, dog): if these are the classes, set "
        f"data.path to {inner}"
    ]


@pytest.mark.parametrize(
    "names", [("Train", "Test"), ("training_set", "test_set"), ("val", "test"), ("train", "valid")]
)
def test_splits_under_other_names_are_not_taken_for_classes(tmp_path: Path, names: tuple[str, str]):
    for name in names:
        class_folders(tmp_path / "photos" / name)
    (message,) = problems(tmp_path / "photos")
    assert "rename the splits to train/, val/ and test/" in message and f"{names[1]}/" in message
    with pytest.raises(UserError, match="look like splits and not like classes"):
        FolderSource(tmp_path / "photos")


def test_one_class_that_is_called_like_a_split_is_warned_of(tmp_path: Path):
    source = FolderSource(class_folders(tmp_path / "photos", classes=("cat", "dog", "test")))
    assert source.labels == ("cat", "dog", "test")
    assert source.warnings == ["the folder test/ counts as a class: move the classes into train/ if it is a split"]


def test_classes_that_differ_in_capitals_and_blanks_alone_are_warned_of(tmp_path: Path, capsys):
    names = ("Cat", "cat", "cat ", "dog", "hot dog", "hotdog", "straße")
    prepare(settings(class_folders(tmp_path / "photos", classes=names)), tmp_path / "out")
    warnings = [line for line in capsys.readouterr().out.splitlines() if "capitals" in line]
    assert warnings == [
        "warning: the classes 'Cat', 'cat', 'cat ' differ in capitals and blanks alone: give them one name if they are "
        "one class",
        "warning: the classes 'hot dog', 'hotdog' differ in capitals and blanks alone: give them one name if they are "
        "one class",
    ]


def test_a_train_folder_without_folders_says_so(tmp_path: Path):
    save(tmp_path / "photos" / "train" / "a.jpg", noise(1, 20, 30, 3))
    assert problems(tmp_path / "photos") == [
        f"{tmp_path / 'photos' / 'train'} holds no folders: it needs one folder per class"
    ]


def test_the_log_begins_with_the_classes_and_names_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = class_folders(tmp_path / "photos", classes=("cat", "dog", "owl"))
    shutil.rmtree(root / "dog")
    (root / "dog").mkdir()
    manifest = prepare(settings(root, max_rejected=0.2), tmp_path / "out")
    assert manifest.labels == ("cat", "owl")
    assert capsys.readouterr().out.splitlines()[:2] == [
        "2 classes: cat, owl; 8 pictures",
        "warning: the folder dog/ holds no picture: it makes no class",
    ]


def test_pictures_too_large_to_be_padded_end_the_run_before_all_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = class_folders(tmp_path / "photos", per_class=60)  # 30×20 pixels
    pad = Preprocessing(square(24), "pad", 3, (127.5,), (127.5,))
    read: list[int] = []
    opened = FolderSource.encoded

    def encoded(self, place):
        read.append(place)
        return opened(self, place)

    monkeypatch.setattr(FolderSource, "encoded", encoded)
    told = r"32 of the 32 pictures looked at first do not fit the 24×24 square, such as cat/00\.jpg \(30×20\).*crop"
    with pytest.raises(UserError, match=told):
        prepare(settings(root, pad), tmp_path / "out")
    assert len(read) == 32 and not (tmp_path / "out").exists()


def test_one_mean_and_std_serve_three_channels(tmp_path: Path):
    root = class_folders(tmp_path / "photos")
    assert problems(root, channels=3) == []
    assert problems(root, channels=3, mean=[1.0, 2.0, 3.0], std=[2.0]) == []
    (message,) = problems(root, channels=3, mean=[1.0, 2.0])
    assert "one value for all channels or one per channel" in message and "got 2" in message
    assert Preprocessing(square(32), "crop", 3, (127.5,), (1.0, 2.0, 3.0)).to_json()["mean"] == [127.5] * 3


def test_a_path_written_as_on_windows_is_shown_as_it_may_be_here():
    (message,) = problems(Path("C:\\Users\\me\\photos"))
    assert message.endswith("this is a Windows path: here it may be /mnt/c/Users/me/photos")
    (message,) = problems(Path("my\\photos"))
    assert message.endswith("here it may be my/photos")
