"""What holds of every script: a number out of range is one line, and any terminal can show what is printed."""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.places import ROOT
from qatflow.base.code_digest import imported_modules
from qatflow.config.explain import explain
from qatflow.config.schema import json_schema
from qatflow.config.sections.options import SectionOption

SCRIPTS = sorted((ROOT / "workflow/scripts").glob("*.py"))


def loaded(path: Path):
    found = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def parser_of(script, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    """Return the parser that a script makes."""
    made: list[argparse.ArgumentParser] = []

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        made.append(parser)
        raise InterruptedError

    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        script.main([])
    return made[0]


def takes_numbers(action: argparse.Action) -> bool:
    if not callable(action.type) or action.choices is not None:
        return False
    try:
        value = action.type("1")
    except (ValueError, argparse.ArgumentTypeError):
        return False
    return isinstance(value, (int, float))


def numbers_of(action: SectionOption) -> Iterator[list[str]]:
    """Yield the way to each number that the option of a section takes."""

    def numbers(schema: dict[str, Any], above: list[str]) -> Iterator[list[str]]:
        for key, inner in schema.get("properties", {}).items():
            yield from numbers(inner, [*above, key])
        kinds = {one.get("type") for one in schema.get("anyOf", [schema])}
        if kinds & {"integer", "number"} and "enum" not in schema:
            yield above

    return (way for way in numbers(json_schema(action._section), []) if way[0] in action._keys)


@pytest.fixture
def explained_here(monkeypatch):
    """Let this process make the messages: their own program takes half a second for each."""

    def run(module: str, section: str, given: str) -> subprocess.CompletedProcess:
        assert module == "qatflow.config.explain"
        path, _, name = section.partition(":")
        lines = explain(getattr(importlib.import_module(path), name), json.loads(given))
        return subprocess.CompletedProcess([], 0, "\n".join(lines), "")

    monkeypatch.setattr("qatflow.config.sections.options.run_module", run)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_number_out_of_range_is_one_line_with_the_flag(path, monkeypatch, capsys, explained_here):
    script = loaded(path)
    actions = parser_of(script, monkeypatch)._actions

    def refused(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            script.main(words)
        assert ended.value.code == 2
        return capsys.readouterr().err.partition(": error: ")[2]

    flags = [action.option_strings[0] for action in actions if takes_numbers(action)]
    for flag in flags:
        for value in ("-1", "nan", "-1e999"):
            told = refused(f"{flag}={value}")
            assert told.startswith(f"argument {flag}: ") and value in told and told.count("\n") == 1
    sections = [action for action in actions if isinstance(action, SectionOption)]
    for action in sections:
        option = action.option_strings[0]
        for way in numbers_of(action):
            for value in ("-1e12", "NaN", "1e999"):
                text = value
                for key in reversed(way):
                    text = f'{{"{key}": {text}}}'
                told = refused(option, text)
                if value == "NaN":
                    assert told == f"argument {option}: must be a mapping as JSON; got {text!r}\n"
                else:
                    line = f"{'.'.join(way)}: must be "
                    assert told.startswith(f"argument {option}: ") and line in told and "; got " in told
                    # of a recipe or a configuration, what it lacks is told too
                    assert told.count("\n") == 1 or action.required or option == "--recipe"
    assert flags or sections or path.stem in {
        "compare", "conclude_search", "fetch", "fetch_runtime", "microcontroller", "model_card", "model_optimize_tool",
        "pack_model", "report", "require_gate", "run_crate", "take_model",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("pictures", 0, "a whole number from 1 to 100,000,000; got 0"),
        ("threads[0]", [65], "a whole number from 1 to 64; got 65"),
        ("tolerance", -1, "a number from 0 to 1,000,000 or null; got -1"),
        ("cpu", "{x}", "some text without { and }; got the text '{x}'"),
        ("serial", "", "some text without { and } or null; got the text ''"),
        ("name", "a/b", "a name of letters, digits, - and _; got the text 'a/b'"),
    ],
)
def test_run_demo_refuses_what_the_configuration_refuses(capsys, explained_here, key, value, allowed):
    with pytest.raises(SystemExit) as ended:
        loaded(ROOT / "workflow/scripts/run_demo.py").main(["--device", json.dumps({key.partition("[")[0]: value})])
    *_, told = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and told.endswith(f"error: argument --device: {key}: must be {allowed}")


TYPES = {"__init__.py", "sections", "recipe"}
"""What of the configuration's package is types of values: all else reads them, checks them, or says what is wrong."""


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_no_job_has_the_checks_the_yaml_reader_or_the_messages_among_its_inputs(path):
    package = ROOT / "src/qatflow/config"
    assert all((package / name).exists() for name in (*TYPES, "checks", "yaml", "load.py"))
    used = [file.relative_to(package) for file in imported_modules(path) if file.is_relative_to(package)]
    found = {str(file) for file in used if file.parts[0] not in TYPES}
    # the configuration beside the results is written so that the reader reads the same: that job measures nothing
    written = {"written.py", "yaml/__init__.py", "yaml/scalars.py"}
    assert found == (written if path.stem == "write_config" else set())


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "latin-1"}]
)
def test_what_the_terminal_cannot_show_ends_no_program(locale):
    shows = "lambda _: print('a \\u2026 b', flush=True) or sys.exit('\\u2026')"
    program = f"import sys; from qatflow.base.cli import entry; entry({shows})"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    answer = subprocess.run(
        [sys.executable, "-c", program], env=environment | locale, capture_output=True, check=False, cwd=ROOT / "src"
    )
    assert (answer.returncode, answer.stdout) == (1, b"a \\u2026 b\n")
    assert answer.stderr == b"\\u2026\n"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_starts_by_the_one_entry(path):
    assert path.read_text(encoding="utf-8").endswith('if __name__ == "__main__":\n    entry(main)\n')
