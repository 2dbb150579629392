"""The documentation site: it builds without a warning, has every page, and every link in it leads somewhere."""

import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from helpers.places import ROOT

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
"""What a browser loads by itself, by the tag."""


class Page(HTMLParser):
    """A built page: its anchors, its links, its prose, and what a browser loads with it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.prose: list[str] = []
        self._within: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("p", "li", "td", "pre", "code", "script", "style", "a"):
            self._within.append(tag)
        values = {key: value for key, value in attrs if value}
        self.anchors |= {values[key] for key in ("id", "name") if key in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        address = values.get(LOADED.get(tag, ""))
        if address and values.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(address)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._within:
            del self._within[len(self._within) - 1 - self._within[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        if {"p", "li", "td"} & set(self._within) and not {"pre", "code", "script", "style"} & set(self._within):
            self.prose.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert build.returncode == 0, build.stderr
    assert "WARNING" not in build.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}


def navigation() -> set[str]:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    return set(re.findall(r"[\w/.-]+\.md", yaml.safe_dump(yaml.safe_load(text)["nav"])))


def test_every_markdown_file_of_the_project_is_a_page():
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert navigation() == set(listed.split())


def test_every_link_leads_to_a_page_and_an_anchor_that_exist(site, pages):
    broken = []
    for path, page in pages.items():
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                broken.append(f"{path.relative_to(site)}: {link}")
            elif target in pages and parts.fragment and unquote(parts.fragment) not in pages[target].anchors:
                broken.append(f"{path.relative_to(site)}: {link} has no such anchor")
    assert not broken, "\n".join(broken)
    assert len(pages) == len(navigation())


def test_nothing_is_loaded_from_another_host(site, pages):
    outside = {load for page in pages.values() for load in page.loads if urlsplit(load).netloc}
    assert not outside
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles and not any(re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style) for style in styles)


def test_no_markup_is_left_in_the_pages(pages):
    # Python's Markdown wants a blank line before a list and four blanks within one; code hosts want neither
    left = [
        f"{path.name}: {text.strip()[:60]}"
        for path, page in pages.items()
        for text in page.prose
        if re.match(r"\s*(```|\||\* |\d+\. |#+ )", text)
        or "```" in text
        or re.search(r"^(\* |\d\. )", text, re.MULTILINE)
    ]
    assert not left, "\n".join(left)
    assert sum(len(page.prose) for page in pages.values()) > 500


def test_the_extra_for_documents_has_the_versions_of_the_lock_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = re.findall(r"^(\S+==\S+) \\$", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    assert project["optional-dependencies"]["docs"] and set(project["optional-dependencies"]["docs"]) <= set(locked)
