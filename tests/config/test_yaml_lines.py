"""The strict YAML reader: values, lines, and what it refuses, by its key."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.config.yaml.reader import Unknown, read_yaml


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(content: str | bytes) -> Path:
        path = Path("c.yaml")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("+1.5e+2", 150.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-12", -12),
        ("0", 0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("off", "off"),
        ("60_000", "60_000"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("0x10", "0x10"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("2020-01-01", "2020-01-01"),
        ("'8'", "8"),
        ('"true"', "true"),
        ("[1, a, 2.5]", [1, "a", 2.5]),
        ("{a: 1}", {"a": 1}),
        ("grün", "grün"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(write, text, value):
    found = read_yaml(write(f"key: {text}\n")).data["key"]
    assert found == value
    assert type(found) is type(value)


def test_each_key_and_item_has_its_line(write):
    file = read_yaml(write("# comment\na:\n  b: 1\n\n  c: {d: 2,\n      e: 3}\nlist:\n  - x\n  - y: 4\n"))
    assert file.lines == {
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "c"): 5,
        ("a", "c", "d"): 5,
        ("a", "c", "e"): 6,
        ("list",): 7,
        ("list", 0): 8,
        ("list", 1): 9,
        ("list", 1, "y"): 9,
    }


def test_a_byte_order_mark_and_crlf_are_harmless(write):
    file = read_yaml(write(b"\xef\xbb\xbfa: 1\r\nb: x\r\n"))
    assert file.data == {"a": 1, "b": "x"}
    assert file.lines["b",] == 2


def told(path: Path) -> list[str]:
    """Return what is wrong with the file, as `line: key: what`."""
    return [f"{mistake.line}: {mistake.text}" for mistake in read_yaml(path).mistakes]


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        ("a: 1\nb: 2\na: 3\n", ["3: a: duplicate key; line 1 has it already"]),
        ("a:\n  b: 1\n  'b': 2\n", ["3: a.b: duplicate key; line 2 has it already"]),
        ("a: {b: 1}\na: {b: 2}\n", ["2: a: duplicate key; line 1 has it already"]),
        ("a:\n\tb: 1\n\tc: 2\n", ["2: a.b: a tab .*spaces", "3: a.c: a tab .*spaces"]),
        ("a: 1\nb:\t1\nc: 1\t# x\n", ["2: b: a tab .*spaces", "3: c: a tab"]),
        ("a:\n  b: x\n     \ty\n", ["3: a.b: a tab"]),
        (b"a: 1\nb: \xff\n", ["2: b: the byte 0xff is not UTF-8"]),
        (b"a:\n  b: [\xe4]\n", ["2: a.b: the byte 0xe4 is not UTF-8"]),
        ("a: 1\n".encode("utf-16"), ["1: the byte 0xff is", "1: the control character 0x00", "2: the control"]),
        ("a: 1\nb: x\0y\n", ["2: b: the control character 0x00"]),
        ("a: &x 1\nb: *x\n", ["1: a: the anchor &x", r"2: b: the alias \*x"]),
        ("&k a: 1\n", ["1: a: the anchor &k"]),
        ("a: &x [*x]\n", ["1: a: the anchor &x", r"1: a\[0\]: the alias"]),
        ("a: &x {b: 1}\nc: {<<: *x, b: 2}\n", ["1: a: the anchor", r"2: c.<<: the alias"]),
        ("a: !!python/object/apply:os.system [ls]\n", ["1: a: the tag tag:yaml.org,2002:python"]),
        ("a:\n  - !custom 1\n", [r"2: a\[0\]: the tag !custom"]),
        ("a: 1\n---\nb: 2\n", ["2: a: a second document"]),
        ("", ["1: no keys: the file is empty"]),
        ("# only a comment\n", ["1: no keys"]),
        ("- a\n- b\n", [r"1: must hold keys with values \(`key: value`\), not a list"]),
        ("just text\n", ["1: .*not the text 'just text'"]),
        ("? [a, b]\n: 1\n", ["1: a key that is a list"]),
        ("a: [1, 2\nb: 3\n", ["1: a: not valid YAML: expected .* on line 2"]),
        ("a:\n  b: 'x\n", ["2: a.b: not valid YAML: found unexpected end of stream on line 3"]),
        ("a: b: c\n", ["1: a: not valid YAML: mapping values are not allowed here"]),
        ("a: 1e999\n", ["1: a: the number 1e999 is too large"]),
        ("a: " + "9" * 5000 + "\n", ["1: a: the number 999999999999999999… is too large"]),
        ("a: 2020-13-45\n", ["1: a: '2020-13-45' means something else in YAML 1.1; write it in quotes"]),
        ("a: =\n", ["1: a: '=' means something else"]),
        ("a: " + "[" * 5000, ["1: a.*: nested more than 20 levels deep"]),
        ("\n".join(f"k{i}: 1" for i in range(25000)), ["20001: k20000: more than 20,000 keys"]),
        ("a: 1\n" * 25000, [*[f"{i}: a: duplicate key" for i in range(2, 20002)], "20001: a: more than 20,000 keys"]),
        ('"\\ud800": 1\na: {"x\\udfff": {}, b: 1}\n', ["1: \ud800: a key cannot have '.ud800'", "2: a.x\udfff: a key"]),
    ],
)
def test_what_is_no_plain_configuration_is_refused_with_line_and_key(write, content, messages):
    found = told(write(content))
    assert len(found) == len(messages), found
    for message, line in zip(sorted(messages, key=lambda message: int(message.split(":")[0])), found, strict=True):
        assert re.match(message, line), (message, line)


def test_what_stands_before_an_error_is_read_and_nothing_is_made_up_for_what_is_refused(write):
    file = read_yaml(write("a: 1\nb: {c: *x, d: [2, !t 3]}\ne: {f: 4\n"))
    assert file.data == {"a": 1, "b": {"c": Unknown.VALUE, "d": [2, Unknown.VALUE]}, "e": {"f": 4}}
    assert not file.whole
    assert read_yaml(write("a: &x 1\n")).whole


@pytest.mark.parametrize(
    "content",
    [
        "a:\n" + "\n" * 999_000,
        "a: [" + "1," * 499_000,
        "\ta: 1\n" * 140_000,
        "a:" + "\t" * 900_000 + "1\n",
        "? " + "k" * 900_000 + "\n: 1\n",
        "a: 1\n" * 190_000,
        "".join(map(chr, range(256))) * 2500,
        bytes(range(256)) * 3900,
    ],
    ids=lambda content: repr(content[:8]),
)
def test_no_file_within_the_limit_takes_long(write, content):
    start = time.process_time()
    told(write(content))
    assert time.process_time() - start < 10


def unreadable(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_yaml(path)
    return str(error.value)


LARGE = """
import re, sys, time
from pathlib import Path
from qatflow.config.yaml.reader import read_yaml
from qatflow.base.errors import UserError
try:
    read_yaml(Path(sys.argv[1]))
