"""The confusion of classes: a matrix with counts for few classes, the most confused pairs for many."""

from collections.abc import Mapping, Sequence

from qatflow.base.measure import ACCURACY, Measure
from qatflow.base.metrics import confusion_matrix
from qatflow.report.classes import NAMED, ConfusedPair
from qatflow.report.drawing.svg import box, shortened, svg, text

CELL, SMALL_CELL, MANY = 44.0, 26.0, 12
NAME = 22
"""Characters of a class's name."""


def confusion_picture(
    table: Mapping[str, Mapping[str, int]],
    labels: Sequence[str],
    pairs: Sequence[ConfusedPair],
    measure: Measure = ACCURACY,
) -> str:
    """Return the picture.

    Args:
        table: counts, as in evaluation.json.
        labels: names of the classes.
        pairs: the most confused pairs, which are drawn where there are more than 30 classes.
        measure: of the evaluation; without labels, the rows are float's answers.
    """
    rows = "class" if measure.is_accuracy else "by float"
    return _matrix(table, labels, rows) if len(labels) <= NAMED else _pairs(pairs)


def _matrix(table: Mapping[str, Mapping[str, int]], labels: Sequence[str], rows: str) -> str:
    counts = confusion_matrix(table, len(labels))
    cell = CELL if len(labels) <= MANY else SMALL_CELL
    names = [shortened(name, NAME) for name in labels]
    margin = 12 + 6.6 * max(map(len, names))
    left, top = margin + 18, margin * 0.78 + 24
    parts = [text(left, 12, "taken for", "heading"), text(0, top - 8, rows, "heading")]
    for number, name in enumerate(names):
        x, y = left + cell * (number + 0.5), top + cell * (number + 0.5)
        parts.append(text(left - 8, y + 4, name, "tick", "end"))
        place = f'transform="translate({x + 4:g} {top - 8:g}) rotate(-50)"'
        parts.append(f"<g {place}>{text(0, 0, name, 'tick')}</g>")
    for row, of_class in enumerate(counts.tolist()):
        pictures = max(1, sum(of_class))
        for column, count in enumerate(of_class):
            x, y = left + cell * column, top + cell * row
            level = -(-4 * count // pictures) if count else 0
            parts.append(box(x + 1, y + 1, cell - 2, cell - 2, f"{'hit' if row == column else 'miss'} level{level}"))
            if count:
                kind = f"count on{'hit' if row == column else 'miss'}{level}{' small' if cell < CELL else ''}"
                parts.append(text(x + cell / 2, y + cell / 2 + 4, str(count), kind, "middle"))
    size = cell * len(labels)
    right = int(sum(counts.diagonal()))
    label = f"Confusion of {len(labels)} classes: {right} of {int(counts.sum())} test pictures are on the diagonal"
    # slanted names of the last columns reach beyond the matrix
    return svg(left + size + margin * 0.62, top + size + 4, label, parts, "confusion")


def _pairs(pairs: Sequence[ConfusedPair]) -> str:
    parts, most = [], max((pair.pictures for pair in pairs), default=1)
    for number, pair in enumerate(pairs):
        y = 30 + 24 * number
        words = f"{shortened(pair.label, NAME)} → {shortened(pair.taken_for, NAME)}"
        parts.append(text(300, y + 12, words, "tick", "end"))
        parts.append(box(310, y, 200 * pair.pictures / most, 16, "miss level3"))
        parts.append(text(316 + 200 * pair.pictures / most, y + 12, str(pair.pictures), "tick"))
    parts.append(text(0, 14, "the most confused pairs of classes, and test pictures", "heading"))
    return svg(560, 40 + 24 * len(pairs), "The most confused pairs of classes", parts)
