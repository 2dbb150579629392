"""What the demo program writes is checked, not trusted."""

from pathlib import Path

import pytest

from qatflow.device.interface import DeviceError
from qatflow.device.run.demo import read_list, read_numbers, read_object


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "\xff"])
def test_what_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "told").write_bytes(text.encode("latin-1"))
    with pytest.raises(DeviceError, match=r"^demo wrote times that cannot be read .*: is it the demo of this checkout"):
        read_object(tmp_path / "told", "demo")


@pytest.mark.parametrize("value", [None, "1", True, [], {}, float("nan"), float("-inf")])
def test_what_is_no_number_is_refused_by_name(value: object) -> None:
    assert read_numbers({"a": 1, "b": 2.5, "c": value}, ["a", "b"], "demo") == {"a": 1, "b": 2.5}
    with pytest.raises(DeviceError, match=r"^demo wrote .* for c, which is not a number: .*build it again"):
        read_numbers({"a": 1, "c": value}, ["a", "c"], "demo")


@pytest.mark.parametrize("value", [None, {}, 3, [1], [{}, None]])
def test_what_is_no_list_of_objects_is_refused(value: object) -> None:
    assert read_list({"a": [{"b": 1}], "c": value}, "a", "demo") == [{"b": 1}]
    with pytest.raises(DeviceError, match=r"^demo wrote c that cannot be read: .*build it again"):
        read_list({"a": [], "c": value}, "c", "demo")
