"""A training on several devices computes what one on a single device does, and its state moves between them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from helpers.places import HELPERS, TESTS
from helpers.small_data import prepared_digits

pytestmark = pytest.mark.tensorflow

PROGRAM = HELPERS / "two_devices.py"
"""A process of its own, once for all runs: it divides its CPU into two devices before TensorFlow computes."""


KINDS = ("moving_average_abs_max", "range_abs_max", "moving_average_min_max")
EXACT = {"frozen": True, "rate": 1e-5}
"""Batch-norm as it is, so that nothing amplifies the order in which numbers are added."""
SPARSE = {**EXACT, "sparse": True}
LEARNED = {
    "lsq": {"activations": "lsq", "weights": "channel_wise_lsq", "bits": 3, **EXACT},
    "pact": {"activations": "pact", "weights": "lsq", "bits": 4, **EXACT},
}
RUNS: dict[str, dict[str, Any]] = {
    **{f"{kind}-{devices}": {"devices": devices, "activations": kind, **EXACT} for kind in KINDS for devices in (1, 2)},
    **{f"{kind}-{devices}": {"devices": devices, **run} for kind, run in LEARNED.items() for devices in (1, 2)},
    "killed": {"devices": 1, "until": 13, **LEARNED["lsq"]},
    "killed (resumed)": {"devices": 1, **LEARNED["lsq"]},
    "moved": {"devices": 1, "until": 4, **EXACT},
    "moved (in float, to two)": {"devices": 2, "until": 13, **EXACT},
    "moved (fake-quantised, back to one)": {"devices": 1, **EXACT},
    "one": {"devices": 1},
    "two": {"devices": 2},
    "bfloat16": {"devices": 2, "precision": "mixed_bfloat16"},
    "float16": {"devices": 1, "precision": "mixed_float16", "until": 13},
    "float16 (resumed)": {"devices": 1, "precision": "mixed_float16"},
    "sparse one": {"devices": 1, **SPARSE},
    "sparse two": {"devices": 2, "until": 13, **SPARSE},
    "sparse two (resumed)": {"devices": 2, **SPARSE},
}
"""By name; what stands in brackets is no part of the folder's, so that such a run goes on with the state there."""


@dataclass(frozen=True)
class Trained:
    """All runs, by one process, since most of a short run is the start of TensorFlow.

    Attributes:
        found: what each run found, by its folder's name.
        said: what each run printed, by its name.
    """

    found: dict[str, dict]
    said: dict[str, str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    work = tmp_path_factory.mktemp("replicas")
    prepared_digits(work / "data")
    folders = {name: name.partition(" (")[0] for name in RUNS}
    specified = [{"folder": str(work / folders[name]), **run} for name, run in RUNS.items()]
    (work / "runs.json").write_text(json.dumps(specified))
    command = [sys.executable, PROGRAM, work / "data" / "manifest.json", work / "runs.json"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(TESTS)})
    assert done.returncode == 0, done.stderr
    found = {path.parent.name: json.loads(path.read_text()) for path in work.glob("*/found.json")}
    assert found.keys() == set(folders.values())
    said = done.stdout.split("== a run\n")[1:]
    return Trained(found, dict(zip(RUNS, said, strict=True)))


def assert_same(found: dict, expected: dict, relative: float) -> None:
    assert found["scales"].keys() == expected["scales"].keys() and expected["scales"]
    for name, (scale, zero_point) in expected["scales"].items():
        assert found["scales"][name] == [pytest.approx(scale, rel=relative), zero_point], name
    for name, scales in expected["weight_scales"].items():
        np.testing.assert_allclose(found["weight_scales"][name], scales, rtol=relative, err_msg=name)
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=relative)


def test_two_devices_find_the_scales_that_one_finds_with_the_whole_batch(trained):
    for kind in (*KINDS, *LEARNED):
        assert_same(trained.found[f"{kind}-2"], trained.found[f"{kind}-1"], 1e-5)


def test_trained_scales_go_on_after_a_kill_with_the_same_bits(trained):
    assert "resumed at epoch 1, step 3" in trained.said["killed (resumed)"]
    for key in ("scales", "weight_scales", "losses", "integers"):
        assert trained.found["killed"][key] == trained.found["lsq-1"][key], key


def test_a_training_goes_on_with_another_number_of_devices(trained):
    assert "resumed at epoch 0, step 4" in trained.said["moved (in float, to two)"]
    assert "resumed at epoch 1, step 3" in trained.said["moved (fake-quantised, back to one)"]
    assert_same(trained.found["moved"], trained.found["moving_average_abs_max-1"], 1e-5)


def test_batch_norm_sees_the_whole_batch_and_mixed_precision_ends_where_quantisation_begins(trained):
    found = trained.found
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
    assert "resumed at epoch 1, step 3" in trained.said["float16 (resumed)"]


def test_masks_and_clusters_are_the_same_on_every_device(trained):
    one, two = (trained.found[f"sparse {devices}"] for devices in ("one", "two"))
    assert "resumed at epoch 1, step 3" in trained.said["sparse two (resumed)"]
    assert_same(two, one, 1e-4)
    for key in ("zeros", "values"):
        assert two[key] == one[key]
    assert two["frozen"] == one["frozen"] and two["values"].pop("conv2d_1/kernel") > 16, "a frozen layer stays"
    assert max(two["values"].values()) <= 16


def test_a_batch_that_cannot_be_shared_evenly_is_refused_with_one_that_can():
    from qatflow.base.errors import UserError
    from qatflow.training.replicas import Replicas

    replicas = Replicas([])
    replicas.count = 4
    replicas.check(128, "compress.batch_size")
    with pytest.raises(UserError, match=r"^compress.batch_size: 30 pictures per step .* by 4 GPUs; set it to 32,"):
        replicas.check(30, "compress.batch_size")
