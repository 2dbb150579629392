"""The files of rules hold rules; what they compute is in `qatflow.workflow`, typed and tested without Snakemake."""

import re

import pytest

from helpers.places import ROOT

FILES = [ROOT / "Snakefile", *sorted((ROOT / "workflow/rules").glob("*.smk"))]
LEAST = 8
"""Files of rules there are at least: fewer, and they would no longer be looked for where they are."""


def test_the_files_of_rules_are_found():
    assert len(FILES) > LEAST


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_rules_defines_no_function_and_no_class(path):
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"^\s*(?:async def|def|class)\s.*", text, re.MULTILINE)


@pytest.mark.parametrize("path", FILES[1:], ids=lambda path: path.stem)
def test_all_else_than_rules_is_an_import_or_a_loop_of_rules(path):
    text = re.sub(r'\A""".*?"""\n', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [line for line in text.splitlines() if re.match(r"[^\s#]", line)]
    plain = [line for line in lines if not re.match(r"(?:rule|checkpoint|use rule) ", line)]
    assert all(re.match(r"import |from |for ", line) for line in plain), plain


def test_a_parameter_is_named_after_the_section_that_it_passes_on():
    # a dry run names what changed by it: `settings changed: report.pictures`
    passed = re.findall(r"--(\w+) \{params\.(\w+):q\}", "".join(path.read_text(encoding="utf-8") for path in FILES))
    others = {("model", "keep_in_float"), ("recipe", "rest")}  # they hold part of a section
    assert len(passed) > 20 and {pair for pair in passed if pair[0] != pair[1]} == others
