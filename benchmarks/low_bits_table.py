"""The page of the benchmark of few bits."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

import numpy as np

from heading import heading
from low_bits_case import FLOAT, Case, is_mixed, width
from low_bits_costs import costs
from model_costs import ROUNDS
from qatflow.base.metrics import paired_drop
from qatflow.data.reader import tensors

AIMS = {4: 0.3, 2: 2.0}
"""Points of top-1 that the best type may lose, by width."""
COST_COLUMNS = ("bytes", "deflated", "packed", "ms", "ms / W8A8", "instructions")


def table(network: str, cases: Sequence[Case], rows: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a network's table: rows that some seed has, with the seeds that float has too."""
    cases = [case for case in cases if case.is_measured(FLOAT)]
    yield f"## {network}"
    yield ""
    if not cases:
        yield "not measured yet"
        yield ""
        return
    _, labels = tensors(cases[0].data, "test")
    seeds = [f"seed {case.seed}" for case in cases]
    yield f"| | {' | '.join(seeds)} | mean | against float, points | 95 % interval |"
    yield "|---" * (len(seeds) + 4) + "|"
    gains: dict[int, dict[str, tuple[int, float]]] = {}
    measured = {row: [case for case in cases if case.is_measured(row)] for row in (FLOAT, *rows)}
    for row, there in measured.items():
        if not there:
            continue
        top1 = {c.seed: 100 * float((np.load(c.predictions(row)) == labels).mean()) for c in there}
        own, reference = (np.concatenate([np.load(c.predictions(r)) for c in there]) for r in (row, FLOAT))
        drop = paired_drop(reference, own, np.tile(labels, len(there)))
        against = ["", ""]
        if row != FLOAT:
            against = [f"{-drop.points:+.2f}", f"{-drop.high:+.2f} to {-drop.low:+.2f}"]
            gains.setdefault(width(row), {})[row] = (len(there), -drop.points)
        cells = [f"{top1[case.seed]:.2f}" if case.seed in top1 else "" for case in cases]
        yield f"| {row} | {' | '.join(cells)} | {fmean(top1.values()):.2f} | {' | '.join(against)} |"
    yield ""
    yield from _aims(gains)
    yield from _costs(cases[0], {row: there for row, there in measured.items() if there})


def _aims(gains: Mapping[int, Mapping[str, tuple[int, float]]]) -> Iterator[str]:
    """Yield whether the best row of a width meets its aim, of the rows with the most seeds, by what has that width."""
    for bits, allowed in AIMS.items():
        for kernels, mixed in (("all kernels but the ends'", False), ("depthwise kernels at 8 bits", True)):
            rows = [(*figures, row) for row, figures in gains.get(bits, {}).items() if is_mixed(row) == mixed]
            if rows:
                seeds, gain, best = max(rows)
                met = "met" if gain >= -allowed else "not met"
                many = f"{seeds} seed{'s' if seeds > 1 else ''}"
                yield f"* W{bits}A8 >= float - {allowed:g}, {kernels}: {met} ({gain:+.2f}, {best}, {many})"
    yield ""


def _costs(case: Case, measured: Mapping[str, Sequence[Case]]) -> Iterator[str]:
    """Yield the lines of the table of what the first seed's models take."""
    yield f"| seed {case.seed} | {' | '.join(COST_COLUMNS)} |"
    yield "|---" * (len(COST_COLUMNS) + 1) + "|"
    known = costs(case)
    for row, there in measured.items():
        if case not in there:
            continue
        figures = case.figures(row)
        cells = [f"{figures.bytes:,}", f"{figures.deflated:,}", f"{figures.packed:,}" if row != FLOAT else ""]
        cost = known.get(row)
        ratio = "" if cost is None or cost.ratio is None else f"{cost.ratio:.3f}"
        cells += [f"{cost.ms:.3f}", ratio, f"{cost.instructions:,}"] if cost else ["", "", ""]
        yield f"| {row} | {' | '.join(cells)} |"
    yield ""


def page(cases: Mapping[str, Sequence[Case]], rows: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the page."""
    every = [case for own in cases.values() for case in own]
    recipe, budget = every[0].recipe, every[0].experiment.budget
    rate = "the default" if recipe.learning_rate is None else f"{recipe.learning_rate:g}"
    commits = sorted({case.figures(row).commit for case in every for row in (FLOAT, *rows) if case.is_measured(row)})
    yield "# Weights of few bits"
    yield ""
    yield from heading(commits)
    yield (
        f"* {budget.float_epochs} float epochs, then {recipe.epochs} for int8, at a learning rate of {rate}"
        f"{', with the float model as a teacher beside the labels' if recipe.distilled else ''}; all else is the "
        "default configuration; first and last layer at 8 bits below 8"
    )
    yield "* every figure is measured on the .tflite file, with LiteRT on all test pictures"
    yield ("* depthwise 8: depthwise kernels, 3 to 4 % of the weights, keep 8 bits")
    yield "* intervals: of the paired difference over the pictures of all of the row's seeds together"
    yield (
        f"* ms: processor time of a picture on the host, one thread, median of {ROUNDS} rounds in which the models "
        "take turns; instructions: of a picture on a Cortex-A76 in the emulator"
    )
    yield ""
    for network, own in cases.items():
        yield from table(network, own, rows)
