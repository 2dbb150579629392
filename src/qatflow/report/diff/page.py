"""The differences as a self-contained HTML page."""

from qatflow.report.diff import words
from qatflow.report.diff.differences import Differences
from qatflow.report.html import render
from qatflow.report.pages.tables import plain

TEMPLATE = "diff_page.html"


def page(found: Differences) -> str:
    """Return the page."""
    return render(
        TEMPLATE,
        found=found,
        heads=words.heads(found),
        settings=plain("Settings that differ", words.SETTINGS, list(map(words.setting_cells, found.settings)), (1, 2)),
        tools=plain(
            "Tools that differ", ("tool", "first", "second"), list(map(words.setting_cells, found.tools)), (1, 2)
        ),
        metrics=plain("Figures", words.METRICS, list(map(words.metric_cells, found.metrics))),
        layers=plain("Layers that differ", words.LAYERS, list(map(words.layer_cells, found.layers)), (5,)),
    )
