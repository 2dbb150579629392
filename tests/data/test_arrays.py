"""The source `arrays`: values that are no pictures, kept exactly from the file to the tensor."""

import os
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.killed_renaming import KILLED
from helpers.places import ROOT
from helpers.section_options import option
from qatflow.base.errors import UserError
from qatflow.base.picture_size import PictureSize, square
from qatflow.config.checks.config import check_config
from qatflow.config.sections.config import Config
from qatflow.data.manifest import Manifest
from qatflow.data.picture import RejectedError
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing
from qatflow.data.reader import calibration, open_manifest, records, tensors
from qatflow.data.sources.array_files import shape_problem
from qatflow.data.sources.arrays import ArraySource, open_arrays
from qatflow.data.sources.source_files import named_files

SPEC = Preprocessing(PictureSize(49, 10), "none", 1, (-30.0,), (7.0,))
COUNT = 60


def spectrograms(count: int = COUNT, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(-30, 7, (count, 49, 10)).astype(np.float32)


def labels(count: int = COUNT) -> np.ndarray:
    return np.arange(count) % 3


def save(folder: Path, **arrays: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    return folder


def opened(path: Path, downloads: Path) -> ArraySource:
    return open_arrays(path, downloads)


def read(source: ArraySource, index: int) -> np.ndarray:
    return np.frombuffer(source.encoded(index).content, "<f4").reshape(source.array_shape)


def settings(path: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "validation": 12,
        "test": 9,
        "calibration": 6,
        "shards": 3,
        "max_rejected": 0.1,
        "seed": 1,
    } | changes
    every: dict[str, Any] = {"name": "sounds", "source": "arrays", "path": path, "preprocessing": SPEC} | values
    return Settings(**every)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("sounds"), inputs=spectrograms(), labels=labels())


@pytest.fixture(scope="module")
def sounds(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return prepare(settings(folder), tmp_path_factory.mktemp("data") / "sounds")


@pytest.mark.parametrize("kind", ["folder", "npz", "compressed"])
def test_each_split_has_its_arrays_in_a_folder_or_a_npz_file(tmp_path: Path, kind: str):
    train, val, test = (spectrograms(6, seed) for seed in range(3))
    arrays: dict[str, Any] = {
        "x_train": train,
        "y_train": labels(6),
        "val_inputs": val,
        "val_labels": labels(6)[:, None],
        "test_inputs": test,
        "test_labels": labels(6).astype(np.uint8),
        "notes": np.array([None]),
    }
    path = tmp_path / "all.npz"
    if kind == "folder":
        path = save(tmp_path / "arrays", **arrays)
    else:
        (np.savez if kind == "npz" else np.savez_compressed)(path, **arrays)
    source = opened(path, tmp_path / "downloads")
    assert source.labels == ("0", "1", "2") and source.array_shape == (49, 10)
    assert [p.split for p in source.pictures] == ["train"] * 6 + ["validation"] * 6 + ["test"] * 6
    assert [p.label for p in source.pictures] == [0, 1, 2] * 6
    assert [source.pictures[i].key for i in (0, 7, 17)] == ["x_train[0]", "val_inputs[1]", "test_inputs[5]"]
    for i, expected in enumerate(np.concatenate([train, val, test])):
        assert np.array_equal(read(source, i).view(np.uint32), expected.view(np.uint32))
    assert source.warnings == ["notes.npy is not read: its name is none of those in docs/data.md"]
    if kind == "compressed":  # zeros shrink a thousandfold
        np.savez_compressed(tmp_path / "zeros.npz", inputs=np.zeros((1000, 200, 100), "f4"), labels=labels(1000))
        zeros = opened(tmp_path / "zeros.npz", tmp_path / "others")
        assert (tmp_path / "zeros.npz").stat().st_size < 200_000 and len(zeros.pictures) == 1000
    files = named_files("arrays", str(path))
    assert files == [str(file) for file in source.inputs] == ([str(path)] if kind != "folder" else files)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f2", "i2", "u2", "i1", "u1", "?"])
def test_types_that_float32_holds_exactly_are_taken(tmp_path: Path, dtype: str):
    values = np.asfortranarray(np.arange(-40, 40).reshape(4, 5, 4).astype(dtype))
    source = opened(save(tmp_path / "a", inputs=values, labels=np.array(["no", "yes", "no", "maybe"])), tmp_path)
    assert source.labels == ("maybe", "no", "yes") and [p.label for p in source.pictures] == [1, 2, 1, 0]
    for i in range(4):
        assert read(source, i).tolist() == values[i].astype(float).tolist()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": spectrograms()}, "inputs.npy is there and labels.npy is missing"),
        ({"other": labels()}, "it holds no training arrays: they are called inputs and labels, or train_inputs"),
        ({"test_inputs": spectrograms(3), "test_labels": labels(3)}, "it holds no training arrays"),
        ({"inputs": spectrograms().astype("f8"), "labels": labels()}, "inputs is float64, and float32 cannot hold"),
        ({"inputs": labels().reshape(-1, 2), "labels": labels(30)}, "inputs is int64, and float32 cannot hold"),
        (
            {"inputs": labels().astype("f4"), "labels": labels()},
            r"inputs has the shape \[60\], and must be \[inputs, …\]",
        ),
        ({"inputs": spectrograms(0), "labels": labels(0)}, "with at least one input"),
        ({"inputs": np.float32(3), "labels": labels()}, r"inputs has the shape \[\], and must be \[inputs, …\]"),
        ({"inputs": np.float32(3), "labels": np.int64(0)}, r"inputs has the shape \[\], and must be"),
        ({"inputs": np.zeros(0, "f4"), "labels": np.zeros(0, int)}, r"inputs has the shape \[0\], and must be"),
        ({"inputs": spectrograms(), "labels": np.int64(3)}, r"labels has the shape \[\], and must have one label for"),
        ({"inputs": spectrograms(), "labels": np.zeros((60, 0), int)}, r"labels has the shape \[60, 0\], and must"),
        ({"inputs": spectrograms(), "labels": labels(59)}, r"labels has the shape \[59\], and must have one label for"),
        ({"inputs": spectrograms(), "labels": np.eye(60)}, "labels is float64, and must be whole numbers or texts"),
        ({"inputs": spectrograms(), "labels": np.zeros(60, int)}, "the training inputs have 1 class: at"),
        (
            {"inputs": spectrograms(), "labels": -(labels() % 2)},
            r"have 1 class: at least two are needed; labels\[1\] is -1, and numbers of classes start at 0",
        ),
        ({"inputs": spectrograms(), "labels": labels() * 2}, r"labels\[2\]: the label 4, but no training picture"),
        (
            {"inputs": spectrograms(), "labels": labels(), "x_train": spectrograms(), "y_train": labels()},
            "inputs and x_train are both for train: keep one",
        ),
        (
            {"inputs": spectrograms(), "labels": labels(), "x_test": spectrograms()[:, :8], "y_test": labels()},
            r"the inputs have different shapes: inputs \[49, 10\], x_test \[8, 10\]",
        ),
        ({"inputs": spectrograms().astype("f8"), "labels": labels(3)}, "cannot hold.*labels has the shape"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused_with_all_reasons(tmp_path: Path, arrays: dict, message: str):
    with pytest.raises(UserError, match=message):
        opened(save(tmp_path / "a", **arrays), tmp_path)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def test_objects_are_never_unpickled_and_damaged_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    bomb = np.empty(60, object)
    bomb[:] = [Bomb() for _ in range(60)]
    folder = save(Path("a"), labels=labels())
    np.save(folder / "inputs.npy", bomb, allow_pickle=True)
    with pytest.raises(UserError, match=r"inputs\.npy holds Python objects, which are never unpickled"):
        opened(folder, tmp_path)
    np.savez("b.npz", inputs=bomb, labels=labels())
    with pytest.raises(UserError, match="holds Python objects"):
        opened(Path("b.npz"), tmp_path)
    assert not Path("exploded").exists()
    np.save(folder / "inputs.npy", spectrograms())
    whole = (folder / "inputs.npy").read_bytes()
    for content, message in (
        (whole[:-4], r"inputs\.npy is cut off: it has 117,724 of 117,728 bytes"),
        (b"\x93NUMPY", "is not a .npy file"),
        (b"", "is not a .npy file"),
    ):
        (folder / "inputs.npy").write_bytes(content)
        with pytest.raises(UserError, match=message):
            opened(folder, tmp_path)
    Path("c.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"c\.npz cannot be read as a folder"):
        opened(Path("c.npz"), tmp_path)


def test_values_that_are_not_finite_and_labels_of_no_class_are_rejected_and_listed(tmp_path: Path):
    values, numbers = spectrograms(), labels()
    values[7, 3, 2], values[11, 0, :4], values[13, 1, 1] = np.nan, np.inf, -np.inf
    numbers[[20, 21]] = -1, 3
    (save(tmp_path / "a", inputs=values, labels=numbers) / "labels.txt").write_text("yes\nno\nup\n")
    source = opened(tmp_path / "a", tmp_path)
    assert source.labels == ("yes", "no", "up") and len(source.pictures) == 58
    with pytest.raises(RejectedError, match="1 of its 490 values are NaN or infinite"):
        source.encoded(7)
    manifest = prepare(settings(tmp_path / "a"), tmp_path / "data" / "sounds", cores=2)
    listed = (manifest.folder / "rejected.csv").read_text().splitlines()
    assert sorted(listed[1:]) == [
        "inputs[11],4 of its 490 values are NaN or infinite",
        "inputs[13],1 of its 490 values are NaN or infinite",
        "inputs[20],its label '-1' is none of the classes: labels.txt does not name it",
        "inputs[21],its label '3' is none of the classes: labels.txt does not name it",
        "inputs[7],1 of its 490 values are NaN or infinite",
    ]
    assert manifest.rejected == 5 and sum(split.count for split in manifest.splits.values()) == 55
    with pytest.raises(UserError, match="5 of 60 pictures cannot be used"):
        prepare(settings(tmp_path / "a", max_rejected=0.05), tmp_path / "data" / "sounds")


def test_an_input_of_two_splits_is_rejected_as_an_array(tmp_path: Path):
    values = spectrograms()
    values[41] = values[3]
    arrays = {"inputs": values[:40], "labels": labels(40), "test_inputs": values[40:], "test_labels": labels(20)}
    manifest = prepare(settings(save(tmp_path / "a", **arrays)), tmp_path / "data" / "sounds")
    (line,) = (manifest.folder / "rejected.csv").read_text().splitlines()[1:]
    assert ",the same array is among those of test: test_inputs[1]" in line


def test_records_hold_the_bits_of_the_file_and_tensors_are_only_normalised(sounds: Manifest):
    values, numbers = spectrograms(), labels()
    seen = set()
    for split in ("train", "validation", "test"):
        inputs, found = tensors(sounds, split)
        assert inputs.shape == (sounds.splits[split].count, 49, 10, 1) and inputs.dtype == np.float32
        for record, tensor, label in zip(records(sounds, split), inputs, found, strict=True):
            row = int(record.key.removeprefix("inputs[").removesuffix("]"))
            assert record.feature == "array/float32" and record.content == values[row].tobytes()
            expected = (values[row] - np.float32(-30)) * (np.float32(1) / np.float32(7))
            assert np.array_equal(tensor[..., 0], expected) and label == numbers[row]
            seen.add(row)
    assert seen == set(range(COUNT))
    assert calibration(sounds).shape == (6, 49, 10, 1)
    again = open_manifest(sounds.folder)
    assert again.preprocessing == SPEC and again.preprocessing.to_json()["size"] == [49, 10]


@pytest.mark.tensorflow
def test_training_sees_the_same_bits_in_memory_and_streamed(sounds: Manifest):
    from qatflow.data.pipeline import evaluation_batches, training_data

    expected, numbers = tensors(sounds, "train")
    for in_memory in (0, 10**9):
        batches = list(evaluation_batches(sounds, "train", batch_size=8, in_memory=in_memory))
        assert np.array_equal(np.concatenate([x for x, _ in batches]), expected)
        data = training_data(sounds, batch_size=13, seed=1, augmentation="none", in_memory=in_memory)
        positions = data.positions(2)
        images, found = (np.concatenate(part) for part in zip(*data.epoch(2), strict=True))
        assert np.array_equal(images, expected[positions]) and np.array_equal(found, numbers[positions])


def test_a_window_of_sensors_may_have_its_axes_of_one_or_not(tmp_path: Path):
    assert shape_problem((128, 3), PictureSize(128, 1), 3) == shape_problem((128, 1, 3), PictureSize(128, 1), 3) == ""
    assert shape_problem((128,), PictureSize(128, 1), 1) == shape_problem((128, 3), PictureSize(128, 3), 1) == ""
    assert shape_problem((49, 10), PictureSize(10, 49), 1).endswith(
        "set size [49, 10] and channels 1, or size [49, 1] and channels 10"
    )
    assert shape_problem((49, 10, 2), PictureSize(49, 10), 1).endswith("set size [49, 10] and channels 2")
    assert "more than height, width and channels" in shape_problem((2, 3, 4, 5), square(4), 1)
    windows = np.random.default_rng(1).normal(size=(COUNT, 128, 3)).astype(np.float32)
    folder = save(tmp_path / "a", inputs=windows, labels=labels())
    spec = Preprocessing(PictureSize(128, 1), "none", 3, (0.0, 1.0, 2.0), (1.0,))
    manifest = prepare(settings(folder, preprocessing=spec), tmp_path / "data" / "windows")
    record = next(records(manifest, "test"))
    tensor = tensors(manifest, "test", 1)[0][0]
    row = int(record.key.removeprefix("inputs[").removesuffix("]"))
    assert np.array_equal(tensor, (windows[row] - np.arange(3, dtype=np.float32))[:, None])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"preprocessing": replace(SPEC, size=square(32))},
            r"shape \[49, 10\], and size 32 with channels 1 does not fit",
        ),
        ({"preprocessing": Preprocessing(square(32), "pad", 1, (0,), (1,))}, "resize `pad` is for pictures"),
        ({"source": "digits", "path": None, "validation": 99, "test": 99}, "resize `none` is for arrays"),
    ],
)
def test_arrays_and_pictures_are_not_taken_for_one_another(folder: Path, tmp_path: Path, changes: dict, message: str):
    with pytest.raises(UserError, match=message):
        prepare(replace(settings(folder), **changes), tmp_path / "out")


