"""Whether a model that came quantised is packed: damaged files are told from mistakes of ours."""

from pathlib import Path

import numpy as np
import pytest

from helpers.graphs import small_graph
from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.config.load import load_experiments
from qatflow.optimize import narrow
from qatflow.optimize.narrow import kernel_widths
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert
from qatflow.workflow.plan import Plan

SETTINGS = QuantSettings({".*": 4}, 8, "abs_max", "moving_average_abs_max")


@pytest.fixture(scope="module")
def content() -> bytes:
    return convert(as_if_quantised(small_graph(), SETTINGS)).content


def plan(model: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(ROOT)
    files = [Path("config/config.yaml"), Path("config/test.yaml")]
    return Plan.of(load_experiments(files, {"quantized_model": {"file": str(model)}}))


def test_any_damage_is_one_message(content: bytes, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path, damaged = tmp_path / "model.tflite", 0
    for number in range(400):
        changed = bytearray(content if number % 4 else content[: rng.integers(9, len(content))])
        for place in rng.integers(8, len(changed), 3):
            changed[place] = rng.integers(0, 256)
        path.write_bytes(changed)
        try:
            kernel_widths(path)
        except UserError as error:
            damaged += 1
            assert "\n" not in str(error) and "model.tflite" in str(error)
    assert damaged > 200


def test_a_damaged_model_is_planned_and_a_mistake_of_ours_is_seen(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    assert plan(path, monkeypatch).packed() == ["digits_quant"]
    path.write_bytes(content[: len(content) // 2])
    assert plan(path, monkeypatch).packed() == []  # the job that adopts it says so
    path.write_bytes(content)
    monkeypatch.setattr(narrow, "packed_width", lambda values: values.no_such_thing)
    with pytest.raises(AttributeError, match="no_such_thing"):
        plan(path, monkeypatch).packed()
