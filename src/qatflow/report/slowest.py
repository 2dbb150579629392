"""The operators that take longest on a device, with the names of their layers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from qatflow.device.results.report import DeviceReport, OperatorTime
from qatflow.report.network import operator_times
from qatflow.sensitivity.forms import layer_name
from qatflow.tflite.read import operators

SLOWEST = 8


@dataclass(frozen=True)
class SlowOperator:
    """One of the slowest operators of a model on a device.

    Attributes:
        device: name of the device.
        model: `float` or `int8`: the one that ships.
        operators: number of operators that the model executes there; those that LiteRT fuses count as one.
        place: in the order of execution, from 0 on.
        layer: name of its layer; empty where the profile does not tell which one it is.
        kernel: LiteRT's name of what computes it.
        ms: mean time.
        percent: of the time of all operators.
    """

    device: str
    model: str
    operators: int
    place: int
    layer: str
    kernel: str
    ms: float
    percent: float


def slowest(devices: Sequence[DeviceReport], contents: Mapping[str, bytes]) -> tuple[SlowOperator, ...]:
    """Return the slowest operators of each model on each device, the slowest first.

    Args:
        devices: the device runs.
        contents: the .tflite files by the name of the model in `Models.named`; one that is missing has no layers.
    """
    listed = {name: operators(content) for name, content in contents.items()}
    names = {name: [layer_name(one.outputs[0].name).partition(";")[0] for one in of] for name, of in listed.items()}
    return tuple(
        SlowOperator(
            device=run.device.name,
            model=name,
            operators=len(model.profile.operators),
            place=one.index,
            layer=layer,
            kernel=one.kernel,
            ms=one.mean_ms,
            percent=one.percent,
        )
        for run in devices
        for name, model in run.models.named.items()
        for one, layer in _named(
            model.profile.operators, operator_times(listed.get(name, []), model.profile.operators), names.get(name, [])
        )
    )


def _named(
    profile: Sequence[OperatorTime], known: Mapping[int, OperatorTime], names: Sequence[str]
) -> Iterator[tuple[OperatorTime, str]]:
    layers = {id(one): names[number] for number, one in known.items()}
    for one in sorted(profile, key=lambda operator: (-operator.mean_ms, operator.index))[:SLOWEST]:
        yield one, layers.get(id(one), "")
