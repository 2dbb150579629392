"""What holds of every script: a number out of range is one line, and any terminal can show what is printed."""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.places import ROOT

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
    return isinstance(value, (int, float)) or value == [1]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_number_out_of_range_is_one_line_with_the_flag(path, monkeypatch, capsys):
    script = loaded(path)
    flags = [action.option_strings[0] for action in parser_of(script, monkeypatch)._actions if takes_numbers(action)]
    for flag in flags:
        for value in ("-1", "nan", "-1e999"):
            with pytest.raises(SystemExit) as ended:
                script.main([f"{flag}={value}"])
            *_, told = capsys.readouterr().err.splitlines()
            assert ended.value.code == 2 and f"error: argument {flag}: " in told and value in told
    assert flags or path.stem in {
        "adopt_ready_model", "compare", "conclude_search", "export", "fetch", "fetch_runtime", "model_optimize_tool",
        "ptq", "report", "require_gate", "take_model", "write_config",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "allowed"),
    [
        ("--pictures=0", "a whole number from 1 to 100,000,000"),
        ("--threads=65", "a list of at least one, each item a whole number from 1 to 64"),
        ("--tolerance=-1", "a number from 0 to 1,000,000 or null"),
        ("--cpu={x}", "some text without { and }"),
        ("--serial=", "some text without { and } or null"),
        ("--name=a/b", "a name of letters, digits, - and _"),
    ],
)
def test_run_demo_refuses_what_the_configuration_refuses(capsys, flag, allowed):
    with pytest.raises(SystemExit) as ended:
        loaded(ROOT / "workflow/scripts/run_demo.py").main([flag])
    *_, told = capsys.readouterr().err.splitlines()
    name, _, value = flag.partition("=")
    assert ended.value.code == 2 and told.endswith(f"error: argument {name}: must be {allowed}; got {value!r}")


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
