"""The section of the inspection layer by layer."""

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section


class InspectSection(Section):
    """The inspection layer by layer."""

    sensitivity_pictures: int = Field(
        256,
        ge=0,
        le=bounds.PICTURES,
        description="Number of validation pictures on which the cost of each layer's quantisation is measured: the "
        "layer quantised alone, and all layers quantised but it, by top-1 and by the KL divergence of the outputs. The "
        "time is about that of (number of layers) x (number of pictures) pictures by float. 0: not measured.",
    )
