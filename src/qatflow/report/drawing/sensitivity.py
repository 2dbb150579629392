"""What the quantisation of each layer costs, as bars, the worst first."""

from collections.abc import Sequence

from qatflow.report.drawing.svg import box, line, shortened, svg, text
from qatflow.sensitivity.measure import LayerSensitivity, Sensitivities

NAMES, BARS, FIGURES = 250.0, 300.0, 210.0
ROW, HEAD = 26.0, 24.0
WORST = 40
"""A deeper network's other layers are in the table."""


def sensitivity_picture(sensitivities: Sensitivities | None, most: int | None = WORST) -> str:
    """Return the picture; an empty one if nothing was measured.

    Args:
        sensitivities: of the layers.
        most: number of layers that are drawn; None: all.
    """
    layers = [] if sensitivities is None else sensitivities.worst_first[:most]
    label = "KL divergence from float with each layer quantised alone, the worst first"
    if sensitivities is None or not layers:
        return svg(NAMES + BARS + FIGURES, HEAD, label, [], "sensitivity")
    greatest = max([*(layer.alone_kl for layer in layers), sensitivities.kl]) or 1.0
    parts = [text(NAMES, 12, "KL divergence from float, nats", "heading")]
    for number, layer in enumerate(layers):
        parts += _row(layer, sensitivities, HEAD + ROW * number, greatest)
    bottom = HEAD + ROW * len(layers)
    at = NAMES + BARS * sensitivities.kl / greatest
    parts.append(line(at, HEAD - 4, at, bottom, "exported"))
    parts.append(text(min(at, NAMES + BARS), bottom + 12, f"all layers {sensitivities.kl:.3g}", "tick", "middle"))
    return svg(NAMES + BARS + FIGURES, bottom + 18, label, parts, "sensitivity")


def _row(layer: LayerSensitivity, whole: Sensitivities, top: float, greatest: float) -> Sequence[str]:
    gain = whole.kl - layer.without_kl
    return (
        text(NAMES - 8, top + 14, shortened(layer.name, 38), "tick", "end"),
        box(NAMES, top + 1, max(1.0, BARS * layer.alone_kl / greatest), 12, "bar"),
        box(NAMES, top + 14, max(0.0, min(BARS, BARS * gain / greatest)), 5, "cut"),
        text(
            NAMES + BARS + 10,
            top + 12,
            f"{layer.alone_kl:.3g} alone, {-gain:+.2g} if left in float".replace("-", "−"),
            "tick",
        ),
    )
