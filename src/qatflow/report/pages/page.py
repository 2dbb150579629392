"""The report of an experiment as a self-contained HTML page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qatflow.device.results.report import DeviceReport
from qatflow.device.results.words import against_host
from qatflow.report.drawing.chart import learning_pictures
from qatflow.report.drawing.network import details, measures, network_picture
from qatflow.report.drawing.sensitivity import WORST, sensitivity_picture
from qatflow.report.drawing.widths import widths_picture
from qatflow.report.html import inline, render
from qatflow.report.node_data import FILES, has_data
from qatflow.report.page_files import TEMPLATE
from qatflow.report.pages import sections
from qatflow.report.pages.tables import Table, plain
from qatflow.report.picture_answers import PictureAnswer
from qatflow.report.pruning import whole
from qatflow.report.search import searched_network
from qatflow.report.summary import NOT_RUN, Summary

LEADERS = 10
KINDS = {
    "lost": ("Float is right, {} wrong", "what quantisation costs"),
    "won": ("{} is right, float wrong", "what it gains"),
    "confident": ("Other errors of {}, the most confident first", "the network's own errors, or wrong labels"),
}
"""Titles, with the place of the quantised model's name, and what the pictures show."""
OTHERWISE = {"lost": ("{} answers differently from float", "where quantisation changes the answer")}
"""The same without labels."""


@dataclass(frozen=True)
class Extras:
    """What the page shows beside the summary's figures.

    Attributes:
        confusion: the picture of the confusion, as SVG; empty where there is none.
        thumbnails: data URIs of test pictures, by position.
        pictures: SVG files by title: of a pruning, of a search.
        links: addresses by their words, relative to the page.
        commit: of qatflow; None if it is not known.
        versions: of the tools, by name.
        processor: the one that made the report, see `qatflow.base.processor`.
    """

    confusion: str = ""
    thumbnails: Mapping[int, str] = field(default_factory=dict)
    pictures: Mapping[str, Path] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    processor: Mapping[str, Any] = field(default_factory=dict)


def page(summary: Summary, devices: Sequence[DeviceReport], extras: Extras = Extras()) -> str:
    """Return the page.

    Args:
        summary: the figures.
        devices: report.json of each device run, in the order of the summary; none if the gate is closed.
        extras: what else it shows.
    """
    classes = summary.data.classes if summary.data else len(summary.classes)
    return render(
        TEMPLATE,
        summary=summary,
        extras=extras,
        models=sections.models_table(summary.rows, classes, summary.what),
        picture=network_picture(summary.network),
        measures=measures(summary.network),
        node_data=[file for file in FILES if has_data(summary.network, file)],
        emulated=" It is emulated: that says nothing about a real device." if _is_emulated(summary) else "",
        details=list(details(summary.network)),
        work=sections.work_words(summary.multiply_adds, devices),
        layers=sections.layers_table(summary.network, summary.layers),
        sensitivities=sections.sensitivities_table(summary.network, summary.sensitivities, summary.what),
        sensitivity_picture=sensitivity_picture(summary.sensitivities) if summary.sensitivities else "",
        drawn=WORST,
        classes=sections.classes_table(summary.classes, summary.what, summary.quantised),
        all_classes=classes <= sections.MANY,
        pairs=sections.pairs_table(summary.confused, classes),
        galleries=[
            (title.format(summary.quantised), about, shown)
            for kind, (title, about) in (KINDS if summary.what.is_accuracy else OTHERWISE).items()
            if (shown := _shown(summary, extras, kind))
        ],
        curves=learning_pictures(summary.curves, summary.what),
        search=sections.search_table(summary, LEADERS),
        mixed_outputs=summary.widths is not None and any("/" in bits for bits in summary.widths.widths),
        widths=sections.widths_table(summary.widths),
        tried=sections.tried_table(summary.widths, summary.what),
        widths_picture=widths_picture(summary.widths) if summary.widths else "",
        network=list(searched_network(summary.search, summary.on_device)) if summary.search else [],
        pruned=_pruned(summary) if summary.pruning else None,
        devices=[_device(results, report, summary) for results, report in zip(summary.on_device, devices, strict=True)],
        not_run=NOT_RUN.capitalize(),
        splits=sections.split_words(summary.data.splits) if summary.data else "",
        stages=sections.stages_table(summary.stages),
        pictures={title: inline(path) for title, path in extras.pictures.items()},
    )


def _is_emulated(summary: Summary) -> bool:
    """Return whether the times of the operators are from an emulator."""
    return bool(summary.on_device) and summary.on_device[0].emulated


def _shown(summary: Summary, extras: Extras, kind: str) -> list[tuple[PictureAnswer, str]]:
    """Return the pictures of one kind with their thumbnails."""
    return [
        (picture, extras.thumbnails[picture.position])
        for picture in summary.pictures
        if picture.kind == kind and picture.position in extras.thumbnails
    ]


def _device(results: Any, report: DeviceReport, summary: Summary) -> dict[str, Any]:
    warmup = report.models.int8.timing[0].warmup
    name = summary.quantised
    return {
        "results": results,
        "report": report,
        "mark": " (emulated)" if results.emulated else "",
        "figures": sections.device_table(results, name),
        "against": [
            (name if model == "int8" else model, against_host(of)) for model, of in report.models.named.items()
        ],
        "warmup": "1 warm-up run" if warmup == 1 else f"{warmup} warm-up runs",
        "times": sections.times_table(report, name),
        "slowest": list(sections.slowest_tables(summary.slowest, results.name, name)),
    }


def _pruned(summary: Summary) -> Table:
    head = (
        "layer", "channels", "left", "multiply-adds", "left", "parameters", "left",
        "group, or why it keeps its channels",
    )  # fmt: skip
    rows = [
        (
            layer.layer,
            str(layer.channels_before),
            str(layer.channels_after),
            *(
                f"{count:,}"
                for count in (
                    *(layer.before.multiply_adds, layer.after.multiply_adds),
                    *(layer.before.parameters, layer.after.parameters),
                )
            ),
            layer.fixed or layer.group or "the channels of its input",
        )
        for layer in whole(summary.pruning)
    ]
    return plain("What filter pruning left of each layer", head, rows, words=(0, len(head) - 1))
