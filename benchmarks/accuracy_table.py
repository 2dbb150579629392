"""The accuracy benchmark's table in Markdown, and whether its aims are met."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from accuracy_results import Result
from heading import heading
from variants import FLOAT, FLOAT_LONGER, OURS, TFMOT, VARIANTS

ALLOWED = 0.1  # points of top-1 that ours may be below stock tfmot


@dataclass(frozen=True)
class Figures:
    """The results of one data set by (seed, variant), in the order of the requested seeds."""

    dataset: str
    seeds: Sequence[int]
    results: dict[tuple[int, str], Result]

    def top1(self, variant: str, seed: int) -> float | None:
        """Return the top-1 in percent, or None if it was not measured."""
        result = self.results.get((seed, variant))
        return None if result is None else 100 * result.top1

    def mean(self, variant: str) -> float | None:
        """Return the mean top-1 in percent over the measured seeds."""
        return _mean([self.top1(variant, seed) for seed in self.seeds])

    def difference(self, variant: str, other: str) -> float | None:
        """Return by how many points a variant is better than another: the mean over the seeds with both."""
        pairs = [(self.top1(variant, seed), self.top1(other, seed)) for seed in self.seeds]
        return _mean([None if a is None or b is None else a - b for a, b in pairs])


def table(results: Sequence[Result], datasets: Sequence[str], seeds: Sequence[int], skipped: dict[str, str]) -> str:
    """Return the whole page.

    Args:
        results: the measurements, with one budget per data set.
        datasets: the requested ones.
        seeds: the requested ones.
        skipped: why a data set was skipped, by its name.
    """
    commits = sorted({result.commit for result in results})
    lines = ["# Top-1 after training for int8, against float, post-training quantisation and stock tfmot", ""]
    lines += [*heading(commits), "* every figure is measured on the .tflite file, with LiteRT on the full test set", ""]
    measured = []
    for dataset in datasets:
        own = {(r.seed, r.variant): r for r in results if r.dataset == dataset}
        if not own:
            lines += [f"## {dataset}", "", skipped.get(dataset, "not measured yet"), ""]
            continue
        measured.append(Figures(dataset, seeds, own))
        lines += _section(measured[-1])
    return "\n".join([*lines, *_aims(measured)])


def _section(figures: Figures) -> list[str]:
    some = next(iter(figures.results.values()))
    rates = {r.learning_rate for (_, variant), r in figures.results.items() if variant in OURS}
    float_rates = {r.learning_rate for (_, variant), r in figures.results.items() if variant == FLOAT}
    share = next((r.top1 for (_, variant), r in figures.results.items() if variant == FLOAT), some.top1)
    error = 100 * math.sqrt(share * (1 - share) / some.pictures)
    columns = [*(f"seed {seed}" for seed in figures.seeds), "mean", "to float", "to stock tfmot", "bytes", "seconds"]
    return [
        f"## {figures.dataset}",
        "",
        f"* budget: {some.budget.float_epochs} float epochs at learning rate {_shown(float_rates)}, then "
        f"{some.budget.qat_epochs} epochs at {_shown(rates)}; batches of {some.batch_size}",
        f"* {some.pictures:,} test pictures: the standard error of one figure is {error:.2f} points",
        "",
        f"| top-1 % | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
        *(_row(figures, variant) for variant in VARIANTS),
        "",
    ]


def _row(figures: Figures, variant: str) -> str:
    cells = [_number(figures.top1(variant, seed)) for seed in figures.seeds]
    cells += [_number(figures.mean(variant)), *(_signed(figures.difference(variant, o)) for o in (FLOAT, TFMOT))]
    own = [r for (_, name), r in figures.results.items() if name == variant]
    cells += [f"{own[0].bytes:,}", f"{fmean(r.seconds for r in own):.0f}"] if own else ["", ""]
    return f"| {variant} | {' | '.join(cells)} |"


def _aims(measured: Sequence[Figures]) -> list[str]:
    against = {f"{f.dataset}: {variant}": f.difference(variant, TFMOT) for f in measured for variant in OURS}
    known = {setting: value for setting, value in against.items() if value is not None}
    drops, longer = _drops(measured, FLOAT), _drops(measured, FLOAT_LONGER)
    if not known or not drops:
        return ["too few measurements to say whether the aims are met"]
    worst = min(known, key=lambda setting: known[setting])
    return [
        f"* ours >= stock tfmot - {ALLOWED:g} points in every setting: {_yes(known[worst] >= -ALLOWED)} "
        f"(worst {known[worst]:+.2f}, {worst})",
        f"* mean drop of ours against float <= 0: {_yes(max(drops.values()) <= 0)} ({_each(drops)})",
        f"* for comparison, against float with the extra epochs: {_each(longer)}",
        "",
        "Means are over the seeds, drops also over the four settings; the second aim must be met on every data set.",
    ]


def _drops(measured: Sequence[Figures], reference: str) -> dict[str, float]:
    """Return the mean drop of ours against a reference in points, over all settings and seeds, by data set."""
    gains = {f.dataset: _mean([f.difference(variant, reference) for variant in OURS]) for f in measured}
    return {dataset: -gain for dataset, gain in gains.items() if gain is not None}


def _each(drops: dict[str, float]) -> str:
    return ", ".join(f"{dataset} {drop:+.2f}" for dataset, drop in drops.items())


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"


def _shown(rates: set[float]) -> str:
    return " or ".join(f"{rate:g}" for rate in sorted(rates)) or "?"


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
