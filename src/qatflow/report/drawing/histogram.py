"""Where a layer's float values lie on the grid of its output: the distribution, the range, what is cut off."""

from collections.abc import Sequence
from math import sqrt

from qatflow.evaluate.layers import BINS, MARGIN, InspectedLayer
from qatflow.report.drawing.svg import box, line, shortened, svg, text

WIDTH, HEIGHT = 192.0, 40.0
ROW = 300.0


def histogram_picture(layer: InspectedLayer) -> str:
    """Return the small picture of one layer."""
    return svg(WIDTH, HEIGHT, _words(layer), _parts(layer, 0, 0), "histogram")


def ranges_picture(layers: Sequence[InspectedLayer]) -> str:
    """Return one picture with a row for each layer, in the order of execution."""
    parts = []
    for number, layer in enumerate(layers):
        top = (HEIGHT + 6) * number
        parts.append(text(0, top + 24, shortened(layer.name, 40), "tick"))
        parts += _parts(layer, ROW, top)
        parts.append(text(ROW + WIDTH + 12, top + 24, f"{100 * layer.clipped:.3g} % clipped", "tick"))
    height = max(1, len(layers)) * (HEIGHT + 6)
    return svg(ROW + WIDTH + 120, height, "Distribution of each layer's float values on its grid of integers", parts)


def _words(layer: InspectedLayer) -> str:
    low, high = layer.grid_range
    return (
        f"float values from {layer.float_low:.3g} to {layer.float_high:.3g}, "
        f"int{layer.bits} from {low:.3g} to {high:.3g}, "
        f"{100 * layer.clipped:.3g} % clipped"
    )


def _parts(layer: InspectedLayer, left: float, top: float) -> list[str]:
    width = WIDTH / (BINS + 2 * MARGIN)
    low, high = left + MARGIN * width, left + (MARGIN + BINS) * width
    bottom, most = top + HEIGHT - 2, sqrt(max(layer.histogram) or 1)
    parts = [box(low, top, high - low, HEIGHT - 2, "grid8")]
    within: list[str] = []
    beyond: list[str] = []
    for place, share in enumerate(layer.histogram):
        if share:
            height = max(1.0, (HEIGHT - 6) * sqrt(share) / most)
            bar = f"M{left + place * width:.1f} {bottom:g}v-{height:.1f}h{width - 0.6:.1f}v{height:.1f}z"
            (within if MARGIN <= place < MARGIN + BINS else beyond).append(bar)
    parts += [
        f'<path class="{kind}" d="{"".join(bars)}"/>' for kind, bars in (("bar", within), ("cut", beyond)) if bars
    ]
    parts.append(line(left, bottom, left + WIDTH, bottom, "axis"))
    return parts
