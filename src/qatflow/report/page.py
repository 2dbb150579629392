"""The report of an experiment as one HTML file that needs no other."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment

from qatflow.device.results.report import DeviceReport
from qatflow.device.results.words import against_host
from qatflow.evaluate.layers import Layer
from qatflow.report import on_device
from qatflow.report.pruning import whole
from qatflow.report.search import searched_network
from qatflow.report.summary import NOT_RUN, Summary
from qatflow.report.table import HEAD, cells
from qatflow.search.candidate import Outcome
from qatflow.search.result import Found

WORST = 10
LEADERS = 10
STYLE = """\
body { font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse }
td, th { border: 1px solid #999; padding: .3em .6em; text-align: right }
td:first-child, th:first-child, .words td:last-child, .words th:last-child { text-align: left }
.words td:last-child { white-space: pre-line }
.beside { display: flex; flex-wrap: wrap; gap: 0 2em; font-size: 85% }
.warning { border-left: .3em solid #c60; padding-left: .7em }
.closed { background: #fbe3d6 }
.emulated { background: #fff3d6; padding: .3em .6em }
svg { max-width: 100%; height: auto }
pre { background: #f4f4f4; padding: 1em }
"""
TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ summary.experiment }}</title>
<style>
{{ style }}</style>
</head>
<body>
<h1>{{ summary.experiment }}</h1>
<p>Accuracy on {{ summary.test_pictures }} test pictures; latency of one picture on the host, median.</p>
<table class="words">
<tr>{% for cell in head %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for line in lines %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<p{% if summary.outcome == "closed" %} class="warning"{% endif %}>Accuracy gate, {{ summary.outcome }}:
{{ summary.gate | join("; ") }}.</p>
{% if summary.search %}<h2>Search</h2>
<p>{{ summary.search.text() }}.</p>
{% for line in network %}<p>{{ line }}.</p>
{% endfor %}<table>
<tr><th>candidate</th><th>{{ summary.search.metric_name }} %</th><th>multiply-adds</th><th>parameters</th>
{%- if summary.search.best.candidate.size.latency is not none %}
<th>latency, {{ summary.search.best.candidate.size.latency_unit }}</th>{% endif %}<th>tokens</th></tr>
{% for one in leaders %}<tr><td>{{ one.candidate.number }}</td><td>{{ "%.2f" | format(100 * one.metric) }}</td>
<td>{{ "{:,}".format(one.candidate.size.multiply_adds) }}</td>
<td>{{ "{:,}".format(one.candidate.size.parameters) }}</td>
{%- if one.candidate.size.latency is not none %}
<td>{{ "%.6g" | format(one.candidate.size.latency) }}</td>{% endif %}
<td>{{ one.candidate.tokens | join(" ") }}</td></tr>
{% endfor %}</table>
{% endif %}
{%- if summary.pruning %}<h2>Filter pruning</h2>
<ul>
{% for step in summary.pruning %}<li>{{ step.text() }}</li>
{% endfor %}</ul>
<table class="words">
<tr><th>layer</th><th>channels</th><th>left</th><th>multiply-adds</th><th>left</th><th>parameters</th><th>left</th>
<th>its channels</th></tr>
{% for layer in pruned %}<tr><td>{{ layer.layer }}</td><td>{{ layer.channels_before }}</td>
<td>{{ layer.channels_after }}</td><td>{{ "{:,}".format(layer.before.multiply_adds) }}</td>
<td>{{ "{:,}".format(layer.after.multiply_adds) }}</td><td>{{ "{:,}".format(layer.before.parameters) }}</td>
<td>{{ "{:,}".format(layer.after.parameters) }}</td>
<td>{{ layer.fixed or layer.group or "those that it reads" }}</td></tr>
{% endfor %}</table>
{% endif %}
{%- if not devices %}<h2>On the device</h2>
<p class="warning">{{ not_run }}.</p>
{% endif %}
{%- for found, device, mark in devices %}<h2>On the device{% if devices | length > 1 %} {{ found.name }}{% endif %}</h2>
<p>{{ found.device }}; LiteRT {{ device.litert_version or "of an unknown version" }}{% if device.device.abis %}; ABIs
{{ device.device.abis | join(", ") }}{% endif %}</p>
{% if found.emulated %}<p class="emulated">Emulated: times and memory are those of an emulator on this machine. They say
nothing of a real device, nor how float and int8 compare there.</p>
{% endif %}{% for warning in found.warnings %}<p class="warning">Warning: {{ warning }}</p>
{% endfor %}<table>
<tr>{% for cell in device_head %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for line in found.figures | map("device_cells") %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<ul>
{% for name, model in device.models.named.items() %}<li>{{ name }} against the host: {{ model | against_host }}</li>
{% endfor %}{% for line in found.conditions %}<li>{{ line }}</li>
{% endfor %}<li>CPU features: {{ device.device.features | join(" ") or "not told" }}</li>
</ul>
<h3>Times{{ mark }}</h3>
<p>One picture, in ms, as the program on the device measures it, after
{{ device.models.int8.timing[0].warmup | runs }} for warm-up.</p>
<table>
<tr><th>model</th><th>threads</th><th>runs</th><th>first</th><th>min</th><th>mean</th><th>median</th><th>p90</th>
<th>max</th><th>standard deviation</th></tr>
{% for name, time in device | times %}<tr><td>{{ name }}</td><td>{{ time.threads }}</td><td>{{ time.runs }}</td>
{%- for value in (time.first_ms, time.min_ms, time.mean_ms, time.median_ms, time.p90_ms,
time.max_ms, time.stddev_ms) %}
<td>{{ "%.3f" | format(value) }}</td>{% endfor %}</tr>
{% endfor %}</table>
<h3>Slowest operators{{ mark }}</h3>
<div class="beside">
{% for name, model in device.models.named.items() %}<div>
<p>{{ name }}, {{ model.profile.operators | length }} operators</p>
<table class="words">
<tr><th>number</th><th>mean ms</th><th>%</th><th>operator</th></tr>
{% for operator in model | slowest %}<tr><td>{{ operator.index }}</td><td>{{ "%.3f" | format(operator.mean_ms) }}</td>
<td>{{ "%.1f" | format(operator.percent) }}</td><td>{{ operator.kernel }}</td></tr>
{% endfor %}</table>
</div>
{% endfor %}</div>
<h3>mobilenetv1_light_api</h3>
<pre>{{ found.demo }}</pre>
{% endfor %}{% if layers %}<h2>Layers, the noisiest first</h2>
<p>Signal to quantisation noise that has added up to the layer's output, share of clipped values, and scales.</p>
<table class="words">
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


def page(
    summary: Summary, devices: Sequence[DeviceReport], layers: Sequence[Layer], pictures: Mapping[str, Path]
) -> str:
    """Return the page.

    Args:
        summary: the figures.
        devices: report.json of each device run, in the order of the summary's; none where the gate is closed.
        layers: what `inspect` found, the noisiest first; the first ten are shown.
        pictures: SVG files by title; they are put into the page.
    """
    environment = Environment(autoescape=True, keep_trailing_newline=True)
    environment.filters |= {
        "against_host": against_host,
        "device_cells": on_device.cells,
        "runs": _runs,
        "slowest": on_device.slowest,
        "times": on_device.times,
    }
    drawn = {title: inline(path.read_text(encoding="utf-8")) for title, path in pictures.items()}
    return environment.from_string(TEMPLATE).render(
        style=STYLE,
        summary=summary,
        head=HEAD,
        lines=[cells(row) for row in summary.rows],
        devices=[
            (found, report, " (emulated)" if found.emulated else "")
            for found, report in zip(summary.on_device, devices, strict=True)
        ],
        not_run=NOT_RUN.capitalize(),
        device_head=on_device.HEAD,
        leaders=leaders(summary.search) if summary.search else [],
        network=list(searched_network(summary.search, summary.on_device)) if summary.search else [],
        pruned=whole(summary.pruning),
        layers=layers[:WORST],
        pictures=drawn,
    )


def leaders(search: Found) -> list[Outcome]:
    """Return the candidates that did best, the best first."""
    return sorted(search.outcomes, key=lambda outcome: (-outcome.reward, outcome.candidate.number))[:LEADERS]


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def inline(svg: str) -> str:
    """Return the SVG without its XML prologue, which does not belong into HTML."""
    return re.sub(r"^.*?(?=<svg)", "", svg, flags=re.DOTALL)