except UserError as error:
    print(error)
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
print(time.process_time())
"""


@pytest.mark.parametrize("hole", [True, False])
def test_a_file_of_100_mb_is_refused_at_once_and_in_little_memory(tmp_path, monkeypatch, hole):
    monkeypatch.chdir(tmp_path)
    with Path("large.yaml").open("wb") as file:
        file.truncate(10**11) if hole else file.write(b"a: 1 # and so on\n" * 6_000_000)
    answer = subprocess.run(
        [sys.executable, "-c", LARGE, "large.yaml"], env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    message, megabytes, seconds = answer.stdout.splitlines()
    assert float(seconds) < 5  # of the processor; most of it is the start of Python
    assert message == "large.yaml: larger than 1,000,000 bytes; this is not a configuration file"
    assert int(megabytes) < 80


@pytest.mark.parametrize("name", ["no.yaml", "x" * 300, "a\0b", "\ud800", "no/such/folder/a.yaml"])
def test_a_file_that_is_not_there_is_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert unreadable(Path(name)).startswith(f"{name}: cannot be read: ")


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    assert unreadable(tmp_path) == ".: cannot be read: Is a directory"
    assert unreadable(Path("pipe")) == "pipe: cannot be read: it is a device or a pipe; give a file"
    assert unreadable(Path("socket")) == "socket: cannot be read: No such device or address"
    assert unreadable(Path("loop")) == "loop: cannot be read: Too many levels of symbolic links"
    for device in ("/dev/zero", "/dev/null"):
        assert unreadable(Path(device)) == f"{device}: cannot be read: it is a device or a pipe; give a file"


def test_a_text_that_was_read_already_has_values_of_its_own_and_an_edited_file_is_read_again(tmp_path):
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    for path in (one, other):
        path.write_text("a: {b: [1, 2]}\n")
    first = read_yaml(one)
    first.data["a"]["b"].append(3)
    assert (read_yaml(one).data, read_yaml(other).path) == ({"a": {"b": [1, 2]}}, other)
    one.write_text("a: {b: [1, 4]}\n")
    assert read_yaml(one).data == {"a": {"b": [1, 4]}}
