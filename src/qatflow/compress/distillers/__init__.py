"""The distillers, by the sections of the compress YAML that describe them."""

from collections.abc import Callable
from typing import Any

from qatflow.compress.distillers.distiller import Distiller
from qatflow.compress.distillers.fsp import FSPDistiller
from qatflow.compress.distillers.l2 import L2Distiller
from qatflow.compress.distillers.soft_label import SoftLabelDistiller
from qatflow.config.recipe.distillation import FSPDistillerSection, L2DistillerSection, SoftLabelDistillerSection
from qatflow.config.sections.base import Section

DISTILLERS: dict[type[Section], Callable[[Any], Distiller]] = {
    SoftLabelDistillerSection: SoftLabelDistiller,
    L2DistillerSection: L2Distiller,
    FSPDistillerSection: FSPDistiller,
}

__all__ = ["DISTILLERS", "Distiller"]
