"""Pages are rendered strictly: a missing variable is an error, text is escaped, pictures lose their XML prologue."""

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from qatflow.report import html


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(html, "TEMPLATES", tmp_path)
    return tmp_path


def test_text_is_escaped_and_a_filter_is_called(templates: Path) -> None:
    (templates / "page.html").write_text("<p>{{ name }} {{ 2 | double }}</p>\n")
    assert html.render("page.html", {"double": lambda number: 2 * number}, name="a <b>") == "<p>a &lt;b&gt; 4</p>\n"


def test_a_variable_that_is_not_given_is_an_error(templates: Path) -> None:
    (templates / "page.html").write_text("{{ title }}")
    with pytest.raises(UndefinedError, match="title"):
        html.render("page.html", name="a")


def test_an_svg_is_embedded_without_its_prologue(tmp_path: Path) -> None:
    (tmp_path / "picture.svg").write_text('<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg><g/></svg>\n')
    assert html.inline(tmp_path / "picture.svg") == "<svg><g/></svg>\n"


@pytest.mark.parametrize("name", ["report_page.html", "comparison_page.html", "diff_page.html"])
def test_a_page_needs_no_other_file(name: str) -> None:
    for path in html.TEMPLATES.iterdir():
        text = path.read_text().replace('src="{{ thumbnail }}"', "").replace('<a href="https://', "")
        assert "http" not in text and "src=" not in text and "<link" not in text and "@import" not in text
    assert '{% extends "base.html" %}' in (html.TEMPLATES / name).read_text()
