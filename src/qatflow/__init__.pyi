from qatflow.api.comparing import Comparison as Comparison
from qatflow.api.comparing import compare as compare
from qatflow.api.converting import convert as convert
from qatflow.api.loading import load as load
from qatflow.api.quantising import quantise as quantise

__all__ = ["Comparison", "compare", "convert", "load", "quantise"]
