"""What the candidates of a search came to: by their number, and by what they cost."""

from pathlib import Path

from matplotlib.figure import Figure

from qatflow.report.pictures import save
from qatflow.search.result import Found

TRIED, BEST = "#4477aa", "#aa7744"


def search_picture(found: Found, output: Path) -> None:
    """Draw the reward of each candidate, with the best so far, and against multiply-adds (and latency, where known).

    Args:
        found: the search.
        output: SVG file to write.
    """
    costs = {"multiply-adds, M": [one.candidate.size.multiply_adds / 1e6 for one in found.outcomes]}
    latencies = [one.candidate.size.latency for one in found.outcomes]
    if None not in latencies:
        costs[f"latency by the table, {found.best.candidate.size.latency_unit}"] = [
            latency for latency in latencies if latency is not None
        ]
    numbers = [one.candidate.number for one in found.outcomes]
    rewards = [100 * one.reward for one in found.outcomes]
    so_far = [max(rewards[: place + 1]) for place in range(len(rewards))]
    best = numbers.index(found.best.candidate.number)
    figure = Figure(figsize=(4.5 * (1 + len(costs)), 3.6), layout="constrained")
    first, *others = figure.subplots(1, 1 + len(costs))
    first.plot(numbers, rewards, "o", color=TRIED, label="candidate")
    first.plot(numbers, so_far, color=BEST, drawstyle="steps-post", label="best so far")
    first.set(xlabel="candidate", ylabel=f"{found.metric_name}, %")
    for axes, (words, values) in zip(others, costs.items(), strict=True):
        axes.plot(values, rewards, "o", color=TRIED, label="candidate")
        axes.plot(values[best], rewards[best], "o", color=BEST, label="the best")
        axes.set(xlabel=words, ylabel=f"{found.metric_name}, %")
    for axes in (first, *others):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    save(figure, output)
