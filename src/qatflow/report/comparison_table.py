"""The comparison as a plain-text table."""

from collections.abc import Iterator, Sequence

from qatflow.base.columns import aligned
from qatflow.report.comparison import Line, measure_of_all

FLOAT = "float top-1 %"
HEAD = (
    "experiment", "ships", FLOAT, "top-1 %", "95 % interval", "drop, points", "95 % interval", "bytes",
    "host ms", "device ms", "memory MB", "instructions", "training s", "gate", "device", "timing",
)  # fmt: skip


def text(lines: Sequence[Line]) -> str:
    """Return the table as plain text, followed by the reasons for closed gates."""
    measure = measure_of_all(lines)
    head = tuple(name.replace("top-1", measure.name) for name in HEAD)
    rows = [head, *(cells(line) for line in lines)]
    if not measure.is_accuracy:  # float has none
        rows = [tuple(cell for place, cell in enumerate(row) if place != HEAD.index(FLOAT)) for row in rows]
    table = aligned(rows, left=(0, 1, *(len(rows[0]) - place for place in (3, 2, 1))))
    closed = list(reasons(lines))
    about = [measure.about, ""] if measure.about else []
    return "\n".join([*about, *table, *([""] if closed else []), *closed]) + "\n"


def reasons(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the reasons for closed gates, each with the experiment's name."""
    for line in lines:
        if not line.passed:
            yield f"{line.experiment}: {line.reason}"


def gate_word(line: Line) -> str:
    """Return `open`, `closed` or `undecided`."""
    return "undecided" if line.passed and line.undecided else "open" if line.passed else "closed"


def cells(line: Line) -> tuple[str, ...]:
    """Return a line of the table: one text per column of `HEAD`."""
    return (
        line.experiment,
        line.ships,
        _shown(line.float_top1, ".2f"),
        _shown(line.top1, ".2f"),
        _interval(line.top1_low, line.top1_high),
        _shown(line.drop, ".2f"),
        _interval(line.drop_low, line.drop_high),
        _shown(line.bytes, ","),
        _shown(line.host_ms, ".3f"),
        _shown(line.device_ms, ".3f"),
        _shown(None if line.device_memory_bytes is None else line.device_memory_bytes / 1e6, ".1f"),
        _shown(line.instructions, ","),
        _shown(line.training_s, ".0f"),
        gate_word(line),
        line.device,
        line.timing,
    )


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.2f} … {high:.2f}"