def test_large_arrays_are_not_read_into_memory(tmp_path: Path):
    path = save(tmp_path / "a", labels=labels(4096))
    values = np.lib.format.open_memmap(
        path / "inputs.npy", "w+", np.float32, (4096, 64, 128)
    )  # 134 MB, not on the disk
    values[4095, 63, 127] = 5
    del values
    tracemalloc.start()
    source = opened(path, tmp_path)
    assert read(source, 4095)[63, 127] == 5
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


def test_a_preparation_killed_in_between_goes_on_to_the_same_bytes(folder: Path, sounds: Manifest, tmp_path: Path):
    names = ("name", "source", "path", "preprocessing", "validation", "test", "calibration", "shards", "max_rejected")
    section = {name: value for name, value in settings(folder).to_json().items() if name in names}
    program = ROOT / "workflow" / "scripts" / "prepare_data.py"
    call: list[str | Path] = [program, *option("data", **section), "--seed", "1", "--output", tmp_path / "sounds"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    first = subprocess.run([sys.executable, "-c", KILLED, "4", *call], env=environment, check=False)
    assert first.returncode == -signal.SIGKILL and not (tmp_path / "sounds").exists()
    kept = {path.name: path.stat().st_ino for path in (tmp_path / ".prepare").rglob("[!.]*.tfrecord")}
    assert subprocess.run([sys.executable, *call], env=environment, check=False).returncode == 0
    assert kept and {name: (tmp_path / "sounds" / name).stat().st_ino for name in kept} == kept
    assert {path.name: path.read_bytes() for path in (tmp_path / "sounds").iterdir()} == {
        path.name: path.read_bytes() for path in sounds.folder.iterdir()
    }


def problems(data: dict[str, Any], **more: Any) -> list[str]:
    preprocessing = {"size": [49, 10], "resize": "none"} | data.pop("preprocessing", {})
    plain = {"compress": {"augmentation": "none"}, "pretrained": {"train": {"augmentation": "none"}}}
    values = {"source": "arrays", "validation": 9, "test": 9, "calibration": 6} | data
    config = Config.model_validate(
        {"device": {"pictures": 3}, "model": {"architecture": "MobileNetV2"}}
        | plain
        | {"data": values | {"preprocessing": preprocessing}}
        | more
    )
    return [f"{'.'.join(map(str, problem.keys[0]))}: {problem.message}" for problem in check_config(config)]


def test_the_configuration_is_checked_before_any_job(folder: Path, tmp_path: Path):
    path = str(folder)
    assert problems({"path": path}) == []
    config = Config.model_validate({"data": {"preprocessing": {"resize": "none"}}}).data.preprocessing
    assert config.normalisation == ([0.0], [1.0])
    wrong = save(tmp_path / "wrong", inputs=spectrograms().astype("f8"), labels=labels())
    short = save(tmp_path / "short", inputs=spectrograms(), labels=labels())
    os.truncate(short / "inputs.npy", 500)
    for data, more, message in (
        ({}, {}, "data.path: is missing: source 'arrays' needs the folder of .npy files, or the .npz file"),
        ({"path": str(tmp_path / "a.npz")}, {}, f"data.path: the file {tmp_path}/a.npz does not exist"),
        ({"path": str(short)}, {}, f"data.path: {short}/inputs.npy is cut off: it has "),
        ({"path": str(wrong)}, {}, f"data.path: {wrong}: inputs is float64, and float32 cannot hold"),
        ({"path": path, "preprocessing": {"size": 32}}, {}, "data.preprocessing.size: the inputs have the shape [49,"),
        ({"path": path, "preprocessing": {"resize": "crop"}}, {}, "data.preprocessing.resize: 'crop' is for pictures"),
        ({"path": path, "preprocessing": {"order": "bgr"}}, {}, "data.preprocessing.order: is for pictures"),
        ({"path": path, "validation": 51}, {}, "data.validation: takes all 60 training inputs"),
        ({"path": path, "calibration": 43}, {}, "data.calibration: must be at most 42"),
        ({"path": path}, {"compress": {}}, "compress.augmentation: 'flip' changes pictures: set it to 'none'"),
        ({"path": path}, {"pretrained": {}}, "pretrained.train.augmentation: 'flip' changes pictures"),
        ({"source": "digits"}, {}, "data.preprocessing.resize: 'none' is for source 'arrays'"),
        ({"source": "digits", "preprocessing": {"channels": 2}}, {}, "data.preprocessing.channels: must be 1 or 3 for"),
        ({"source": "digits", "preprocessing": {"std": [1e-3]}}, {}, "data.preprocessing.std.0: must be from 0.01 to"),
    ):
        found = problems(data, **more)
        assert any(line.startswith(message) for line in found), (message, found)
