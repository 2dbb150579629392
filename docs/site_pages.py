"""A hook of MkDocs: the site's pages are the project's own Markdown files, under their paths in the repository.

So one relative link works in an editor, on a code host and on the site. MkDocs itself reads files of one folder only.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"^( *)```.*?^\1```|^ {4}.*?$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s#]+)(?:#[^()\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give headings the anchors that code hosts give them."""
    config.mdx_configs["toc"]["slugify"] = anchor
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put the pages of the navigation, and the files they link to, in place of the files of `docs_dir`."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    pages = list(pages_of(config.nav))
    for name in [*pages, *sorted(set(linked_files(pages)) - set(pages))]:
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def anchor(heading: str, separator: str) -> str:
    """Return a heading's anchor: lower case, without punctuation, and a hyphen for each blank."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", separator)


def pages_of(nav: object) -> Iterator[str]:
    """Yield the file names of a navigation: nested lists, mappings from a title, or names."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        yield from pages_of(list(nav.values()))
    elif isinstance(nav, list):
        for entry in nav:
            yield from pages_of(entry)


def linked_files(pages: list[str]) -> Iterator[str]:
    """Yield the files of the project other than Markdown pages that the pages link to: pictures, sources, settings."""
    for page in pages:
        text = CODE.sub("", (ROOT / page).read_text(encoding="utf-8"))
        for target in LINK.findall(text):
            path = ((ROOT / page).parent / unquote(target)).resolve()
            if path.suffix != ".md" and path.is_file() and path.is_relative_to(ROOT):
                yield path.relative_to(ROOT).as_posix()
