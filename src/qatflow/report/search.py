"""The result of a search: the network in words, and a picture of its candidates."""

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from qatflow.report.on_device import OnDevice
from qatflow.report.pictures import save
from qatflow.search.result import SearchResult

TRIED, BEST = "#4477aa", "#aa7744"


def searched_network(search: SearchResult, devices: tuple[OnDevice, ...]) -> Iterator[str]:
    """Yield the sizes of the searched layers, and the latency from the table next to the one of the model that ships.

    Args:
        search: the search; if it is not over sizes, no sizes are yielded.
        devices: the results of the device runs, the first from the device that the table was measured on.
    """
    candidate = search.best.candidate
    sizes = [
        *(f"{_layer(name)} {number} channels" for name, number in candidate.about.get("channels", {}).items()),
        *(f"{_layer(name)} {size} × {size}" for name, size in candidate.about.get("windows", {}).items()),
    ]
    if sizes:
        yield f"the network found: {', '.join(sizes)}"
    predicted = candidate.size.latency
    measured = _measured(devices[0], candidate.size.latency_unit) if devices else None
    if predicted is not None and measured:
        yield (
            f"its latency by the table {predicted:.6g} {candidate.size.latency_unit}, measured on {devices[0].name} "
            f"{measured:.6g} ({100 * (predicted / measured - 1):+.1f} %)"
        )


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


def _layer(kernel: str) -> str:
    return kernel.rsplit("/", 1)[0]


def _measured(device: OnDevice, unit: str | None) -> float | None:
    """Return the int8 model's latency there: its first median time, or its instructions."""
    word = "instructions" if unit == "instructions" else "median, "
    return next((figure.int8_model for figure in device.figures if word in figure.name), None)
