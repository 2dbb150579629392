"""Where int8 is not faster than float on a device: which layers' operators take longer than those of float."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qatflow.device.results.report import DeviceReport, ModelReport
from qatflow.report.network import operator_times
from qatflow.sensitivity.forms import layer_name
from qatflow.tflite.read import operators

NAMED = 3
"""So many operators are named, those that cost most first."""
Unit = Literal["ms", "instructions"]


@dataclass(frozen=True)
class OperatorAtFault:
    """An operator of the int8 model that takes longer than float's operator of the same layer.

    Attributes:
        device: name of the device.
        layer: name of its layer.
        kernel: LiteRT's name of what computes it in int8.
        unit: `ms`, or `instructions` where times are emulated.
        int8: what it takes.
        float_model: what float's operator takes; None where float has none, as for a conversion.
    """

    device: str
    layer: str
    kernel: str
    unit: Unit
    int8: float
    float_model: float | None

    @property
    def excess(self) -> float:
        """By how much it takes longer."""
        return self.int8 - (self.float_model or 0.0)


def at_fault(devices: Sequence[DeviceReport], contents: Mapping[str, bytes]) -> tuple[OperatorAtFault, ...]:
    """Return the operators at fault on each device where int8 is not faster than float, the costliest first.

    Layers are matched by their names. An operator whose kernel the profile does not tell apart is left out.

    Args:
        devices: the device runs.
        contents: the .tflite files by the name of the model in `Models.named`.
    """
    return tuple(one for run in devices if "float" in contents for one in _of_run(run, contents))


def _of_run(run: DeviceReport, contents: Mapping[str, bytes]) -> list[OperatorAtFault]:
    unit = _unit(run)
    if unit is None or run.models.float is None:
        return []
    float_costs = _costs(run.models.float, contents["float"], unit)
    found = []
    for layer, (cost, kernel) in _costs(run.models.int8, contents["int8"], unit).items():
        float_cost = None if layer.endswith(CONVERTS) else float_costs.get(layer, (None, ""))[0]
        if float_cost is None and not layer.endswith(CONVERTS):
            continue  # float's operator of this layer is not known
        found.append(OperatorAtFault(run.device.name, layer.removesuffix(CONVERTS), kernel, unit, cost, float_cost))
    slower = [one for one in found if one.excess > 0]
    return sorted(slower, key=lambda one: -one.excess)[:NAMED]


CONVERTS = " (conversion)"
"""Ends the name of a layer whose integers or floats a conversion writes."""


def _unit(run: DeviceReport) -> Unit | None:
    """Return what shows that int8 is not faster; None where it is, or where that is not known."""
    if run.ratio is None:
        return None
    if run.ratio.median_ms is not None:
        slower = any(one.ratio <= 1 for one in run.ratio.median_ms) or (run.ratio.long_ms or 2.0) <= 1
        return "ms" if slower else None
    return "instructions" if run.ratio.instructions is not None and run.ratio.instructions <= 1 else None


def _costs(model: ModelReport, content: bytes, unit: Unit) -> dict[str, tuple[float, str]]:
    """Return what each layer's operators take, with the kernel of the costliest, by the name of the layer."""
    listed = operators(content)
    costs: dict[str, tuple[float, str]] = {}
    for number, time in operator_times(listed, model.profile.operators).items():
        cost = time.mean_ms if unit == "ms" else time.instructions
        if cost is None:
            continue
        operator = listed[number]
        name = layer_name(operator.outputs[0].name).partition(";")[0]
        name += CONVERTS if operator.name in ("QUANTIZE", "DEQUANTIZE") else ""
        before, kernel = costs.get(name, (0.0, ""))
        costs[name] = (before + cost, kernel or time.kernel)
    return costs


def at_fault_words(found: Sequence[OperatorAtFault], device: str, quantised: str = "int8") -> Iterator[str]:
    """Yield a sentence that names the operators at fault on a device, if there are some."""
    of_device = [one for one in found if one.device == device]
    if of_device:
        listed = "; ".join(
            f"{one.layer} ({one.kernel}) {_amount(one.int8, one.unit)} against "
            + ("none in float" if one.float_model is None else _amount(one.float_model, one.unit))
            for one in of_device
        )
        yield f"{quantised} is not faster than float on {device}. At fault, the costliest first: {listed}."


def _amount(value: float, unit: Unit) -> str:
    return f"{value:.3f} ms" if unit == "ms" else f"{value:,.0f} instructions"
