"""Weights from HDF5 files: what fits is taken bit for bit, what does not is named, and no code in a file is run."""

import os
import pickle
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from helpers.little_space import ROOT, python
from helpers.restricted import RESTRICTED
from qatflow.base.errors import UserError
from qatflow.models.saved.weights_file import open_weights
from qatflow.pretrained.fit import Expected, fit

SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "first": {"kernel": (3, 3, 1, 4)},
    "norm": {"gamma": (4,), "beta": (4,), "moving_mean": (4,), "moving_variance": (4,)},
    "second": {"kernel": (3, 3, 4, 4)},
    "out": {"kernel": (4, 2), "bias": (2,)},
}
KINDS = ["conv2d", "batch_normalization", "conv2d", "dense"]


def arrays(**changes: dict[str, tuple[int, ...]] | None) -> dict[str, dict[str, np.ndarray]]:
    random = np.random.default_rng(3)
    shapes = {name: weights for name, weights in (SHAPES | changes).items() if weights is not None}
    return {
        name: {role: random.normal(size=shape).astype(np.float32) for role, shape in weights.items()}
        for name, weights in shapes.items()
    }


EXPECTED = [Expected(name, tuple(weights), tuple(weights.values())) for name, weights in SHAPES.items()]


def in_order(path: Path, values: dict[str, dict[str, np.ndarray]], below: str = "", pieces: int = 0) -> Path:
    """Write what tf-keras' save_weights("x.h5") writes; below "model_weights" it is what save("x.h5") does."""
    with h5py.File(path, "w") as file:
        root = file.require_group(below) if below else file
        names = ["image", *values, "relu"]
        if pieces:
            for number, part in enumerate(np.array_split(np.array(names, "S"), pieces)):
                root.attrs[f"layer_names{number}"] = part
        else:
            root.attrs["layer_names"] = names
        for name in names:
            group = root.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{role}:0" for role in values.get(name, {})]
            for role, array in values.get(name, {}).items():
                group[f"{name}/{role}:0"] = array
    return path


def by_kind(path: Path, values: dict[str, dict[str, np.ndarray]]) -> Path:
    """Write what save_weights("x.weights.h5") writes."""
    with h5py.File(path, "w") as file:
        names = {"first": "conv2d", "norm": "batch_normalization", "second": "conv2d_1", "out": "dense"}
        file.create_group("layers/re_lu/vars")
        for name, weights in values.items():
            group = file.create_group(f"layers/{names.get(name, name)}/vars")
            for number, array in enumerate(weights.values()):
                group[str(number)] = array
    return path


def loaded(path: Path) -> dict[str, np.ndarray]:
    with open_weights(path, KINDS) as saved:
        found = fit(EXPECTED, saved.layers)
    return {
        f"{layer.name}/{role}": array
        for layer, arrays in zip(EXPECTED, found, strict=True)
        for role, array in zip(layer.roles, arrays, strict=True)
    }


@pytest.mark.parametrize("layout", ["in order", "whole model", "in pieces", "by kind"])
def test_weights_are_taken_bit_for_bit(tmp_path: Path, layout: str):
    values, path = arrays(), tmp_path / "w.h5"
    if layout == "by kind":
        by_kind(path, values)
    else:
        in_order(path, values, "model_weights" if layout == "whole model" else "", 3 if layout == "in pieces" else 0)
    found = loaded(path)
    assert set(found) == {f"{name}/{role}" for name, weights in SHAPES.items() for role in weights}
    for name, weights in values.items():
        for role, array in weights.items():
            assert found[f"{name}/{role}"].tobytes() == array.tobytes()


def test_more_than_ten_layers_of_a_kind_are_counted_as_numbers(tmp_path: Path):
    many = [Expected(f"c{i}", ("kernel",), ((1, 1, 1, 1),)) for i in range(12)]
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for i in range(12):
            file[f"layers/conv2d{f'_{i}' if i else ''}/vars/0"] = np.full((1, 1, 1, 1), i, np.float32)
    with open_weights(tmp_path / "w.h5", ["conv2d"] * len(many)) as saved:
        found = fit(many, saved.layers)
    assert [kernel.item() for (kernel,) in found] == list(range(12))


MISMATCHES = [
    (
        {"second": {"kernel": (3, 3, 4, 8)}, "out": {"kernel": (8, 2), "bias": (2,)}},
        r"layer second: its kernel has shape \(3, 3, 4, 4\) in the model, and \(3, 3, 4, 8\) in the file's layer ",
    ),
    (
        {"norm": SHAPES["norm"] | {"moving_mean": (5,)}},
        r"layer norm: its moving_mean has shape \(4,\) in the model, and \(5,\) in the file's layer ",
    ),
    (
        {"out": {"kernel": (4, 2)}},
        r"layer out has weights of shape \(4, 2\), \(2,\) in the model, and \(4, 2\) in the file's layer ",
    ),
    ({"out": None}, r"layer out has shape \(4, 2\), \(2,\) in the model, and the file has no layer for it"),
    ({"more": {"kernel": (7, 7)}}, r"the file's layer more has shape \(7, 7\), and the model has no layer for it"),
]


@pytest.mark.parametrize(("changes", "message"), MISMATCHES)
@pytest.mark.parametrize("layout", [in_order, by_kind])
def test_the_first_layer_that_does_not_fit_is_named_with_both_shapes(tmp_path: Path, layout, changes, message):
    with pytest.raises(UserError, match=f"^{message}"):
        loaded(layout(tmp_path / "w.h5", arrays(**changes)))


