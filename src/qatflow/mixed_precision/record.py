"""widths.json: which precision each layer got, what was measured, and what was not taken.

A precision is a text: `4` for weights of 4 bits and an output of 8, `8/16` for an output of 16 bits, or `float`.
"""

from dataclasses import dataclass
from pathlib import Path

from qatflow.base.sums import read_sealed


@dataclass(frozen=True)
class ChosenLayer:
    """A layer and its precision.

    Attributes:
        name: of the layer.
        kernel: name of its kernel.
        values: number of the kernel's values.
        bits: its precision.
        costs: of each precision, in the order of `ChosenWidths.widths`: rise of KL(float ‖ other), in nats, with this
            layer alone in that precision and all others in the first; None where the layer cannot have it.
    """

    name: str
    kernel: str
    values: int
    bits: str
    costs: tuple[float | None, ...]


@dataclass(frozen=True)
class Tried:
    """An assignment of precisions on the curve.

    Attributes:
        bytes: of all kernels that can be quantised, packed to their widths, and 4 for each value of one in float.
        latency: of one inference by the latency table; None without a table.
        predicted: sum of the layers' costs, in nats.
        kl: measured mean KL(float ‖ other), in nats.
        drop: measured loss of top-1, a share of 1.
        bits: precision of each layer.
        chosen: whether it was taken.
    """

    bytes: int
    latency: float | None
    predicted: float
    kl: float
    drop: float
    bits: tuple[str, ...]
    chosen: bool


@dataclass(frozen=True)
class ChosenWidths:
    """The choice of precisions.

    Attributes:
        goal: what was asked for, in words.
        pictures: validation pictures that it was measured on.
        float_top1: of the float model on them, a share of 1; None where the labels are its own answers.
        latency_unit: `instructions` or `ms` on the device; None where the latency was not limited.
        widths: possible precisions; the first is what the others are measured against.
        layers: in the order of the network.
        curve: assignments with the least predicted cost for their bytes or latency, the smallest first.
    """

    goal: str
    pictures: int
    float_top1: float | None
    latency_unit: str | None
    widths: tuple[str, ...]
    layers: tuple[ChosenLayer, ...]
    curve: tuple[Tried, ...]


def read_widths(path: Path) -> ChosenWidths:
    """Return the choice in a widths.json."""
    choice = read_sealed(path)["choice"]
    layers = tuple(ChosenLayer(**{**layer, "costs": tuple(layer["costs"])}) for layer in choice["layers"])
    curve = tuple(Tried(**{**tried, "bits": tuple(tried["bits"])}) for tried in choice["curve"])
    return ChosenWidths(**{**choice, "widths": tuple(choice["widths"]), "layers": layers, "curve": curve})


def table(choice: ChosenWidths) -> str:
    """Return the choice and the curve as lines of text."""
    lines = [
        f"{choice.goal}, on {choice.pictures} validation pictures",
        "layer                         bits  cost by precision",
    ]
    lines += [
        f"{layer.name:<28} {layer.bits:>5}  "
        + ", ".join(
            f"{bits}: {cost:.2g}" for bits, cost in zip(choice.widths, layer.costs, strict=True) if cost is not None
        )
        for layer in choice.layers
    ]
    unit = choice.latency_unit
    form = ".0f" if unit == "instructions" else ".6g"
    lines.append(f"{'bytes':>12} {'' if unit is None else f'{unit:>15} '}{'predicted KL':>13} {'KL':>10} {'points':>8}")
    lines += [
        f"{one.bytes:>12,} {'' if one.latency is None else f'{one.latency:>15,{form}} '}{one.predicted:>13.3g} "
        f"{one.kl:>10.3g} {0.0 - 100 * one.drop:>+8.2f}{'  chosen' if one.chosen else ''}"
        for one in choice.curve
    ]
    return "\n".join(lines)
