"""The section auto_bits of a QuantizationStrategy: the precision of each layer is chosen, not given."""

from typing import Annotated

from pydantic import Field

from qatflow.config.recipe.widths import DEVICE, LEAST
from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section


class AutoBitsSection(Section):
    """How the precision of each layer is chosen before training; set max_drop, max_bytes or max_latency."""

    max_drop: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Largest loss of top-1 against float in percentage points, on the validation pictures and before "
        "any training: among the choices within it, the one with the fewest bytes is taken. null: no such limit.",
    )
    max_bytes: int | None = Field(
        None,
        ge=1,
        le=bounds.OPERATIONS,
        description="Largest size of all kernels together, packed to their widths, in bytes: among the choices "
        "within it, the one that moves the outputs least is taken. null: no such limit.",
    )
    max_latency: float | None = Field(
        None,
        gt=0,
        le=bounds.OPERATIONS,
        description="Largest latency of one inference by the latencies of the operators, which are measured on the "
        "experiment's first device: instructions in the emulator, ms on a phone or board. Among the choices within it, "
        "the one that moves the outputs least is taken. Weights of fewer bits take as long as those of 8, so only the "
        "greatest of widths is used. null: no such limit.",
    )
    widths: list[Annotated[int, Field(ge=LEAST, le=DEVICE)]] = Field(
        [8, 6, 4, 3, 2], min_length=2, description="Bits that the weights of a layer may have."
    )
    float_layers: bool = Field(
        False,
        description="A layer may also stay in float, as with skip_pattern: 4 bytes for each weight, float kernels, and "
        "conversions around it.",
    )
    wide_activations: bool = Field(
        False,
        description="A layer's output may also have 16 bits, as with activation_bits. That takes no bytes of kernels, "
        "but int16 kernels are many times slower on a CPU: limit max_latency where time matters.",
    )
    pictures: int = Field(
        256, ge=1, le=bounds.PICTURES, description="Number of validation pictures on which the layers are measured."
    )

    @property
    def tried_widths(self) -> list[int]:
        """The widths of weights, the greatest first; with max_latency only that, since others take as long."""
        ordered = sorted(self.widths, reverse=True)
        return ordered[:1] if self.max_latency is not None else ordered

    @property
    def precisions(self) -> int:
        """How many precisions a layer may have at most."""
        return len(self.tried_widths) * (1 + self.wide_activations) + self.float_layers
