"""The comparison as a table of text, and as one HTML file that needs no other."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment

from qatflow.report.comparison import Line, experiments
from qatflow.report.page import STYLE, inline
from qatflow.report.table import aligned

HEAD = (
    "experiment", "ships", "float top-1 %", "top-1 %", "95 % interval", "drop, points", "95 % interval", "bytes",
    "host ms", "device ms", "instructions", "training s", "gate", "device",
)  # fmt: skip
TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Comparison</title>
<style>
{{ style }}</style>
</head>
<body>
<h1>{{ number }} experiments</h1>
<p>Top-1 on the test pictures; drop against float on the validation pictures; latency of one picture, median. A device's
time is left out where it is an emulator's. The lines are in the order of the configuration. Undecided:
the gate is open, and the validation pictures are too few to say that the loss keeps to its limits. Why a gate is closed
stands below the table; a model that its accuracy keeps from the devices has no figures of them.</p>
<table>
<tr>{% for cell in head %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for line, row in rows %}<tr{% if not line.passed %} class="closed"{% endif %}>
<td><a href="../{{ line.experiment }}/report/report.html">{{ row[0] }}</a></td>
{%- for cell in row[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% for line in closed %}<p class="warning">{{ line }}</p>
{% endfor %}<h2>Accuracy against cost</h2>
{{ picture | safe }}
</body>
</html>
"""


def text(lines: Sequence[Line]) -> str:
    """Return the table as plain text, and below it why gates are closed."""
    table = aligned([HEAD, *(cells(line) for line in lines)], left=(0, 1, len(HEAD) - 2, len(HEAD) - 1))
    closed = list(reasons(lines))
    return "\n".join([*table, *([""] if closed else []), *closed]) + "\n"


def reasons(lines: Sequence[Line]) -> Iterator[str]:
    """Yield why gates are closed, with the experiment's name."""
    for line in lines:
        if not line.passed:
            yield f"{line.experiment}: {line.reason}"


def page(lines: Sequence[Line], picture: Path) -> str:
    """Return the page, with the SVG `picture` in it."""
    template = Environment(autoescape=True, keep_trailing_newline=True).from_string(TEMPLATE)
    return template.render(
        style=STYLE, number=len(experiments(lines)), head=HEAD, rows=[(line, cells(line)) for line in lines],
        closed=list(reasons(lines)), picture=inline(picture.read_text(encoding="utf-8")),
    )  # fmt: skip


def cells(line: Line) -> tuple[str, ...]:
    """Return a line of the table, one text a column of `HEAD`."""
    return (
        line.experiment,
        line.shipped,
        _shown(line.float_top1, ".2f"),
        _shown(line.top1, ".2f"),
        _interval(line.top1_low, line.top1_high),
        _shown(line.drop, ".2f"),
        _interval(line.drop_low, line.drop_high),
        _shown(line.bytes, ","),
        _shown(line.host_ms, ".3f"),
        _shown(line.device_ms, ".3f"),
        _shown(line.instructions, ","),
        _shown(line.training_s, ".0f"),
        "undecided" if line.passed and line.undecided else "open" if line.passed else "closed",
        line.device,
    )


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.2f} … {high:.2f}"
