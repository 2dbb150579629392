"""The section auto_bits of a QuantizationStrategy: the width of each layer's weights is chosen, not given."""

from typing import Annotated

from pydantic import Field

from qatflow.config.recipe.widths import DEVICE, LEAST
from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section


class AutoBitsSection(Section):
    """How the width of each layer's weights is chosen before training; set max_drop or max_bytes."""

    max_drop: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Largest loss of top-1 against float in percentage points, on the validation pictures and before "
        "any training: of the widths that keep to it, those with the fewest bytes are taken. null: not limited so.",
    )
    max_bytes: int | None = Field(
        None,
        ge=1,
        le=bounds.OPERATIONS,
        description="Largest size of all quantised kernels together, packed to their widths, in bytes: of the widths "
        "that keep to it, those that move the outputs least are taken. null: not limited so.",
    )
    widths: list[Annotated[int, Field(ge=LEAST, le=DEVICE)]] = Field(
        [8, 6, 4, 3, 2], min_length=2, description="Bits that the weights of a layer may have."
    )
    pictures: int = Field(
        256, ge=1, le=bounds.PICTURES, description="Number of validation pictures on which the layers are measured."
    )
