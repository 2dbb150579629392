"""Lines over epochs: learning curves with phases, learning rate and the exported epoch."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from qatflow.base.measure import ACCURACY, Measure
from qatflow.report.curves import Curve, Epoch
from qatflow.report.drawing.svg import box, line, stacked, svg, text

WIDTH, HEIGHT = 420.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 34.0, 36.0
MARKS = 40
"""With more epochs than this, points are not marked."""


@dataclass(frozen=True)
class Series:
    """A line: its name, its style, and its value at each place (epochs of all trainings, from 1 on)."""

    name: str
    kind: str
    values: Sequence[float | None]


def learning_pictures(trainings: Sequence[Curve], measure: Measure = ACCURACY) -> list[tuple[str, str]]:
    """Return title and picture of top-1 or agreement, loss and learning rate; none if nothing was trained."""
    if not trainings:
        return []
    epochs = [epoch for training in trainings for epoch in training.epochs]
    loss = _loss_title(measure)
    rate = [Series("learning rate", "line main", [epoch.learning_rate for epoch in epochs])]
    return [
        (f"{measure.name}, %", _chart(f"{measure.name}, %", _shares(epochs), trainings, _plain)),
        (loss, _chart(loss, _loss(epochs), trainings, _plain)),
        ("learning rate", _chart("learning rate", rate, trainings, _scientific)),
    ]


def learning_file(trainings: Sequence[Curve], measure: Measure = ACCURACY) -> str:
    """Return the pictures one below the other; an empty one if nothing was trained."""
    pictures = learning_pictures(trainings, measure)
    return stacked(((WIDTH, HEIGHT, picture) for _, picture in pictures), "Learning curves")


def compared_curves(
    experiments: Mapping[str, Sequence[Curve]], measure: Measure = ACCURACY
) -> list[tuple[str, str, str]]:
    """Return name, top-1 and loss of the trainings of each experiment that has some, on the same scale in each."""
    trained = {name: trainings for name, trainings in experiments.items() if trainings}
    shown: list[list[str]] = [[], []]
    drawn = ((f"{measure.name}, %", _shares), (_loss_title(measure), _loss))
    for pictures, (title, which) in zip(shown, drawn, strict=True):
        series = {name: which([epoch for one in curves for epoch in one.epochs]) for name, curves in trained.items()}
        span = [value for several in series.values() for one in several for value in one.values]
        pictures += [_chart(title, series[name], curves, _plain, span) for name, curves in trained.items()]
    return list(zip(trained, *shown, strict=True))


def _loss_title(measure: Measure) -> str:
    return "loss (cross entropy)" if measure.is_accuracy else "loss (cross entropy with float's answers)"


def _shares(epochs: Sequence[Epoch]) -> list[Series]:
    return [
        Series("validation", "line main", [_percent(epoch.validation_share) for epoch in epochs]),
        Series("training", "line minor", [_percent(epoch.train_share) for epoch in epochs]),
    ]


def _loss(epochs: Sequence[Epoch]) -> list[Series]:
    return [
        Series("validation", "line main", [epoch.validation_loss for epoch in epochs]),
        Series("training", "line minor", [epoch.train_loss for epoch in epochs]),
    ]


def _chart(
    title: str,
    series: Sequence[Series],
    trainings: Sequence[Curve],
    form: Callable[[float], str],
    span: Sequence[float | None] = (),
) -> str:
    """Return the picture; its axis holds the values of the series and of `span`."""
    values = (*(value for one in series for value in one.values), *span)
    known = [value for value in values if value is not None and math.isfinite(value)]
    ticks = nice_ticks(min(known, default=0.0), max(known, default=1.0))
    count = len(series[0].values)
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(place: float) -> float:
        """Return where an epoch is, counted from 0."""
        return LEFT + width * (place + 0.5) / count

    def up(value: float) -> float:
        return TOP + height * (1 - (value - ticks[0]) / (ticks[-1] - ticks[0]))

    parts = [*_phases(trainings, across, width / count, height)]
    for tick in ticks:
        parts.append(line(LEFT, up(tick), WIDTH - RIGHT, up(tick), "grid"))
        parts.append(text(LEFT - 6, up(tick) + 4, form(tick), "tick", "end"))
    parts += _epoch_ticks(trainings, across, TOP + height)
    parts += _exported(trainings, across, height)
    begin = 0
    for training in trainings:
        for one in series:
            places = range(begin, begin + len(training.epochs))
            parts.append(_path([(across(at), one.values[at]) for at in places], up, one.kind, marks=count <= MARKS))
        begin += len(training.epochs)
    if len(series) > 1:
        parts += _key(series)
    parts.append(text(LEFT, 12, title, "heading"))
    return svg(WIDTH, HEIGHT, f"{title} by epoch. {_words(series, form)}", parts, "chart")


def _words(series: Sequence[Series], form: Callable[[float], str]) -> str:
    ends = []
    for one in series:
        known = [value for value in one.values if value is not None]
        if known:
            ends.append(f"{one.name}: {form(known[0])} at first, {form(known[-1])} at the end")
    return "; ".join(ends)


def _path(points: list[tuple[float, float | None]], up: Callable[[float], float], kind: str, marks: bool) -> str:
    known = [(x, up(value)) for x, value in points if value is not None and math.isfinite(value)]
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in known)
    dots = "".join(f'<circle class="{kind} dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in known) if marks else ""
    return (f'<path class="{kind}" d="M{steps}"/>' if len(known) > 1 else "") + dots


def _phases(trainings: Sequence[Curve], across: Callable[[float], float], step: float, height: float) -> Iterator[str]:
    """Yield a band with its name for each phase of each training."""
    begin = 0
    for number, (training, phase, length) in enumerate(_runs(trainings)):
        left = across(begin) - step / 2
        yield box(left, TOP, step * length, height, "band even" if number % 2 else "band odd")
        words = training.name if phase == training.name else f"{training.name}: {phase}"
        if step * length > 6.0 * len(words):
            yield text(left + 4, TOP - 5, words, "tick")
        begin += length


def _runs(trainings: Sequence[Curve]) -> Iterator[tuple[Curve, str, int]]:
    for training in trainings:
        for phase, epochs in groupby(training.epochs, lambda epoch: epoch.phase):
            yield training, phase, len(list(epochs))


def _epoch_ticks(trainings: Sequence[Curve], across: Callable[[float], float], bottom: float) -> Iterator[str]:
    count = sum(len(training.epochs) for training in trainings)
    every, place = max(1, -(-count // 12)), 0
    for training in trainings:
        for epoch in training.epochs:
            if epoch.epoch % every == 0:
                yield text(across(place), bottom + 14, str(epoch.epoch), "tick", "middle")
            place += 1
    yield text((LEFT + WIDTH - RIGHT) / 2, bottom + 30, "epoch of its training", "tick", "middle")


def _exported(trainings: Sequence[Curve], across: Callable[[float], float], height: float) -> Iterator[str]:
    begin = 0
    for number, training in enumerate(trainings):
        places = [place for place, epoch in enumerate(training.epochs) if epoch.epoch == training.exported_epoch]
        for place in places:
            x = across(begin + place)
            yield line(x, TOP, x, TOP + height, "exported")
            right = x > WIDTH - 90
            # in the middle, where curves seldom end, and one below the other
            y = TOP + height / 2 + 14 * number
            yield text(x + (-4 if right else 4), y, "exported", "tick halo", "end" if right else "start")
        begin += len(training.epochs)


def _key(series: Sequence[Series]) -> Iterator[str]:
    x = WIDTH - RIGHT - 92 * len(series)
    for place, one in enumerate(series):
        at = x + 92 * place
        yield line(at, 9, at + 20, 9, one.kind)
        yield text(at + 25, 12, one.name, "tick")


def nice_ticks(low: float, high: float) -> list[float]:
    """Return round numbers from at most `low` to at least `high`, about five of them."""
    if not high > low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(step * number, 12) for number in range(first, last + 1)]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _plain(value: float) -> str:
    return f"{value:.4g}"


def _scientific(value: float) -> str:
    if not value or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}"
    digits, _, power = f"{value:.3g}".partition("e") if "e" in f"{value:.3g}" else f"{value:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(power)}"
