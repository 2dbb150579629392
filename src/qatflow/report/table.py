"""The table a run ends with, as text."""

from qatflow.report.summary import Row, Summary

HEAD = ("model", "top-1 %", "top-5 %", "bytes", "host ms", "device")


def text(summary: Summary) -> str:
    """Return the table and the demo's own output as plain text."""
    lines_of_cells = [HEAD, *(cells(row) for row in summary.rows)]
    widths = [max(len(line[column]) for line in lines_of_cells) for column in range(len(HEAD))]
    lines = [
        "  ".join(_aligned(cell, width, i) for i, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip()
        for line in lines_of_cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    title = f"{summary.experiment}: {summary.test_pictures} test pictures"
    return "\n".join(
        [title, "", *lines, "", *summary.gate, "", "mobilenetv1_light_api on the device:", summary.demo.rstrip(), ""]
    )


def cells(row: Row) -> tuple[str, ...]:
    """Return a line of the table, one text a column of `HEAD`."""
    return (
        row.model,
        "" if row.top1 is None else f"{100 * row.top1:.2f}",
        "" if row.top5 is None else f"{100 * row.top5:.2f}",
        "" if row.bytes is None else f"{row.bytes:,}",
        "" if row.host_ms is None else f"{row.host_ms:.3f}",
        row.device,
    )


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column in (0, len(HEAD) - 1) else cell.rjust(width)
