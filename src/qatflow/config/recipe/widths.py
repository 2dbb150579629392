"""The widths of weights or activations: one for all layers, or several by patterns of kernels' or layers' names."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, WithJsonSchema

from qatflow.config.sections.base import Text

LEAST, MOST = 2, 16
DEVICE = 8
"""Widest weights that the device's kernels read; what has fewer bits is stored as int8 too."""
INT4 = 4
"""Widest weights that can be stored as INT4, two a byte."""
WIDE = 16
"""The other width of activations that the device has kernels for: int16, with int8 weights and int64 biases."""
ACTIVATIONS = (DEVICE, WIDE)
DEFAULT = "default"
"""The key of a mapping that is no pattern: the width of the layers that no pattern matches."""
NUMBER, MAPPING = "{number}", "{mapping}"
"""Which of the two forms pydantic's messages are about; no key of a user has braces."""


def _form(value: Any) -> str:
    return MAPPING if isinstance(value, dict) else NUMBER


Bits = Annotated[int, Field(ge=LEAST, le=MOST)]
_BITS = {"type": "integer", "minimum": LEAST, "maximum": MOST}
Widths = Annotated[
    Annotated[Bits, Tag(NUMBER)] | Annotated[dict[Text, Bits], Tag(MAPPING)],
    Discriminator(_form),
    WithJsonSchema({"anyOf": [_BITS, {"type": "object", "additionalProperties": _BITS}]}),
]


def default_width(widths: int | Mapping[str, int]) -> int:
    """Return the width of the layers that no pattern matches."""
    return widths if isinstance(widths, int) else widths.get(DEFAULT, DEVICE)


def patterns(widths: int | Mapping[str, int]) -> dict[str, int]:
    """Return the width by pattern; nothing where all layers have one width."""
    return {} if isinstance(widths, int) else {key: bits for key, bits in widths.items() if key != DEFAULT}


def every_width(widths: int | Mapping[str, int]) -> set[int]:
    """Return all widths that layers may have."""
    return {default_width(widths), *patterns(widths).values()}
