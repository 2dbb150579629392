"""The strict YAML reader: values, lines, and what it refuses."""

import re
from pathlib import Path

import pytest

from qatflow.config.yaml_lines import read_yaml
from qatflow.errors import UserError


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "c.yaml:3: a: duplicate key; line 1 has it already"),
        ("a:\n  b: 1\n  'b': 2\n", "c.yaml:3: a.b: duplicate key; line 2 has it already"),
        ("a:\n\tb: 1\n", "c.yaml:2: .* tab .*spaces"),
        ("a: 1\nb:\t1\n", "c.yaml:2: .* tab .*spaces"),
        (b"a: 1\nb: \xff\n", "c.yaml:2: the byte 0xff is not UTF-8"),
        (b"a: 1\nb: \xe4\n", "c.yaml:2: the byte 0xe4 is not UTF-8"),
        ("a: 1\nb: x\0y\n", "c.yaml:2: the control character 0x00"),
        ("a: &x 1\nb: *x\n", "c.yaml:1: the anchor &x(.|\n)*c.yaml:2: the alias \\*x"),
        ("&k a: 1\n", "c.yaml:1: the anchor &k"),
        ("a: &x [*x]\n", "the anchor &x"),
        ("a: !!python/object/apply:os.system [ls]\n", "c.yaml:1: the tag tag:yaml.org,2002:python"),
        ("a: !custom 1\n", "c.yaml:1: the tag !custom"),
        ("a: 1\n---\nb: 2\n", "c.yaml:2: a second document"),
        ("", "c.yaml:1: no keys: the file is empty"),
        ("# only a comment\n", "c.yaml:1: no keys"),
        ("- a\n- b\n", r"c.yaml:1: must hold keys with values \(`key: value`\), not a list"),
        ("just text\n", "not the text 'just text'"),
        ("? [a, b]\n: 1\n", "c.yaml:1: a key that is a list"),
        ("a: [1, 2\nb: 3\n", "c.yaml:2: not valid YAML"),
        ("a: 'x\n", "c.yaml:[12]: not valid YAML: found unexpected end of stream"),
        ("a: b: c\n", "c.yaml:1: not valid YAML: mapping values are not allowed here"),
        ("a: 1e999\n", "c.yaml:1: the number 1e999 is too large"),
        ("a: " + "9" * 5000 + "\n", "c.yaml:1: the number 999999999999999999… is too large"),
        ("a: " + "[" * 5000, "c.yaml:1: nested more than 20 levels deep"),
        ("\n".join(f"k{i}: 1" for i in range(5000)), "c.yaml:2001: more than 2000 keys"),
        ("a: 1\n" + "#" * 1_000_000, "c.yaml: larger than 1,000,000 bytes"),
    ],
)
def test_what_is_no_plain_configuration_is_refused_with_its_line(write, content, message):
    with pytest.raises(UserError) as error:
        read_yaml(write(content))
    assert re.match(f"{message}" if message.startswith("c.yaml") else f".*{message}", str(error.value))


def test_a_large_file_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(10**11)  # a hole: takes no room on the disk, but reading it would take a minute and 100 GB
    with pytest.raises(UserError, match="larger than"):
        read_yaml(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^no\.yaml: cannot be read: No such file"):
        read_yaml(Path("no.yaml"))
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)
