"""Long timings: tries of so many runs and seconds with pauses, and whether they agree."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.device_fixtures import arm_bundle, arm_runtime, require  # noqa: F401
from helpers.device_reports import description, report
from helpers.tiny_model import write_model
from qatflow.device.build.bundle import open_bundle
from qatflow.device.interface import DeviceSettings
from qatflow.device.results.device_gate import device_outcomes
from qatflow.device.results.report import DeviceReport, Models, Try, read_report, write_report
from qatflow.device.results.warnings import not_stable, ratio
from qatflow.device.run.demo import Demo
from qatflow.device.run.inputs import ModelFolder
from qatflow.device.run.registry import open_device
from qatflow.device.run.timing import long_timing, time_long
from qatflow.device.timing_rules import RULES
from qatflow.report.on_device import on_device
from qatflow.report.verdict import _speed

MLPERF = RULES["mlperf_mobile"]


def test_the_rules_are_those_of_mlperf_mobile() -> None:
    """Its rules 4.0: at least 1,024 samples and 60 s, 90th percentile; within 5 % in 5 tries with 5 minutes between."""
    assert (MLPERF.min_runs, MLPERF.min_seconds, MLPERF.tries) == (1024, 60, 5)
    assert (MLPERF.pause_seconds, MLPERF.max_spread_percent) == (300, 5)


@pytest.mark.device
def test_each_try_has_its_runs_and_seconds_and_there_are_pauses(arm_bundle: Path, tmp_path: Path) -> None:  # noqa: F811
    require("qemu-aarch64-static")
    rules = replace(MLPERF, min_runs=20, min_seconds=1, tries=2, pause_seconds=0.5)
    models = [ModelFolder(name, write_model(tmp_path / name, form=name)) for name in ("int8", "float")]
    bundle = open_bundle(arm_bundle)
    with open_device(DeviceSettings("emulator", "emulator")) as device:
        demo = Demo(device, bundle)
        for model in models:
            demo.push_model(model.sent, model.name)
        began = time.monotonic()
        timings = time_long(demo, device, models, 1, 1, rules)
        took = time.monotonic() - began
    assert len(timings) == 2 and took >= 2 * 2 * 1 + 0.5
    for timing in timings:
        assert len(timing.tries) == 2
        assert all(one.runs >= 20 and one.seconds >= 1 and one.p90_ms >= one.median_ms for one in timing.tries)
        assert timing.p90_ms == max(one.p90_ms for one in timing.tries)


def timed(*p90: float) -> DeviceReport:
    """A run whose int8 model has these 90th percentiles, and whose float model takes twice as long each time."""
    found = report(device=description())
    assert found.models.float is not None
    both = {
        name: long_timing(MLPERF, 1, [Try(1024, 61.0, 0.9 * ms, factor * ms, None) for ms in p90])
        for name, factor in (("int8", 1), ("float", 2))
    }
    models = Models(
        float=replace(found.models.float, long_timing=both["float"]),
        int8=replace(found.models.int8, long_timing=both["int8"]),
    )
    return replace(found, models=models, ratio=ratio(models), warnings=tuple(not_stable(models, found.device)))


@pytest.mark.parametrize(("last", "stable"), [(4.2, True), (4.21, False)])
def test_tries_that_differ_by_more_than_five_percent_are_not_stable(tmp_path: Path, last: float, stable: bool) -> None:
    found = timed(4.0, 4.1, 4.0, 4.0, last)
    long = found.models.int8.long_timing
    assert long is not None and long.stable is stable and long.p90_ms == last
    assert long.spread_percent == pytest.approx(100 * (last / 4 - 1))
    assert len(found.warnings) == (0 if stable else 2)
    write_report(tmp_path / "report.json", found)
    assert read_report(tmp_path / "report.json") == found


def test_limits_ratios_and_words_are_of_the_slowest_try(tmp_path: Path) -> None:
    found = timed(4.0, 4.1, 5.0, 4.0, 4.0)
    assert found.ratio is not None and found.ratio.latency == 2.0
    (closed,) = device_outcomes(found, {"max_latency_ms": 4.9}, tmp_path)
    assert closed.state == "closed" and closed.measured == 5.0
    assert (
        "5.000 ms per picture on phone with 1 thread (90th percentile, slowest of 5 tries, not stable)" in closed.said
    )
    assert "The times of int8 on phone are not stable: the 90th percentiles of 5 tries differ by 25.0 %" in str(
        found.warnings
    )
    shown = on_device(found, "")
    figure = next(one for one in shown.figures if one.name == "90th percentile, slowest of 5 tries, 1 thread, ms")
    assert (figure.float_model, figure.int8_model, figure.ratio) == (10.0, 5.0, 2.0)
    assert "int8 by mlperf_mobile: tries of at least 1,024 runs and 60 s, 300 s apart; 90th" in str(shown.conditions)
    assert "spread 25.0 %, not stable (up to 5 %)" in str(shown.conditions)
    tile = _speed({}, None, [found])
    assert tile.value == "5.000 ms" and tile.about[0] == "90th percentile, slowest of 5 tries, not stable on phone"


def test_a_short_timing_says_what_it_is() -> None:
    assert on_device(report(), "").conditions[0].startswith("short timing: 10 runs, which do not show how far heat")
