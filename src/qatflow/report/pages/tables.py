"""The tables of the page, as the template `table.html` shows them: they sort, and on a phone each row is a card."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: what it shows.
        key: what it sorts by; None: by its text.
        html: whether the text is a picture that is taken as it is.
        second: a second line, in grey.
    """

    text: str
    key: float | None = None
    html: bool = False
    second: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: what it shows, for readers who cannot see it.
        head: names of the columns.
        rows: cells, as many in each row as there are columns.
        sortable: whether a click on a column sorts by it.
        words: columns that hold words, and are aligned to the left; the first is one anyway.
        title: the column that names a row, where it is a card.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sortable: bool = False
    words: tuple[int, ...] = ()
    title: int = 0


def number(value: float | None, form: str, factor: float = 1.0) -> Cell:
    """Return a cell with a number, which may be missing; `factor` is for per cent."""
    return Cell("") if value is None else Cell(format(factor * value, form), value)


def filled(table: Table) -> Table:
    """Return the table without its empty columns."""
    kept = [place for place in range(len(table.head)) if any(row[place].text for row in table.rows)]
    return Table(
        table.caption,
        tuple(table.head[place] for place in kept),
        tuple(tuple(row[place] for place in kept) for row in table.rows),
        table.sortable,
        tuple(new for new, old in enumerate(kept) if old in table.words),
        kept.index(table.title) if table.title in kept else 0,
    )


def plain(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = ()) -> Table:
    """Return a table of texts, without its empty columns."""
    return filled(Table(caption, tuple(head), tuple(tuple(map(Cell, row)) for row in rows), words=tuple(words)))
