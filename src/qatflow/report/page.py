"""The report of an experiment as one HTML file that needs no other."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment

from qatflow.evaluate.layers import Layer
from qatflow.report.summary import Summary
from qatflow.report.table import HEAD, cells

WORST = 10
TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ summary.experiment }}</title>
<style>
body { font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse }
td, th { border: 1px solid #999; padding: .3em .6em; text-align: right }
td:first-child, td:last-child, th:first-child, th:last-child { text-align: left }
svg { max-width: 100%; height: auto }
pre { background: #f4f4f4; padding: 1em }
</style>
</head>
<body>
<h1>{{ summary.experiment }}</h1>
<p>Accuracy on {{ summary.test_pictures }} test pictures; latency of one picture on the host, median.</p>
<table>
<tr>{% for cell in head %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for line in lines %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<p>Accuracy gate: {{ summary.gate | join("; ") }}.</p>
<h2>On the device</h2>
<pre>{{ summary.demo }}</pre>
{% if layers %}<h2>Layers, the noisiest first</h2>
<p>Signal to quantisation noise that has added up to the layer's output, share of clipped values, and scales.</p>
<table>
<tr><th>layer</th><th>SQNR dB</th><th>clipped %</th><th>scale</th><th>weight scales</th><th>operator</th></tr>
{% for layer in layers %}<tr><td>{{ layer.name }}</td><td>{{ "%.1f" | format(layer.sqnr_db) }}</td>
<td>{{ "%.3f" | format(100 * layer.clipped) }}</td><td>{{ "%.3g" | format(layer.scale) }}</td>
<td>{% if layer.weight_scale_low is not none %}{{ "%.2g" | format(layer.weight_scale_low) }} …
{{ "%.2g" | format(layer.weight_scale_high) }}{% endif %}</td><td>{{ layer.operator }}</td></tr>
{% endfor %}</table>{% endif %}
{% for title, svg in pictures.items() %}<h2>{{ title }}</h2>
{{ svg | safe }}
{% endfor %}</body>
</html>
"""


def page(summary: Summary, layers: Sequence[Layer], pictures: Mapping[str, Path]) -> str:
    """Return the page.

    Args:
        summary: the figures.
        layers: what `inspect` found, the noisiest first; the first ten are shown.
        pictures: SVG files by title; they are put into the page.
    """
    template = Environment(autoescape=True, keep_trailing_newline=True).from_string(TEMPLATE)
    drawn = {title: _inline(path.read_text(encoding="utf-8")) for title, path in pictures.items()}
    return template.render(
        summary=summary, head=HEAD, lines=[cells(row) for row in summary.rows], layers=layers[:WORST], pictures=drawn
    )


def _inline(svg: str) -> str:
    """Return the SVG without its XML prologue, which does not belong into HTML."""
    return re.sub(r"^.*?(?=<svg)", "", svg, flags=re.DOTALL)
