"""What each layer's quantisation costs: the layer quantised alone, and every layer quantised but this one.

Two measures are taken on the same pictures: the loss of top-1 accuracy, and the mean Kullback-Leibler divergence of the
outputs from the float model's. The divergence is not rounded to whole pictures, so it tells layers apart where hundreds
of pictures cannot (as a measure of sensitivity: Dong et al. 2019, arXiv:1905.03696, compare it with theirs).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.base.code_digest import code_digest
from qatflow.base.work_folder import work_folder
from qatflow.data.answers import measure_of
from qatflow.inference.pictures import PreparedPictures
from qatflow.sensitivity.forms import layer_forms
from qatflow.sensitivity.outputs import divergence, end_of
from qatflow.sensitivity.pictures import OfPicture, rows
from qatflow.tflite.stepwise import Choice, Form, Stepwise


@dataclass(frozen=True)
class LayerSensitivity:
    """What the quantisation of one layer costs: its weights and its output together.

    Attributes:
        name: of the layer's tensor.
        operator: builtin name in the float model.
        trained: whether the int8 model's kernel is no rounding of the float one, which was rounded in its place.
        alone_kl: mean KL(float ‖ other) in nats, where this layer alone is quantised.
        alone_drop: loss of top-1 there, a share of 1; negative where it rose.
        without_kl: the same where every layer is quantised but this one.
        without_drop: loss of top-1 there.
    """

    name: str
    operator: str
    trained: bool
    alone_kl: float
    alone_drop: float
    without_kl: float
    without_drop: float


@dataclass(frozen=True)
class Sensitivities:
    """The sensitivities of a network's layers.

    Attributes:
        pictures: number of validation pictures.
        float_top1: accuracy of the float model on them, a share of 1; None where the labels are its own answers. A loss
            of top-1 is then one of agreement with it.
        kl: mean KL(float ‖ other) in nats, where all layers are quantised.
        drop: loss of top-1 there, a share of 1.
        layers: in the order of execution.
    """

    pictures: int
    float_top1: float | None
    kl: float
    drop: float
    layers: tuple[LayerSensitivity, ...]

    @property
    def worst_first(self) -> list[LayerSensitivity]:
        """The layers by what they cost alone, the most first."""
        return sorted(self.layers, key=lambda layer: -layer.alone_kl)


def read_sensitivities(values: Mapping[str, Any] | None) -> Sensitivities | None:
    """Return what `asdict` made of sensitivities; None where there are none."""
    if values is None:
        return None
    return Sensitivities(**{**values, "layers": tuple(LayerSensitivity(**layer) for layer in values["layers"])})


def measure(float_model: bytes, int8_model: bytes, pictures: PreparedPictures, work: Path) -> Sensitivities:
    """Return the sensitivity of each layer that an int8 model quantises.

    Each picture's part is kept in `work`, and a killed measurement goes on from there. The number of processes does not
    change a bit of the result.

    Args:
        float_model: float .tflite of the same network, whose tensors have the same names and shapes.
        int8_model: int8 .tflite.
        pictures: with labels.
        work: folder of the state of all settings, which may be removed.

    Raises:
        UserError: the two models share no tensor; a shard has changed; or a process was killed.
    """
    layers = layer_forms(float_model, int8_model)
    names = [layer.name for layer in layers]
    choices: list[Choice] = [{name: 0} for name in names]
    everything = dict.fromkeys(names, 0)
    choices += [everything, *({name: 0 for name in names if name != left} for left in names)]
    shape = {
        "models": [digest_of(float_model), digest_of(int8_model)],
        "data": pictures.manifest.content_digest(),
        "pictures": pictures.count,
        "code": code_digest("qatflow.sensitivity.measure"),
    }
    with work_folder(work, shape, "measuring sensitivities") as folder:
        begin = comparing(float_model, {layer.name: [layer.form] for layer in layers}, choices)
        totals, float_right = added(rows(pictures, begin, folder), len(choices))
    count = pictures.count
    costs = [(kl / count, (float_right - right) / count) for kl, right in totals]
    alone, (kl, drop), without = costs[: len(names)], costs[len(names)], costs[len(names) + 1 :]
    figures = (
        LayerSensitivity(layer.name, layer.operator, layer.trained, *one, *rest)
        for layer, one, rest in zip(layers, alone, without, strict=True)
    )
    top1 = float_right / count if measure_of(pictures.manifest).is_accuracy else None
    return Sensitivities(count, top1, kl, drop, tuple(figures))


def comparing(
    float_model: bytes, forms: Mapping[str, Sequence[Form]], choices: Sequence[Choice]
) -> Callable[[], OfPicture]:
    """Return what begins to compare choices with float in a process: a list for each picture.

    It holds whether float is right, then for each choice the divergence and whether it is right. A choice in which few
    layers are quantised goes on from the float model's tensors, and the others from those of the fullest choice.

    Args:
        float_model: .tflite.
        forms: of each layer, by the name of its tensor.
        choices: to compare.
    """
    end = end_of(float_model)
    fullest = max(choices, key=len)

    def begin() -> OfPicture:
        model = Stepwise(float_model, forms, end.logits)

        def of_picture(picture: np.ndarray, label: int) -> list[Any]:
            real = model.run(picture, {})
            full = model.run(picture, fullest)
            result: list[Any] = [_right(real[end.logits], label)]
            for choice in choices:
                near = ({}, real) if 2 * len(choice) < len(fullest) else (fullest, full)
                logits = model.run(picture, choice, near)[end.logits]
                divergent = divergence(real[end.logits], logits, independent=end.independent)
                result.append([divergent, _right(logits, label)])
            return result

        return of_picture

    return begin


def added(results: Iterable[Sequence[Any]], choices: int) -> tuple[list[tuple[float, int]], int]:
    """Return the sum of divergences and the number of right answers of each choice, and those of float."""
    kl, right, float_right = [0.0] * choices, [0] * choices, 0
    for first, *others in results:  # one picture after another: sums of floats depend on the order
        float_right += first
        for place, (value, is_right) in enumerate(others):
            kl[place] += value
            right[place] += is_right
    return list(zip(kl, right, strict=True)), float_right


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of a model."""
    return sha256(content).hexdigest()


def _right(logits: np.ndarray, label: int) -> int:
    return int(int(logits.ravel().argmax()) == label)
