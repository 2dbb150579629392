"""qatflow: from pictures to a measured int8 model on an ARM device.

The library's public names are `load`, `convert`, `quantise` and `compare` (docs/api.md). Each is imported when it is
first used, so `import qatflow` loads neither TensorFlow nor NumPy.
"""

from importlib import import_module
from typing import Any

__all__ = ["Comparison", "compare", "convert", "load", "quantise"]
_MODULES = {
    "Comparison": "qatflow.api.comparing",
    "compare": "qatflow.api.comparing",
    "convert": "qatflow.api.converting",
    "load": "qatflow.api.loading",
    "quantise": "qatflow.api.quantising",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'qatflow' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
