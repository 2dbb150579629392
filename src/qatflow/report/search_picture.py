"""The candidates of a search, drawn by Matplotlib, which only these pages wait for."""

from pathlib import Path

from matplotlib.figure import Figure

from qatflow.report.pictures import save
from qatflow.search.result import SearchResult

TRIED, BEST = "#4477aa", "#aa7744"


def search_picture(search: SearchResult, output: Path) -> None:
    """Draw the reward of each candidate, with the best so far, and against multiply-adds (and latency, if known).

    Args:
        search: the search.
        output: SVG file to write.
    """
    costs = {"multiply-adds, M": [outcome.candidate.size.multiply_adds / 1e6 for outcome in search.outcomes]}
    latencies = [outcome.candidate.size.latency for outcome in search.outcomes]
    if None not in latencies:
        costs[f"latency by the table, {search.best.candidate.size.latency_unit}"] = [
            latency for latency in latencies if latency is not None
        ]
    numbers = [outcome.candidate.number for outcome in search.outcomes]
    rewards = [100 * outcome.reward for outcome in search.outcomes]
    so_far = [max(rewards[: place + 1]) for place in range(len(rewards))]
    best = numbers.index(search.best.candidate.number)
    figure = Figure(figsize=(4.5 * (1 + len(costs)), 3.6), layout="constrained")
    first, *others = figure.subplots(1, 1 + len(costs))
    first.plot(numbers, rewards, "o", color=TRIED, label="candidate")
    first.plot(numbers, so_far, color=BEST, drawstyle="steps-post", label="best so far")
    first.set(xlabel="candidate", ylabel=f"{search.metric_name}, %")
    for axes, (words, values) in zip(others, costs.items(), strict=True):
        axes.plot(values, rewards, "o", color=TRIED, label="candidate")
        axes.plot(values[best], rewards[best], "o", color=BEST, label="the best")
        axes.set(xlabel=words, ylabel=f"{search.metric_name}, %")
    for axes in (first, *others):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    save(figure, output)
