"""The report of an experiment as a self-contained HTML page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from qatflow.device.results.report import DeviceReport
from qatflow.device.results.words import against_host
from qatflow.evaluate.layers import InspectedLayer
from qatflow.report import on_device
from qatflow.report.classes import ClassFigures
from qatflow.report.html import inline, render
from qatflow.report.pruning import whole
from qatflow.report.search import searched_network
from qatflow.report.summary import NOT_RUN, Summary
from qatflow.report.table import HEAD, cells
from qatflow.search.candidate import Outcome
from qatflow.search.result import SearchResult

WORST = 10
LEADERS = 10
TEMPLATE = "report_page.html"


def page(
    summary: Summary,
    devices: Sequence[DeviceReport],
    layers: Sequence[InspectedLayer],
    pictures: Mapping[str, Path],
    classes: Sequence[ClassFigures] = (),
) -> str:
    """Return the page.

    Args:
        summary: the figures.
        devices: report.json of each device run, in the order of the summary; none if the gate is closed.
        layers: the layers from `inspect`, noisiest first; the first ten are shown.
        pictures: SVG files by title; they are embedded.
        classes: those that the model knows worst; none where the picture of the confusion names them.
    """
    return render(
        TEMPLATE,
        filters={
            "against_host": against_host,
            "device_cells": on_device.cells,
            "warm_up_runs": _warm_up_runs,
            "slowest": on_device.slowest,
            "times": on_device.times,
        },
        summary=summary,
        head=HEAD,
        lines=[cells(row) for row in summary.rows],
        devices=[
            (results, report, " (emulated)" if results.emulated else "")
            for results, report in zip(summary.on_device, devices, strict=True)
        ],
        not_run=NOT_RUN.capitalize(),
        device_head=on_device.HEAD,
        leaders=leaders(summary.search) if summary.search else [],
        network=list(searched_network(summary.search, summary.on_device)) if summary.search else [],
        pruned=whole(summary.pruning),
        layers=layers[:WORST],
        classes=classes,
        pictures={title: inline(path) for title, path in pictures.items()},
    )


def leaders(search: SearchResult) -> list[Outcome]:
    """Return the best candidates, the best first."""
    return sorted(search.outcomes, key=lambda outcome: (-outcome.reward, outcome.candidate.number))[:LEADERS]


def _warm_up_runs(number: int) -> str:
    return "1 warm-up run" if number == 1 else f"{number} warm-up runs"
