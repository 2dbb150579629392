"""Which folders a strategy's save paths ask for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qatflow.config.recipe.recipe import QuantizationStrategySection


@dataclass(frozen=True)
class Target:
    """One folder to write: which of the three, and where."""

    kind: Literal["float", "int8", "mobile"]
    folder: Path


def targets(strategy: QuantizationStrategySection, experiment: Path) -> list[Target]:
    """Return the folders that a strategy asks for, below the experiment's; a save path of None is not written."""
    wanted = [
        Target("float", experiment / (strategy.float_model_save_path or "")),
        Target("int8", experiment / (strategy.int8_model_save_path or "")),
        Target("mobile", experiment / (strategy.mobile_model_save_path or "")),
    ]
    return [target for target in wanted if target.folder != experiment]
