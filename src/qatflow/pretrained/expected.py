"""Do the weights reach their published top-1 on these pictures? If not, which preparation of the pictures would fit?

The most common cause of a low accuracy is another normalisation than in the training of the weights.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from qatflow.base.errors import UserError
from qatflow.data.manifest import Manifest
from qatflow.data.pipeline import NONE, evaluation_batches
from qatflow.data.reader import tensors
from qatflow.graph.graph import Graph
from qatflow.training.keras_model import training_model
from qatflow.training.loss import evaluator

TRIED = 300
"""Pictures on which other preparations are tried."""
MAY_FIT = 5.0
"""Points of top-1 by which another preparation must be better on them to be named."""


@dataclass(frozen=True)
class Normalisation:
    """How pixels become numbers: (pixel − mean) / std for red, green and blue, in units of 0…255."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    backwards: bool = False

    def text(self) -> str:
        """Return the normalisation as keys of the configuration; `mean` is in the order of the channels."""
        mean = list(reversed(self.mean)) if self.backwards else list(self.mean)
        order = ", with the channels in the order blue, green, red" if self.backwards else ""
        return f"data.preprocessing.mean {mean}, std {list(self.std)}{order}"


COMMON = {
    "−1…1": Normalisation((127.5,) * 3, (127.5,) * 3),
    "0…1": Normalisation((0.0,) * 3, (255.0,) * 3),
    "0…255": Normalisation((0.0,) * 3, (1.0,) * 3),
    "torch": Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "caffe": Normalisation((123.68, 116.779, 103.939), (1.0,) * 3, backwards=True),
}
"""tf_keras.applications.imagenet_utils.preprocess_input: modes tf, torch and caffe; and plain scales."""


def check_expected(graph: Graph, data: Manifest, expected: float, tolerance: float) -> dict[str, float]:
    """Measure the top-1 of weights on the validation pictures.

    Args:
        graph: float.
        data: the pictures.
        expected: published top-1, in percent.
        tolerance: how far below it the weights may be, in percentage points; twice the standard error for this number
            of pictures is allowed on top, for chance.

    Returns:
        expected_top1 and top1 (both in percent).

    Raises:
        UserError: they are further below; the message says which preparation of the pictures would fit.
    """
    model = training_model(graph, seed=0, step=0)
    _, share, _ = evaluator(model)(evaluation_batches(data, "validation", in_memory=NONE))
    count, top1 = data.splits["validation"].count, 100 * share
    chance = 200 * float(np.sqrt(max(expected / 100 * (1 - expected / 100), 0.0) / count))
    print(f"top-1 of the weights {top1:.1f} %, published {expected:g} %", flush=True)
    if top1 >= expected - tolerance - chance:
        return {"expected_top1": expected, "top1": top1}
    raise UserError(
        f"the weights have top-1 {top1:.1f} % on the {count} validation pictures, and {expected:g} % is published "
        f"(pretrained.expected_top1; {tolerance:g} points and {chance:.1f} of chance are allowed): "
        f"{diagnosis(lambda x: np.asarray(model.keras(x, training=False)), data, expected)}"
    )


def diagnosis(logits: Callable[[np.ndarray], np.ndarray], data: Manifest, expected: float) -> str:
    """Return which preparation of some validation pictures gives a higher top-1, or what else may be wrong.

    Args:
        logits: prepared pictures [n, height, width, channels] to one value per class.
        data: the pictures.
        expected: published top-1, in percent; a preparation that does not reach half of it is not named.
    """
    spec = data.preprocessing
    plain = replace(spec, mean=(0.0,) * spec.channels, std=(1.0,) * spec.channels)
    pixels, labels = tensors(data, "validation", TRIED, plain)
    if hasattr(spec, "order") and spec.order == "bgr":
        pixels = pixels[..., ::-1]
    normal = np.broadcast_to(np.asarray(spec.mean, np.float32), spec.channels), np.asarray(spec.std, np.float32)

    def top1(pictures: np.ndarray, wanted: np.ndarray = labels) -> float:
        classes = np.concatenate([logits(pictures[i : i + 64]).argmax(axis=1) for i in range(0, len(pictures), 64)])
        return 100 * float((classes == wanted).mean())

    own = (pixels - normal[0]) / normal[1]
    now = top1(own)
    tried: dict[str, float] = {}
    if spec.channels == 3 and spec.resize != "none":
        tried["the order blue, green, red of the channels"] = top1((pixels[..., ::-1] - normal[0]) / normal[1])
        for name, common in COMMON.items():
            pictures = (pixels - np.asarray(common.mean, np.float32)) / np.asarray(common.std, np.float32)
            tried[f"{name} ({common.text()})"] = top1(pictures[..., ::-1] if common.backwards else pictures)
    for shift in (1, -1):
        tried[f"labels {abs(shift)} {'higher' if shift > 0 else 'lower'}"] = top1(own, labels + shift)
    best = max(tried, key=lambda name: tried[name])
    others = ", ".join(f"{name.partition(' (')[0]} {value:.1f} %" for name, value in tried.items())
    if tried[best] < max(now + MAY_FIT, expected / 2):
        return (
            f"on {len(labels)} of them no common normalisation does better than {now:.1f} % ({others}); look at the "
            "order of the labels, the resize, and whether the weights are of this network"
        )
    return f"on {len(labels)} of them {best} gives {tried[best]:.1f} % in place of {now:.1f} % ({others})"
