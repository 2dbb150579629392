"""The network that a search over sizes has found, in words, and its latency beside the measured one."""

from collections.abc import Iterator

from qatflow.report.on_device import OnDevice
from qatflow.search.result import Found


def searched_network(found: Found, devices: tuple[OnDevice, ...]) -> Iterator[str]:
    """Yield the sizes of the layers that were searched, and the latency by the table with that of the model that ships.

    Args:
        found: the search; of one that is not over sizes nothing is told.
        devices: what the runs on the devices found, the first of them on the one that the table was measured on.
    """
    candidate = found.best.candidate
    sizes = [
        *(f"{_layer(name)} {number} channels" for name, number in candidate.about.get("channels", {}).items()),
        *(f"{_layer(name)} {size} × {size}" for name, size in candidate.about.get("windows", {}).items()),
    ]
    if sizes:
        yield f"the network found: {', '.join(sizes)}"
    foretold = candidate.size.latency
    measured = _measured(devices[0], candidate.size.latency_unit) if devices else None
    if foretold is not None and measured:
        yield (
            f"its latency by the table {foretold:.6g} {candidate.size.latency_unit}, measured on {devices[0].name} "
            f"{measured:.6g} ({100 * (foretold / measured - 1):+.1f} %)"
        )


def _layer(kernel: str) -> str:
    return kernel.rsplit("/", 1)[0]


def _measured(device: OnDevice, unit: str | None) -> float | None:
    """Return the int8 model's latency there: the first of its times, or its instructions."""
    word = "instructions" if unit == "instructions" else "median, "
    return next((figure.int8_model for figure in device.figures if word in figure.name), None)
