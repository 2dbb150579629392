"""Distillation of a student that filter pruning makes thinner: what can be compared before cannot always be after."""

from collections.abc import Mapping

from qatflow.base.errors import UserError
from qatflow.compress.distillers.distiller import Distiller
from qatflow.compress.pruning.candidates import candidates
from qatflow.graph.graph import Graph

SAMPLE = 0.5
"""Share of each group's channels without which the student is looked at."""


def check_thinner(distillers: Mapping[str, Distiller], student: Graph, teacher: Graph, pruned_params: str) -> None:
    """Raise before training where a distiller compares layers whose channels pruning may take.

    Args:
        distillers: by name.
        student: float graph before pruning.
        teacher: float graph.
        pruned_params: the pruning strategy's.

    Raises:
        UserError: a distiller's layers would have other shapes than the teacher's; or pruned_params matches nothing.
    """
    found = candidates(student, pruned_params, {})
    thin = found.thin({group.name: SAMPLE for group in found.groups})
    for name, distiller in distillers.items():
        distiller.resolved(name, student, teacher)
        try:
            distiller.resolved(name, thin, teacher)
        except UserError as error:
            raise UserError(
                f"{error}, once filter pruning has taken channels; let pruned_params leave these layers, end the "
                "distillation before the pruning, or distil by SoftLabelDistiller"
            ) from error
