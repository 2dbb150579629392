"""The table that is printed at the end of a run."""

from collections.abc import Iterable, Iterator, Sequence

from qatflow.base.columns import aligned
from qatflow.base.measure import Measure
from qatflow.device.results.words import EMULATED
from qatflow.report import on_device
from qatflow.report.on_device import OnDevice
from qatflow.report.search import searched_network
from qatflow.report.summary import NOT_RUN, Row, Summary

TOP5 = "top-5 %"
HEAD = ("model", "top-1 %", TOP5, "bytes", "deflated", "packed", "host ms", "device")


def text(summary: Summary) -> str:
    """Return the tables and the demo's output as plain text."""
    return "\n".join(
        [
            f"{summary.experiment}: {summary.test_pictures} test pictures",
            *filter(None, [summary.what.about]),
            "",
            *_models(summary.rows, len(summary.classes), summary.what),
            "",
            *summary.gate,
            *([] if summary.on_device else [NOT_RUN]),
            *([summary.search.text()] if summary.search else []),
            *(searched_network(summary.search, summary.on_device) if summary.search else ()),
            *(step.text() for step in summary.pruning),
            *(line for results in summary.on_device for line in _device(results, summary.quantised)),
            "",
        ]
    )


def _models(rows: Sequence[Row], classes: int, measure: Measure) -> list[str]:
    """Return the table of the models, without the columns of the packed file and of top-5 where they are empty."""
    lines = list(_lines(rows, shows_top5(classes, measure)))
    empty = {HEAD.index(name) for name in ("packed", TOP5) if not any(line[HEAD.index(name)] for line in lines)}
    table = [tuple(cell for place, cell in enumerate(line) if place not in empty) for line in (head(measure), *lines)]
    return aligned(table, left=(0, len(table[0]) - 1))


def shows_top5(classes: int, measure: Measure) -> bool:
    """Return whether top-5 says something: not where all classes are among the five best."""
    return bool(measure.best5) and not 0 < classes <= 5


def head(measure: Measure) -> tuple[str, ...]:
    """Return the head of the table of the models, with the name of what its share of the pictures is."""
    return tuple(f"{measure.name} %" if name == "top-1 %" else name for name in HEAD)


def _lines(rows: Iterable[Row], top5: bool) -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table; each further device adds one."""
    for row in rows:
        *others, devices = cells(row, top5)
        first, *more = devices.split("\n")
        yield (*others, first)
        for device in more:
            yield (*[""] * len(others), device)


def _device(results: OnDevice, quantised: str) -> list[str]:
    return [
        "",
        f"device {results.device}{f'; times are {EMULATED}' if results.emulated else ''}",
        "",
        *aligned([on_device.head(quantised), *(on_device.cells(figure) for figure in results.figures)], left=(0,)),
        "",
        *(line for line in (*results.conditions, *(f"warning: {text}" for text in results.warnings))),
        *([""] if results.conditions or results.warnings else []),
        "mobilenetv1_light_api on the device:",
        results.demo.rstrip(),
    ]


def cells(row: Row, top5: bool = True) -> tuple[str, ...]:
    """Return a line of the table: one text per column of `HEAD`; that of top-5 is empty unless `top5`."""
    return (
        row.model,
        next((f"{100 * share:.2f}" for share in (row.top1, row.float_agreement) if share is not None), ""),
        "" if row.top5 is None or not top5 else f"{100 * row.top5:.2f}",
        "" if row.bytes is None else f"{row.bytes:,}",
        "" if row.compressed_bytes is None else f"{row.compressed_bytes:,}",
        "" if row.packed_bytes is None else f"{row.packed_bytes:,}",
        "" if row.host_ms is None else f"{row.host_ms:.3f}",
        "\n".join(row.devices),
    )
