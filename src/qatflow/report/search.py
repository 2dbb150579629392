"""The result of a search: the network in words."""

from collections.abc import Iterator

from qatflow.report.on_device import OnDevice
from qatflow.search.result import SearchResult


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


def _layer(kernel: str) -> str:
    return kernel.rsplit("/", 1)[0]


def _measured(device: OnDevice, unit: str | None) -> float | None:
    """Return the int8 model's latency there: its first median time, or its instructions."""
    word = "instructions" if unit == "instructions" else "median, "
    return next((figure.int8_model for figure in device.figures if word in figure.name), None)