def test_a_shape_that_does_not_fit_is_told_before_its_values_are_read(tmp_path: Path):
    path = in_order(tmp_path / "w.h5", arrays())
    with h5py.File(path, "a") as file:
        del file["first/first/kernel:0"]
        file.create_dataset("first/first/kernel:0", (10**6, 10**6, 10**3), "f4", chunks=(1, 1, 1))  # 4 petabytes of 0
    with pytest.raises(UserError, match=r"layer first: its kernel .* \(1000000, 1000000, 1000\)"):
        loaded(path)


def test_values_that_are_no_numbers_are_told(tmp_path: Path):
    values = arrays()
    values["norm"]["beta"][2] = np.nan
    with pytest.raises(UserError, match=r"norm/beta has values that are NaN or infinite \(\d+ of \d+\)"):
        loaded(in_order(tmp_path / "w.h5", values))


def test_weights_that_lie_in_another_file_are_not_read(tmp_path: Path):
    (tmp_path / "secret").write_bytes(bytes(1000))
    in_order(tmp_path / "other.h5", arrays())
    for kind in ("link", "raw", "virtual"):
        path = in_order(tmp_path / f"{kind}.h5", arrays())
        with h5py.File(path, "a") as file:
            del file["first/first/kernel:0"]
            if kind == "link":
                file["first/first/kernel:0"] = h5py.ExternalLink("other.h5", "first/first/kernel:0")
            elif kind == "raw":
                outside = [(str(tmp_path / "secret"), 0, 144)]
                file.create_dataset("first/first/kernel:0", (3, 3, 1, 4), "f4", external=outside)
            else:
                layout = h5py.VirtualLayout((3, 3, 1, 4), "f4")
                layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "first/first/kernel:0", (3, 3, 1, 4))
                file.create_virtual_dataset("first/first/kernel:0", layout)
        with pytest.raises(UserError, match="the weights of layer first are in another file"):
            loaded(path)


def test_what_is_no_array_of_floats_is_refused(tmp_path: Path):
    for value in (np.zeros((3, 3, 1, 4), np.int32), [b"text"] * 3, None):
        path = in_order(tmp_path / "w.h5", arrays())
        with h5py.File(path, "a") as file:
            del file["first/first/kernel:0"]
            if value is None:
                file.create_group("first/first/kernel:0")
            else:
                file["first/first/kernel:0"] = value
        with pytest.raises(
            UserError, match=r"layer first holds something other than arrays of floats: accepted are an HDF5 file"
        ):
            loaded(path)


class Touch:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def other_files(folder: Path, mark: Path) -> Iterator[tuple[Path, str]]:
    pickled = folder / "model.h5"
    pickled.write_bytes(pickle.dumps(Touch(mark)))
    yield pickled, "is neither an HDF5 file nor a .keras file"
    array = folder / "array.h5"
    np.save(folder / "array.npy", np.array([Touch(mark)], object))
    (folder / "array.npy").rename(array)
    yield array, "is neither an HDF5 file nor a .keras file"
    archive = folder / "model.keras"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data.pkl", pickle.dumps(Touch(mark)))
    yield archive, "is a zip archive, but not a .keras file"
    (folder / "saved_model").mkdir()
    yield folder / "saved_model", "is a folder without saved_model.pb"
    yield folder / "none.h5", "no such file"
    page = folder / "page.h5"
    page.write_text("<html>not found</html>")
    yield page, "is neither an HDF5 file nor a .keras file"
    with h5py.File(folder / "empty.h5", "w") as file:
        file["array"] = np.zeros(3)
    yield folder / "empty.h5", "holds no weights of Keras layers"


def test_models_in_other_forms_are_told_what_is_accepted_and_their_code_is_not_run(tmp_path: Path):
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(Touch(mark)))
    mark.rmdir()  # the trap works
    for path, reason in other_files(tmp_path, mark):
        with pytest.raises(UserError, match=rf"{path.name}:? {reason}.*accepted are an HDF5 file"):
            loaded(path)
    assert not mark.exists()


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("layout", [in_order, by_kind])
def test_a_file_that_is_cut_off_is_one_message(tmp_path: Path, layout, share: float):
    path = layout(tmp_path / "w.h5", arrays())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UserError, match=r"w\.h5 is damaged"):
        loaded(path)


def test_an_array_whose_own_checksum_is_wrong_is_one_message(tmp_path: Path):
    values = arrays()
    path = in_order(tmp_path / "w.h5", values)
    with h5py.File(path, "a") as file:
        del file["second/second/kernel:0"]
        file.create_dataset("second/second/kernel:0", data=values["second"]["kernel"], fletcher32=True)
    content, inside = path.read_bytes(), values["second"]["kernel"].tobytes()
    at = content.rindex(inside)
    path.write_bytes(content[: at + 9] + bytes([content[at + 9] ^ 1]) + content[at + 10 :])
    with pytest.raises(UserError, match=r"w\.h5 is damaged .*fetch or save it again"):
        loaded(path)


def test_a_file_that_may_not_be_read_is_one_message(tmp_path: Path):
    path = in_order(tmp_path / "w.h5", arrays())
    path.chmod(0)
    code = f"""
from pathlib import Path; from qatflow.models.saved.weights_file import open_weights
with open_weights(Path({str(path)!r}), []): pass
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    ran = subprocess.run([*RESTRICTED, *python(code)], capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 1
    assert ran.stderr == f"error: {path} cannot be read: Permission denied: make it readable\n"
