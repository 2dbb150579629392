"""Writes what a report consists of: the table, the page, its pictures as files, and colours for Model Explorer."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from qatflow.base.files import write_json, write_text
from qatflow.base.sums import read_sealed
from qatflow.device.results.report import read_report
from qatflow.report import table
from qatflow.report.drawing.chart import learning_file
from qatflow.report.drawing.confusion import confusion_picture
from qatflow.report.drawing.histogram import ranges_picture
from qatflow.report.drawing.sensitivity import sensitivity_picture
from qatflow.report.drawing.svg import as_file
from qatflow.report.node_data import ENDING, FILES, node_data
from qatflow.report.pages.page import Extras, page
from qatflow.report.picture_answers import thumbnails
from qatflow.report.summary import Sources, Summary


def write_report(summary: Summary, sources: Sources, summary_file: Path, output: Path, *, compared: bool) -> None:
    """Write summary.txt, report.html, the pictures as SVG files, and the files *.node_data.json.

    Args:
        summary: the figures.
        sources: the files that they are from.
        summary_file: summary.json, which is there already.
        output: folder.
        compared: whether there will be a comparison, to which the page leads.
    """
    evaluation = read_sealed(sources.evaluation)
    confused = evaluation["models"][sources.shipped]["confusion"]
    confusion = confusion_picture(confused, evaluation["labels"], summary.confused, summary.what)
    write_text(output / "summary.txt", table.text(summary))
    write_text(output / "learning_curves.svg", as_file(learning_file(summary.curves, summary.what)))
    write_text(output / "ranges.svg", as_file(ranges_picture(summary.layers)))
    write_text(output / "confusion.svg", as_file(confusion))
    write_text(output / "sensitivity.svg", as_file(sensitivity_picture(summary.sensitivities, most=None)))
    for file in FILES:
        write_json(output / f"{file}{ENDING}", node_data(summary.network, file))
    provenance = read_sealed(summary_file)["provenance"]
    with tempfile.TemporaryDirectory() as folder:  # only the page has them: most experiments have none
        extras = Extras(
            confusion=confusion,
            thumbnails=thumbnails(evaluation),
            pictures=_plots(summary, Path(folder)),
            links=_links(sources, compared=compared),
            commit=provenance["commit"],
            versions=provenance["versions"] | {"Python": provenance["python"]},
            processor=provenance["processor"],
        )
        devices = [read_report(path) for path in sources.devices]
        write_text(output / "report.html", page(summary, devices, extras))


def _plots(summary: Summary, folder: Path) -> Mapping[str, Path]:
    """Draw what a search or a pruning did; return the SVG files by title. Only they wait for Matplotlib."""
    pictures: dict[str, Path] = {}
    if any(step.sensitivities for step in summary.pruning):
        from qatflow.report.pruning_picture import sensitivity_pictures

        pictures |= sensitivity_pictures(summary.pruning, folder)
    if summary.search is not None:
        from qatflow.report.search_picture import search_picture

        search_picture(summary.search, folder / "search.svg")
        pictures["Candidates of the search"] = folder / "search.svg"
    return pictures


def _links(sources: Sources, *, compared: bool) -> Mapping[str, str]:
    links = {
        "model": f"../{sources.model.parent.name}/{sources.model.name}",
        "configuration": "../config.yaml",
        "recipe": "../compress.yaml",
        "all figures": "../summary.json",
    }
    return links | ({"comparison": "../../comparison/comparison.html"} if compared else {})
