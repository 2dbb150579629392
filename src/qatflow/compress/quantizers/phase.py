"""What the quantisers of one model are doing."""

from dataclasses import dataclass
from typing import Literal


@dataclass
class Phase:
    """Shared by all quantisers of a model and read when TensorFlow traces them: a new value needs a new trace.

    Attributes:
        mode: `float`: let everything through; `calibrate`: let everything through and gather activation ranges;
            `quantise`: fake-quantise weights and activations.
    """

    mode: Literal["float", "calibrate", "quantise"] = "float"
