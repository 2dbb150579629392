"""All kinds of layers that can be translated, from the tables of their families."""

from typing import Any

from qatflow.models.keras import (
    activations,
    attention,
    geometry,
    kernels,
    merging,
    normalisation,
    operators,
    preprocessing,
)
from qatflow.models.keras.library import own_kind
from qatflow.models.keras.translation import Translate

TRANSLATIONS: dict[str, Translate] = {
    **geometry.TRANSLATIONS,
    **kernels.TRANSLATIONS,
    **preprocessing.TRANSLATIONS,
    **activations.TRANSLATIONS,
    **merging.TRANSLATIONS,
    **normalisation.TRANSLATIONS,
    **attention.TRANSLATIONS,
    **operators.TRANSLATIONS,
}

HINTS = {
    "Lambda": "its code cannot be translated",
}
"""What to do about a kind of layer that cannot be translated."""


def known_kind(layer: Any) -> str | None:
    """Return the kind of a layer if it is exactly one of tf_keras' own and can be translated, else None."""
    kind = own_kind(layer)
    return kind if kind in TRANSLATIONS else None
