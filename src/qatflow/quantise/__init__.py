"""Where a network is quantised, to which grid, and its integers. Called, it is `qatflow.quantise` of docs/api.md."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Called(ModuleType):
    """Python puts a package into its parent under its own name, where the public function of this name has to be."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Quantise a graph after training; see `qatflow.api.quantising.quantise`."""
        return import_module("qatflow.api.quantising").quantise(*arguments, **options)


sys.modules[__name__].__class__ = _Called
