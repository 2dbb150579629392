"""Self-contained HTML pages, rendered from templates/, with SVG pictures embedded."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """Return a page.

    Args:
        template: name of a file in `TEMPLATES`.
        filters: functions that the template uses, by name.
        values: its variables, which are escaped.

    Raises:
        jinja2.UndefinedError: the template uses a variable that is not given.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    environment.filters |= filters or {}
    return environment.get_template(template).render(**values)


def inline(svg: Path) -> str:
    """Return an SVG file without its XML prologue, which does not belong in HTML; a template needs it as `safe`."""
    return re.sub(r"^.*?(?=<svg)", "", svg.read_text(encoding="utf-8"), flags=re.DOTALL)
