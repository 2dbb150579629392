"""The compression benchmark's tables in Markdown, and whether its aims are met."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from compression_variants import (
    DISTILLED,
    FLOAT,
    HALF,
    PRUNING_RATE,
    QAT,
    SPARSITY_RATE,
    VALIDATION,
    Budget,
    name,
    weights_name,
)
from heading import heading
from qatflow.graph.counts import Count, total
from qatflow.graph.store import load

WITHIN, FASTER = 1.0, 1.6  # the aims: points of top-1, and a ratio of times
RESULTS, PRETRAIN = Path("results"), Path("pretrain")


@dataclass(frozen=True)
class Measured:
    """The workflow's results for one model.

    Attributes:
        top1: of the .tflite file, in percent of the test pictures.
        count: multiply-adds and parameters of its graph.
        bytes: size of the .tflite file.
        compressed_bytes: its deflated size.
        instructions: per inference in the emulator.
        parity: whether device and host compute the same integers, bit for bit; in float, whether their outputs differ
            by at most 1e-4.
        commit: at which it was made.
    """

    top1: float
    count: Count
    bytes: int
    compressed_bytes: int
    instructions: int
    parity: bool
    commit: str


def model_file(variant: str, seed: int) -> Path:
    """Return the .tflite file of a row and seed."""
    own = name(variant, seed)
    return RESULTS / own / f"{own}_{'float_opt' if variant == FLOAT else 'opt'}" / "model.tflite"


def measured(variant: str, seed: int, budget: Budget) -> Measured | None:
    """Return the results of a row and seed; None if the workflow has not made them yet."""
    folder = RESULTS / name(variant, seed)
    if not (folder / "summary.json").is_file():
        return None
    summary = json.loads((folder / "summary.json").read_text())
    row = next(r for r in summary["rows"] if r["model"].startswith("float" if variant == FLOAT else "QAT "))
    models = json.loads((folder / "device/emulator/report.json").read_text())["models"]
    on_device = models["float" if variant == FLOAT else "int8"]
    float_graph = PRETRAIN / f"{weights_name(budget.all, seed)}_pretrained"
    return Measured(
        top1=100 * row["top1"],
        count=total(load(float_graph if variant == FLOAT else folder / "trained")),
        bytes=row["bytes"],
        compressed_bytes=row["compressed_bytes"],
        instructions=on_device["instructions"],
        parity=_parity(on_device["agreement"], variant),
        commit=summary["provenance"]["commit"],
    )


def _parity(agreement: Mapping[str, Any], variant: str) -> bool:
    if variant == FLOAT:
        return agreement["largest_difference"] <= 1e-4
    return bool(agreement["integer_part"]["bit_equal"])


def page(
    seeds: Sequence[int],
    budget: Budget,
    variants: Sequence[str],
    host: Mapping[str, float],
    large: Mapping[str, tuple[float, float]],
    runs: str,
) -> str:
    """Return the whole page.

    Args:
        seeds: the requested ones.
        budget: epochs.
        variants: the rows.
        host: ms per picture by row, measured in turns.
        large: for MobileNetV1 1.0 at 96 × 96: ms and millions of multiply-adds by model, unpruned int8 first.
        runs: how often the times were measured, in words.
    """
    every = {(v, s): measured(v, s, budget) for v in variants for s in seeds}
    known = {key: value for key, value in every.items() if value is not None}
    lines = ["# Compression strategies: what they cost and gain", ""]
    lines += heading(sorted({result.commit for result in known.values()}))
    lines += [
        f"* Fashion-MNIST, {60_000 - VALIDATION:,} training pictures, MobileNetV1 0.5 at 32 × 32",
        f"* {budget.all} epochs for each row: {budget.float_epochs} in float, {budget.compress_epochs} of compression, "
        "quantised in the last one at the latest; the float row has all in float, and is the distillation teacher",
        f"* learning rates of compression: the default, but {PRUNING_RATE} for pruning and {SPARSITY_RATE} for "
        "sparsity, since the remaining weights have much to learn again",
        "* top-1: of the .tflite file on the 10,000 test pictures; its standard error is 0.29 points",
        "* parameters: all weights of the trained graph; bytes: of the .tflite file, and deflated as for a download",
        f"* host: LiteRT on this machine, one thread, median of {runs}",
        "* instructions: per inference on a Cortex-A76 in the emulator",
        "* bit for bit: whether emulator and host compute the same integers for 200 validation pictures; in float, "
        "whether the outputs are within 1e-4",
        "",
        f"| model | {' | '.join(f'seed {seed}' for seed in seeds)} | mean top-1 % | to float | parameters "
        "| multiply-adds, M | bytes | deflated | host, ms | instructions | bit for bit |",
        "|---" * (len(seeds) + 10) + "|",
        *(_row(variant, seeds, known, host) for variant in variants),
        "",
        *_large(large, runs),
        "",
        *_aims(seeds, known, large),
    ]
    return "\n".join(lines)


def _row(
    variant: str, seeds: Sequence[int], known: Mapping[tuple[str, int], Measured], host: Mapping[str, float]
) -> str:
    own = [known[variant, seed] for seed in seeds if (variant, seed) in known]
    cells = [f"{known[variant, seed].top1:.2f}" if (variant, seed) in known else "" for seed in seeds]
    if not own:
        return f"| {variant} | {' | '.join(cells)} |" + " |" * 9
    gain = _gain(variant, FLOAT, seeds, known)
    cells += [
        f"{fmean(result.top1 for result in own):.2f}",
        "" if gain is None else f"{gain:+.2f}",
        f"{fmean(result.count.parameters for result in own):,.0f}",
        f"{fmean(result.count.multiply_adds for result in own) / 1e6:.2f}",
        f"{fmean(result.bytes for result in own):,.0f}",
        f"{fmean(result.compressed_bytes for result in own):,.0f}",
        f"{host[variant]:.4f}" if variant in host else "",
        f"{fmean(result.instructions for result in own):,.0f}",
        "yes" if all(result.parity for result in own) else "no",
    ]
    return f"| {variant} | {' | '.join(cells)} |"


def _gain(variant: str, other: str, seeds: Sequence[int], known: Mapping[tuple[str, int], Measured]) -> float | None:
    """Return by how many points a row is better than another: the mean over the seeds with both."""
    pairs = [(known.get((variant, seed)), known.get((other, seed))) for seed in seeds]
    gains = [a.top1 - b.top1 for a, b in pairs if a is not None and b is not None]
    return fmean(gains) if gains else None


def _large(large: Mapping[str, tuple[float, float]], runs: str) -> list[str]:
    first = next(iter(large))
    return [
        "## MobileNetV1 1.0 at 96 × 96 × 3, 1,000 classes, random weights",
        "",
        f"Host latency, one thread, median of {runs}; it does not depend on the weights' values.",
        "",
        "| model | multiply-adds, M | ms | times as fast |",
        "|---|---|---|---|",
        *(
            f"| {model} | {millions:.1f} | {ms:.3f} | {large[first][0] / ms:.2f} |"
            for model, (ms, millions) in large.items()
        ),
    ]


def _aims(
    seeds: Sequence[int], known: Mapping[tuple[str, int], Measured], large: Mapping[str, tuple[float, float]]
) -> list[str]:
    distilled, half = _gain(DISTILLED, QAT, seeds, known), _gain(HALF, FLOAT, seeds, known)
    if distilled is None or half is None:
        return ["too few measurements to say whether the aims are met"]
    (whole, _), (thin, _) = large.values()
    return [
        f"* distilled QAT >= QAT: {_yes(distilled >= 0)} ({distilled:+.2f} points, mean over the seeds)",
        f"* −50 % of the multiply-adds and QAT within {WITHIN:g} point of float: {_yes(half >= -WITHIN)} ({half:+.2f})",
        f"* and at least {FASTER:g} times as fast on the host as unpruned int8, MobileNetV1 1.0 at 96 × 96: "
        f"{_yes(whole / thin >= FASTER)} ({whole / thin:.2f})",
        f"* the emulator agrees bit for bit for all: {_yes(all(result.parity for result in known.values()))}",
    ]


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
