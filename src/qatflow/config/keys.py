"""The way to a value in a configuration, and how messages write it."""

Keys = tuple[str | int, ...]
"""The way to a value: keys of mappings and indices of lists."""


def dotted(keys: Keys) -> str:
    """Return `keys` as messages write them: `data.preprocessing.mean[0]`."""
    return ".".join(f"[{key}]" if isinstance(key, int) else key for key in keys).replace(".[", "[")
