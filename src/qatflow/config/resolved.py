"""A typed configuration as plain values."""

from typing import Any

from pydantic import BaseModel


def resolved(config: BaseModel) -> dict[str, Any]:
    """Return a configuration, or a compress YAML, with all defaults as plain JSON values."""
    return config.model_dump(mode="json", by_alias=True)
