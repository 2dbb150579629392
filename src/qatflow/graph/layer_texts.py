"""Texts of the settings that mean layers by their names: `skip_pattern` and `model.keep_in_float`."""

from collections.abc import Collection

EXACT = "="
"""Before a layer's name in a text for layers' names: that layer alone is meant."""


def is_named(name: str, texts: Collection[str]) -> bool:
    """Return whether one of the texts means a layer: its name contains the text, or is what follows `=` in it."""
    return any(name == text[len(EXACT) :] if text.startswith(EXACT) else text in name for text in texts)


def no_layer(text: str) -> str:
    """Return in words that a text means no layer."""
    alone = text.removeprefix(EXACT)
    return f"no layer's name contains '{text}'" if alone == text else f"no layer is named '{alone}'"


def exactly(name: str) -> str:
    """Return the text that means the layer of that name alone."""
    return f"{EXACT}{name}"
