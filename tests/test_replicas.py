"""A training on several devices computes what one on a single device does, and its state moves between them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from small_data import prepared_digits

pytestmark = pytest.mark.tensorflow

PROGRAM = Path(__file__).parent / "two_devices.py"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits") / "data"
    prepared_digits(folder)
    return folder / "manifest.json"


def trained(manifest: Path, work: Path, runs: dict[str, dict]) -> tuple[dict[str, dict], str]:
    """Run the program; return what each run found, by its folder's name, and what was printed."""
    specified = [{"folder": str(work / name.partition(" ")[0]), **run} for name, run in runs.items()]
    (work / "runs.json").write_text(json.dumps(specified))
    command = [sys.executable, PROGRAM, manifest, work / "runs.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folders = {path.parent.name: json.loads(path.read_text()) for path in work.glob("*/found.json")}
    return folders, done.stdout


def assert_same(found: dict, expected: dict, relative: float) -> None:
    assert found["scales"].keys() == expected["scales"].keys() and expected["scales"]
    for name, (scale, zero_point) in expected["scales"].items():
        assert found["scales"][name] == [pytest.approx(scale, rel=relative), zero_point], name
    for name, scales in expected["weight_scales"].items():
        np.testing.assert_allclose(found["weight_scales"][name], scales, rtol=relative, err_msg=name)
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=relative)


def test_two_devices_find_the_scales_that_one_finds_with_the_whole_batch(manifest, tmp_path):
    """Batch-norm as it is, so that nothing amplifies the order in which numbers are added."""
    kinds = ("moving_average_abs_max", "range_abs_max", "moving_average_min_max")
    runs = {
        f"{kind}-{devices}": {"devices": devices, "frozen": True, "rate": 1e-5, "activations": kind}
        for kind in kinds
        for devices in (1, 2)
    }
    found, _ = trained(manifest, tmp_path, runs)
    for kind in kinds:
        assert_same(found[f"{kind}-2"], found[f"{kind}-1"], 1e-5)


def test_a_training_goes_on_with_another_number_of_devices(manifest, tmp_path):
    same = {"frozen": True, "rate": 1e-5}
    runs = {
        "whole": {"devices": 1, **same},
        "moved": {"devices": 1, "until": 4, **same},
        "moved (in float, to two)": {"devices": 2, "until": 13, **same},
        "moved (fake-quantised, back to one)": {"devices": 1, **same},
    }
    found, said = trained(manifest, tmp_path, runs)
    assert "resumed at epoch 0, step 4" in said and "resumed at epoch 1, step 3" in said
    assert_same(found["moved"], found["whole"], 1e-5)


def test_batch_norm_sees_the_whole_batch_and_mixed_precision_ends_where_quantisation_begins(manifest, tmp_path):
    runs = {
        "one": {"devices": 1},
        "two": {"devices": 2},
        "bfloat16": {"devices": 2, "precision": "mixed_bfloat16"},
        "float16": {"devices": 1, "precision": "mixed_float16", "until": 13},
        "float16 (resumed)": {"devices": 1, "precision": "mixed_float16"},
    }
    found, said = trained(manifest, tmp_path, runs)
    # with statistics of half of the batch each the loss would be another by 3 %
    np.testing.assert_allclose(found["two"]["losses"], found["one"]["losses"], rtol=0.01)
    assert found["one"]["seen"] == [{"kernels": "float32", "layers": ["float32"]}] * 2
    assert found["bfloat16"]["seen"] == [
        {"kernels": "float32", "layers": ["bfloat16"]},
        {"kernels": "float32", "layers": ["float32"]},
    ]
    assert found["float16"]["seen"] == [{"kernels": "float32", "layers": ["float32"]}], "of the resumed epoch"
    for name in ("bfloat16", "float16"):
        losses = np.array(found[name]["losses"])
        assert np.isfinite(losses).all() and losses[1, 0] < losses[0, 0], "it learns"
    assert not np.array_equal(found["bfloat16"]["losses"], found["two"]["losses"])
    assert "resumed at epoch 1, step 3" in said


def test_masks_and_clusters_are_the_same_on_every_device(manifest, tmp_path):
    same = {"frozen": True, "rate": 1e-5, "sparse": True}
    runs = {
        "one": {"devices": 1, **same},
        "two": {"devices": 2, "until": 13, **same},
        "two (resumed)": {"devices": 2, **same},
    }
    found, said = trained(manifest, tmp_path, runs)
    assert "resumed at epoch 1, step 3" in said
    assert_same(found["two"], found["one"], 1e-4)
    for key in ("zeros", "values"):
        assert found["two"][key] == found["one"][key]
    assert max(found["two"]["values"].values()) <= 16


def test_a_batch_that_cannot_be_shared_evenly_is_refused_with_one_that_can():
    from qatflow.errors import UserError
    from qatflow.training.replicas import Replicas

    replicas = Replicas([])
    replicas.count = 4
    replicas.check(128, "compress.batch_size")
    with pytest.raises(UserError, match=r"^compress.batch_size: 30 pictures a step .* by 4 GPUs; set it to 32,"):
        replicas.check(30, "compress.batch_size")
