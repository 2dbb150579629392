"""The files of the report's page: its template, and the style that pictures bring along where they are files.

They lie below this module's folder, which makes them inputs of the rule (`base.code_digest`).
"""

from qatflow.report.html import TEMPLATES

TEMPLATE = "report_page.html"
STYLES = ("colours.css", "pictures.css")


def picture_style() -> str:
    """Return the style of a picture as a file of its own."""
    return "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in STYLES)
