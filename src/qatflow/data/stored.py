"""From a record's content to pixels or values, as every stage sees them."""

import numpy as np

from qatflow.data.picture import decode
from qatflow.data.preprocess import Preprocessing

VALUE = np.dtype("<f4")
"""The type of an array's values in a record."""


def opened(spec: Preprocessing, content: bytes) -> np.ndarray:
    """Return the input that a record holds, before preprocessing.

    Args:
        spec: of the data set.
        content: of the record.

    Returns:
        uint8 [height, width, channels] of a picture; float32 [height, width, channels] of an array (resize `none`).
    """
    if spec.resize == "none":
        return np.frombuffer(content, VALUE).reshape(spec.shape)
    return decode(content, spec.channels)
