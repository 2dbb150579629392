"""Options of the programs that take a section of the configuration."""

import json
from typing import Any


def option(section: str, /, **values: Any) -> list[str]:
    """Return `--SECTION JSON`; what is not plain JSON, as a path, becomes its text."""
    return [f"--{section}", json.dumps(values, default=str)]
