"""Which pictures a model gets right, a bit a picture, as text: so that models of several runs are compared in pairs."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from qatflow.base.metrics import Drop, paired_drop


def packed(right: np.ndarray) -> str:
    """Return whether each picture is right (bool [n]) as base64 of a bit each, the first in the highest bit."""
    return base64.b64encode(np.packbits(np.asarray(right, bool)).tobytes()).decode()


def unpacked(text: str, pictures: int) -> np.ndarray:
    """Return what `packed` was given: bool [pictures]."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=pictures).astype(bool)


def paired(evaluation: Mapping[str, Any], model: str, other: Mapping[str, Any], other_model: str) -> Drop | None:
    """Return the drop of top-1 from a model to the `other_model` of another evaluation.json, on the same pictures.

    Returns:
        The drop with its paired interval; None where the pictures are not the same, or a file is of before it named
        them.
    """
    pictures = evaluation.get("test_pictures")
    if pictures is None or pictures != other.get("test_pictures"):
        return None
    first, second = evaluation["models"][model], other["models"][other_model]
    reference, right = (unpacked(one["right"], one["pictures"]) for one in (first, second))
    return paired_drop(reference, right, np.ones(first["pictures"], bool))
