"""The frame of a picture: within the page its colours are the page's; as a file it brings them along."""

import re
from collections.abc import Iterable
from html import escape

from qatflow.report.picture_style import picture_style


def svg(width: float, height: float, label: str, parts: Iterable[str], kind: str = "") -> str:
    """Return a picture for the page.

    Args:
        width: in its own units, which are pixels where there is room.
        height: likewise.
        label: what it shows, for those who cannot see it.
        parts: elements.
        kind: class, for the style.
    """
    return (
        f'<svg class="picture {kind}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def as_file(picture: str) -> str:
    """Return a picture of the page as the text of an SVG file, with its style."""
    body = re.sub(r"^<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', picture)
    begin, end, rest = body.partition(">")
    return f"{begin}{end}<style>{picture_style()}</style>{rest}\n"


def stacked(pictures: Iterable[tuple[float, float, str]], label: str) -> str:
    """Return pictures (width, height, text) one below the other as one."""
    top, widest, parts = 0.0, 0.0, []
    for width, height, picture in pictures:
        parts.append(picture.replace("<svg ", f'<svg y="{top:g}" ', 1))
        top, widest = top + height + 10, max(widest, width)
    return svg(widest, top, label, parts)


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return a text; `anchor` is `start`, `middle` or `end`."""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return (
        f'<text x="{x:g}" y="{y:g}"{f" class={chr(34)}{kind}{chr(34)}" if kind else ""}{where}>{escape(words)}</text>'
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Return a straight line."""
    return f'<path class="{kind}" d="M{x1:g} {y1:g}L{x2:g} {y2:g}"/>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """Return a rectangle."""
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"/>'


def shortened(words: str, most: int) -> str:
    """Return a text of at most so many characters: of a longer one its end, which tells layers apart."""
    return words if len(words) <= most else f"…{words[1 - most :]}"
