"""The ratios that a search has found, as its best.json says them."""

from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed


def searched_ratios(path: Path) -> dict[str, float]:
    """Return the share of each group's channels that goes in the best candidate.

    Raises:
        UserError: the search was not one of ratios.
    """
    about = read_sealed(path)["best"]["about"]
    if "ratios" not in about:
        raise UserError(f"{path}: no search of AutoPruneStrategy: its best candidate has no ratios")
    return {name: float(ratio) for name, ratio in about["ratios"].items()}
