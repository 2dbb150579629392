"""The style that pictures bring along where they are files of their own; it lies below this module's folder."""

from qatflow.report.html import TEMPLATES

STYLES = ("colours.css", "pictures.css")


def picture_style() -> str:
    """Return the style of a picture as a file of its own."""
    return "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in STYLES)
