"""What a model has, as a table of text."""

from collections.abc import Sequence

from qatflow.base.columns import aligned
from qatflow.inspection.layers import Contents, Layer

HEAD = ("layer", "operator", "output", "type", "scale", "zero", "kernel", "bits", "scales", "parameters", "bytes")
LEFT = (0, 1)


def text(contents: Contents) -> str:
    """Return the lines: what goes in, a row for each layer, and the sums."""
    rows = [HEAD, *map(_row, contents.layers)]
    return "\n".join(
        [
            f"{contents.file}: reads {_by(contents.input)} in {contents.input_type}",
            "",
            *aligned(rows, LEFT),
            "",
            f"{len(contents.layers)} layers; {contents.parameters:,} parameters in {contents.parameter_bytes:,} bytes; "
            f"{contents.bytes:,} bytes in all",
            "",
        ]
    )


def _row(layer: Layer) -> tuple[str, ...]:
    return (
        layer.name,
        layer.kind,
        _by(layer.shape),
        layer.type,
        "" if layer.scale is None else f"{layer.scale:.4g}",
        "" if layer.zero_point is None else str(layer.zero_point),
        "" if layer.kernel is None else _by(layer.kernel),
        "" if layer.kernel_bits is None else str(layer.kernel_bits),
        str(layer.kernel_scales or ""),
        f"{layer.parameters:,}" if layer.parameters else "",
        f"{layer.bytes:,}" if layer.bytes else "",
    )


def _by(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "1"
