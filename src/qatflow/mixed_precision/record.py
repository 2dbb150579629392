"""widths.json: which width each layer's weights got, what was measured, and what was not taken."""

from dataclasses import dataclass
from pathlib import Path

from qatflow.base.sums import read_sealed


@dataclass(frozen=True)
class ChosenLayer:
    """A layer and its width.

    Attributes:
        name: of the layer.
        kernel: name of its kernel.
        values: number of the kernel's values.
        bits: of its weights.
        costs: of each possible width, in their order: rise of KL(float ‖ other), in nats, with this layer alone at that
            width and all others at the widest.
    """

    name: str
    kernel: str
    values: int
    bits: int
    costs: tuple[float, ...]


@dataclass(frozen=True)
class Tried:
    """An assignment of widths on the curve.

    Attributes:
        bytes: of all quantised kernels, packed.
        predicted: sum of the layers' costs, in nats.
        kl: measured mean KL(float ‖ other) with these widths, in nats.
        drop: measured loss of top-1, a share of 1.
        bits: of each layer.
        chosen: whether it was taken.
    """

    bytes: int
    predicted: float
    kl: float
    drop: float
    bits: tuple[int, ...]
    chosen: bool


@dataclass(frozen=True)
class ChosenWidths:
    """The choice of widths.

    Attributes:
        goal: what was asked for, in words.
        pictures: validation pictures that it was measured on.
        float_top1: of the float model on them, a share of 1.
        widths: possible ones, the widest first.
        layers: in the order of the network.
        curve: assignments with the least predicted cost for their bytes, the smallest first.
    """

    goal: str
    pictures: int
    float_top1: float
    widths: tuple[int, ...]
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
        "layer                        bits  cost by width",
    ]
    lines += [
        f"{layer.name:<28} {layer.bits:>4}  "
        + ", ".join(f"{bits}: {cost:.2g}" for bits, cost in zip(choice.widths, layer.costs, strict=True))
        for layer in choice.layers
    ]
    lines.append(f"{'bytes':>12} {'predicted KL':>13} {'KL':>10} {'points':>8}")
    lines += [
        f"{one.bytes:>12,} {one.predicted:>13.3g} {one.kl:>10.3g} {0.0 - 100 * one.drop:>+8.2f}"
        f"{'  chosen' if one.chosen else ''}"
        for one in choice.curve
    ]
    return "\n".join(lines)
