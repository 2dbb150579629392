"""`qatflow.compare`: how far two models agree on pictures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qatflow.api.converting import convert
from qatflow.api.loading import load
from qatflow.api.quantising import checked_pictures
from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.tflite.run import Model

AnyModel = Graph | bytes | str | Path
"""A graph, the bytes or the path of a .tflite file, or what `qatflow.load` reads."""


@dataclass(frozen=True)
class Comparison:
    """How far two models agree.

    Attributes:
        pictures: how many they were compared on.
        agreement: share of the pictures for which both have the same class first, 0 … 1.
        largest_difference: of any two outputs, in the outputs' own unit (probabilities behind a softmax).
        sqnr_db: ratio of the first model's outputs to the difference, 10 · log10(Σ first² / Σ (first − second)²), in
            dB; infinite for equal outputs.
    """

    pictures: int
    agreement: float
    largest_difference: float
    sqnr_db: float


def compare(first: AnyModel, second: AnyModel, pictures: np.ndarray) -> Comparison:
    """Run two models in LiteRT, on the host's processor, and compare their outputs.

    Args:
        first: a graph, the bytes of a .tflite file, or a path.
        second: what it is compared with, likewise.
        pictures: as the networks read them, float32 [n, height, width, channels]; a model with an integer input gets
            them rounded to its steps.

    Returns:
        The comparison, with integer outputs as the real values that they stand for.

    Raises:
        UserError: a model cannot be read or run, or they take other pictures or have other numbers of classes.
    """
    models = [_model(model) for model in (first, second)]
    inputs = checked_pictures(pictures, [model.input.shape[1:] for model in models])
    one, other = (_outputs(model, inputs) for model in models)
    if one.shape != other.shape:
        raise UserError(f"the models have {one.shape[1]} and {other.shape[1]} outputs, and cannot be compared")
    noise = float(np.square(one - other).sum())
    signal = float(np.square(one).sum())
    with np.errstate(divide="ignore"):
        sqnr = float(10 * (np.log10(signal) - np.log10(noise))) if noise else float("inf")
    return Comparison(
        pictures=len(inputs),
        agreement=float(np.mean(one.argmax(axis=1) == other.argmax(axis=1))),
        largest_difference=float(np.abs(one - other).max()),
        sqnr_db=sqnr,
    )


def _model(model: AnyModel) -> Model:
    if isinstance(model, bytes):
        return Model(model)
    if isinstance(model, str | Path):
        path = Path(model)
        if path.suffix == ".tflite":
            return Model(path)
        model = load(path)
    return Model(convert(model))


def _outputs(model: Model, pictures: np.ndarray) -> np.ndarray:
    """Return the outputs as real values, float64 [n, outputs]."""
    values = model.outputs(model.input.from_real(pictures))
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    return (values.astype(np.float64) - model.output.zero_point) * model.output.scale
