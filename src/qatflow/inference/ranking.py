"""What .tflite classifiers take pictures for: of each picture the best classes alone, so that memory stays small."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qatflow.base.errors import UserError
from qatflow.base.metrics import ranking
from qatflow.inference.pictures import PreparedPictures
from qatflow.tflite.run import Model


@dataclass(frozen=True)
class Ranked:
    """The best classes of pictures, by several models.

    Attributes:
        labels: int64 [n].
        best: the classes of each model by its name, int32 [n, at most 5], the best first (`metrics.ranking`).
        confidence: what each model gives for its best class, float32 [n]: a probability, in 0…1.
    """

    labels: np.ndarray
    best: Mapping[str, np.ndarray]
    confidence: Mapping[str, np.ndarray]

    def predicted(self, model: str) -> np.ndarray:
        """Return the best class of each picture, int32 [n]."""
        return self.best[model][:, 0]


def rank(models: Mapping[str, Path | bytes], pictures: PreparedPictures) -> Ranked:
    """Run each model on each picture, which is decoded once for all of them.

    Args:
        models: .tflite files, or their bytes, by name.
        pictures: the pictures, and the processes.

    Raises:
        UserError: a model cannot be loaded, is no classifier of these data, or computes values that are no numbers.
    """
    classes = pictures.manifest.classes
    for path in models.values():
        Model(path).check_classes(classes)

    def begin() -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]]:
        loaded = {name: Model(path) for name, path in models.items()}

        def of_batch(
            inputs: np.ndarray, labels: np.ndarray
        ) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
            return labels, {name: _ranking(model, inputs, classes) for name, model in loaded.items()}

        return of_batch

    parts = list(pictures.each(begin))
    return Ranked(
        np.concatenate([labels for labels, _ in parts]),
        {name: np.concatenate([ranked[name][0] for _, ranked in parts]) for name in models},
        {name: np.concatenate([ranked[name][1] for _, ranked in parts]) for name in models},
    )


def _ranking(model: Model, inputs: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    outputs = model.probabilities(inputs, classes)
    if not np.isfinite(outputs).all():
        raise UserError(f"{model.name} computes values that are not finite: look at its weights")
    best = ranking(outputs)
    values = np.take_along_axis(outputs, best[:, :1], axis=1)[:, 0].astype(np.float32)
    form = model.output
    return best, (values - form.zero_point) * np.float32(form.scale) if form.scale else values
