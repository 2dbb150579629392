"""The comparison as a self-contained HTML page: a table against a chosen baseline, pictures of cost, curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from qatflow.report.change import signed
from qatflow.report.comparison import Differences, Line, experiments, measure_of_all
from qatflow.report.comparison_files import TEMPLATE
from qatflow.report.comparison_table import gate_word, reasons
from qatflow.report.curves import Curve
from qatflow.report.drawing.chart import compared_curves
from qatflow.report.drawing.pareto import pareto_pictures
from qatflow.report.html import render
from qatflow.report.pages.tables import Cell, Table, filled, number

RATIOS = ("bytes", "host_ms", "device_ms", "device_memory_bytes", "instructions")
"""Columns of costs: also shown as a multiple of the baseline's, and rows can be chosen by a largest cost."""
OF_DEVICES = ("device_ms", "device_memory_bytes", "instructions")
"""Those that are a device's."""
COLUMNS = {
    "experiment": "experiment",
    "shipped": "ships",
    "gate": "gate",
    "device": "device",
    "top1": "top-1, %",
    "against": "against the baseline, points",
    "drop": "against float (validation), points",
    "bytes": "bytes",
    "host_ms": "host, ms",
    "device_ms": "device, ms",
    "timing": "timing",
    "device_memory_bytes": "memory, bytes",
    "instructions": "instructions",
    "training_s": "training, s",
}
FILTERED = ("shipped", "gate", "device", "timing")
"""Columns with few different words, by which rows can be chosen."""


@dataclass(frozen=True)
class Comparison:
    """What the page shows.

    Attributes:
        lines: of all experiments; the first is the baseline at first.
        differences: of top-1 between any two experiments.
        curves: the trainings of each experiment, by its name.
    """

    lines: Sequence[Line]
    differences: Differences
    curves: Mapping[str, Sequence[Curve]] = field(default_factory=dict)


def page(comparison: Comparison) -> str:
    """Return the page."""
    lines, known = comparison.lines, comparison.differences
    once = experiments(lines)
    measure = measure_of_all(lines)
    table = _table(comparison)
    unpaired = any(not one.paired for one in known.values())
    return render(
        TEMPLATE,
        number=len(once),
        names=[line.experiment for line in once],
        table=table,
        choosers=_choosers(table),
        costs=[(table.head.index(name), name) for name in map(COLUMNS.get, RATIOS) if name in table.head],
        closed=list(reasons(lines)),
        measure=measure,
        pictures=pareto_pictures(lines, known),
        curves=compared_curves(comparison.curves, measure),
        unpaired=unpaired,
        pictures_tested=sorted({line.test_pictures for line in lines}),
        compared=_for_script(comparison, table),
    )


def _table(comparison: Comparison) -> Table:
    baseline = comparison.lines[0].experiment
    rows = tuple(tuple(_cells(line, comparison, baseline).values()) for line in comparison.lines)
    head = tuple(columns(comparison.lines).values())
    return filled(Table("All experiments", head, rows, sortable=True, words=(1, 2, 3)))


def columns(lines: Sequence[Line]) -> dict[str, str]:
    """Return the head of each column by its key, with the name of the measure."""
    return COLUMNS | {"top1": f"{measure_of_all(lines).name}, %"}


def _cells(line: Line, comparison: Comparison, baseline: str) -> dict[str, Cell]:
    href = escape(f"../{line.experiment}/report/report.html")
    gate = gate_word(line)
    against = against_baseline(comparison.differences, line.experiment, baseline)
    return {
        "experiment": Cell(f'<a href="{href}">{escape(line.experiment)}</a>', html=True),
        "shipped": Cell(line.ships),
        "gate": Cell(f'<span class="gate-word {gate}">{gate}</span>', html=True),
        "device": Cell(line.device),
        "top1": Cell(f"{line.top1:.2f}", line.top1, second=_interval(line.top1_low, line.top1_high)),
        "against": Cell(against["text"], against["key"], second=against["second"]),
        "drop": Cell("") if line.drop is None else _change(line.drop, line.drop_low, line.drop_high),
        "bytes": Cell(f"{line.bytes:,}", line.bytes),
        "host_ms": number(line.host_ms, ".3f"),
        "device_ms": number(line.device_ms, ".3f"),
        "timing": Cell(line.timing),
        "device_memory_bytes": number(line.device_memory_bytes, ",.0f"),
        "instructions": number(line.instructions, ",.0f"),
        "training_s": number(line.training_s, ".0f"),
    }


def against_baseline(known: Differences, experiment: str, baseline: str) -> dict[str, Any]:
    """Return the cell of an experiment: `text`, `second` and the `key` that it sorts by; `sign` colours it."""
    if experiment == baseline:
        return {"text": "baseline", "second": "", "key": 0.0, "sign": 0}
    one = known[experiment, baseline]
    interval = _interval(one.low, one.high, signed)
    return {
        "text": signed(one.points),
        "second": interval if one.paired else f"{interval}, other pictures",
        "key": one.points,
        "sign": one.sign,
    }


def _change(drop: float, low: float | None, high: float | None) -> Cell:
    """Return a drop as a change: with the sign of the report, below 0 for a loss."""
    second = "" if low is None or high is None else _interval(0.0 - high, 0.0 - low, signed)
    return Cell(signed(0.0 - drop), 0.0 - drop, second=second)


def _interval(low: float, high: float, form: Any = lambda value: f"{value:.2f}") -> str:
    return f"{form(low)} … {form(high)}"


def _choosers(table: Table) -> list[tuple[str, int, list[str]]]:
    """Return name, column and words of each column that rows are chosen by; none where all have one word."""
    shown = []
    for name in (COLUMNS[key] for key in FILTERED):
        if name in table.head:
            place = table.head.index(name)
            words = list(dict.fromkeys(_plain(row[place]) for row in table.rows))
            if len(words) > 1:
                shown.append((name, place, words))
    return shown


def _plain(cell: Cell) -> str:
    return cell.text.removesuffix("</span>").rpartition(">")[2] if cell.html else cell.text


def _for_script(comparison: Comparison, table: Table) -> dict[str, Any]:
    """Return what another baseline needs: the cells for each, and the costs of each row."""
    names = [line.experiment for line in experiments(comparison.lines)]
    return {
        "columns": {
            key: table.head.index(name) for key, name in columns(comparison.lines).items() if name in table.head
        },
        "ofDevices": OF_DEVICES,
        "rows": [{key: getattr(line, key) for key in ("experiment", "device", *RATIOS)} for line in comparison.lines],
        "against": {
            base: {name: against_baseline(comparison.differences, name, base) for name in names} for base in names
        },
    }
