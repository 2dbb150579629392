"""report.json: its schema and table, what is read of it, and what it says of float against int8."""

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from helpers.device_reports import INT8_KERNELS, description, report
from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.device.results.report import FORMAT, read_report, write_report
from qatflow.device.results.schema import generated, json_schema
from qatflow.device.results.warnings import held_back, slower_than_float
from qatflow.device.run.timing import threads_to_time


@pytest.mark.parametrize("path", generated(ROOT), ids=lambda path: path.name)
def test_schema_and_table_are_up_to_date(path: Path) -> None:
    written, wanted = path.read_text(encoding="utf-8"), generated(ROOT)[path]
    drift = difflib.unified_diff(written.splitlines(), wanted.splitlines(), path.name, "from the classes", lineterm="")
    assert written == wanted, "run `python -m qatflow.device.results.schema`:\n" + "\n".join(drift)


def test_every_field_is_described() -> None:
    schema = json_schema()
    for node in [schema, *schema["$defs"].values()]:
        assert all(inner["description"] for inner in node["properties"].values())


def places(node: Any) -> Iterator[dict[str, Any]]:
    """Every object that holds something, the innermost first."""
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
        yield from places(inner)
    if isinstance(node, dict) and node:
        yield node


@pytest.mark.parametrize("emulated", [False, True])
def test_the_schema_takes_reports_and_nothing_that_lacks_a_field_or_has_another(emulated: bool) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    validator = jsonschema.Draft202012Validator(json_schema())
    told = json.loads(json.dumps(asdict(report(device=description(emulated)))))
    told["sha256"] = {"output.txt": 64 * "1", "report.json": 64 * "a"}
    assert list(validator.iter_errors(told)) == []
    for place in places(told):
        for key, value in list(place.items()):
            del place[key]
            assert not validator.is_valid(told), key
            place[key] = {"of": "another type"}
            assert key == "provenance" or not validator.is_valid(told), key
            place[key] = value
        place["unknown"] = 1
        assert not validator.is_valid(told)
        del place["unknown"]
    assert validator.is_valid(told)


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    for about in (description(), description(emulated=True)):
        write_report(tmp_path / "report.json", report(device=about))
        assert read_report(tmp_path / "report.json") == report(device=about)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read .*report.json: No such file"),
        ("{", "report.json is damaged"),
        ("[]", "report.json is damaged"),
        ('{"format_version": 4}', f"has format 4, expected {FORMAT}"),
        (f'{{"format_version": {FORMAT}}}', "report.json is damaged .*device"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    with pytest.raises(UserError, match=f"{said}.*run the model on the device again"):
        read_report(tmp_path / "report.json")


# Float against int8.


def test_real_figures_are_compared() -> None:
    found = report((8.0, 5.0, 3.0), (4.0, 2.0, 2.0), instructions=(900, 300))
    assert [(one.threads, one.ratio) for one in found.ratio.median_ms or ()] == [(1, 2.0), (2, 2.5), (4, 1.5)]
    assert (found.ratio.bytes, found.ratio.load_ms, found.ratio.peak_memory_bytes) == (4.0, 2.0, 2.0)
    assert found.ratio.instructions == 3.0 and found.warnings == ()


def test_emulated_times_are_compared_with_nothing_but_instructions_are() -> None:
    found = report((4.0, 2.0, 2.0), (8.0, 5.0, 3.0), device=description(True), instructions=(900, 300))
    assert (found.ratio.median_ms, found.ratio.load_ms, found.ratio.peak_memory_bytes) == (None, None, None)
    assert (found.ratio.bytes, found.ratio.instructions, found.warnings) == (4.0, 3.0, ())


SLOWER = ((4.0, 2.0, 2.0), (4.5, 2.0, 1.0))


@pytest.mark.parametrize(
    ("options", "said", "not_said"),
    [
        ({}, ["4.5 ms against 4 ms with 1 thread, 2 ms against 2 ms with 2 threads. The times of"], ["4 threads"]),
        ({"device": description(features=("fp",))}, ["no dot-product instructions (asimddp", "model.alpha"], []),
        ({"device": description(features=())}, [], ["dot-product"]),
        ({"device": description(governor="powersave")}, ["the governor powersave: raise device.warmup"], []),
        ({"device": description(governor=None)}, [], ["governor"]),
        ({"stddev": 0.6}, ["differ by less than their spread: raise device.repeats"], []),
        ({"stddev": 0.4}, [], ["spread"]),
        (
            {"kernels": INT8_KERNELS | {"Convolution (NHWC, F32) IGEMM": 30.0}},
            ["34 % of the int8 model's time is spent in operators that compute in float", "skip_pattern"],
            [],
        ),
    ],
)
def test_int8_that_is_not_faster_is_warned_of_with_likely_reasons(
    options: dict[str, Any], said: list[str], not_said: list[str]
) -> None:
    (warning,) = report(*SLOWER, **options).warnings
    assert warning.startswith("int8 is not faster than float on phone: 4.5 ms")
    assert all(words in warning for words in said) and not any(words in warning for words in not_said)


def test_short_runs_and_many_threads_are_reasons_too() -> None:
    (warning,) = report((0.3, 0.2, 0.2), (0.4, 0.3, 0.3)).warnings
    assert "A run takes less than 0.5 ms" in warning
    (warning,) = report((4.0, 2.0, 1.0), (3.0, 1.5, 1.2)).warnings
    assert re.search("1.2 ms against 1 ms with 4 threads. With fewer threads int8 is faster", warning)


def test_reasons_call_a_model_with_other_widths_by_them() -> None:
    kernels = INT8_KERNELS | {"Convolution (NHWC, F32) IGEMM": 30.0}
    made = report((4.0, 2.0, 1.0), (3.0, 1.5, 1.2), kernels=kernels)
    (warning,) = slower_than_float(made.models, made.device, "W8A16")
    assert warning.startswith("W8A16 is not faster") and "int8" not in warning
    assert "34 % of the W8A16 model's time" in warning and "With fewer threads W8A16 is faster" in warning


# Threads and cores.


def test_threads_beyond_the_cores_are_left_out_and_the_first_may_not_be() -> None:
    about = description()  # of eight cores
    assert threads_to_time((2, 16, 8, 1), about) == (2, 8, 1)
    with pytest.raises(UserError, match=r"device.threads starts with 16, but device phone has 8 cores"):
        threads_to_time((16, 1), about)


def test_cores_that_are_held_back_are_warned_of() -> None:
    (warning,) = held_back(description())
    assert warning.startswith("cores 0 1 of phone may run at 1800 MHz of 2400: is it hot")
    assert list(held_back(description(emulated=True))) == []
