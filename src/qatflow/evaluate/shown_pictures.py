"""Test pictures for the report: where float and int8 part, and int8's most confident errors, each as a thumbnail."""

import base64
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image

from qatflow.data.manifest import Manifest
from qatflow.data.preprocess import Preprocessing
from qatflow.data.reader import places, stored_records
from qatflow.data.stored import opened
from qatflow.inference.ranking import Ranked

SHIPPED = ("qat", "ptq", "ready")
"""The model whose errors are shown: the first of these that there is."""
SIDE = 64
"""Pixels of a thumbnail's longer side, at most."""
QUALITY = 72
"""Of a thumbnail as JPEG."""


@dataclass(frozen=True)
class Guess:
    """What a model takes a picture for: the class, and its probability, 0…1."""

    label: int
    confidence: float


@dataclass(frozen=True)
class ShownPicture:
    """A test picture.

    Attributes:
        kind: `lost`: float is right and int8 wrong; `won`: the reverse; `confident`: int8 is wrong, and most sure.
        position: of the picture in the test split, from 0 on.
        key: its name in the data set.
        label: its class.
        guesses: what each model takes it for, by the model's name.
        thumbnail: a JPEG or PNG as a data URI; empty for arrays that are no pictures.
    """

    kind: str
    position: int
    key: str
    label: int
    guesses: dict[str, Guess]
    thumbnail: str


def shown_pictures(ranked: Ranked, manifest: Manifest, number: int) -> list[dict]:
    """Return the pictures for evaluation.json: at most `number` of each kind, int8's most confident answers first.

    Args:
        ranked: what the models take the test pictures for.
        manifest: of the data.
        number: of each kind; 0: none, and no picture is read.

    Raises:
        UserError: a picture has changed since it was prepared.
    """
    model = next((name for name in SHIPPED if name in ranked.best), None)
    if model is None or number == 0:
        return []
    chosen = list(_chosen(ranked, model, number))
    wanted = dict.fromkeys(sorted({position for _, position in chosen}))
    here = [place for position, place in enumerate(places(manifest, "test")) if position in wanted]
    stored = dict(zip(wanted, stored_records(here), strict=True))
    return [
        asdict(
            ShownPicture(
                kind=kind,
                position=position,
                key=stored[position].key,
                label=int(ranked.labels[position]),
                guesses={
                    name: Guess(int(best[position, 0]), round(float(ranked.confidence[name][position]), 4))
                    for name, best in ranked.best.items()
                },
                thumbnail=thumbnail(opened(manifest.preprocessing, stored[position].content), manifest.preprocessing),
            )
        )
        for kind, position in chosen
    ]


def _chosen(ranked: Ranked, model: str, number: int) -> Iterator[tuple[str, int]]:
    """Yield kind and position of each picture."""
    right = {name: ranked.predicted(name) == ranked.labels for name in ranked.best}
    kinds = {"confident": ~right[model]}
    if "float" in right:
        lost, won = right["float"] & ~right[model], ~right["float"] & right[model]
        kinds = {"lost": lost, "won": won, "confident": ~right[model] & ~lost}
    for kind, those in kinds.items():
        positions = np.flatnonzero(those)
        order = np.argsort(-ranked.confidence[model][positions], kind="stable")[:number]
        for position in positions[order].tolist():
            yield kind, position


def thumbnail(picture: np.ndarray, spec: Preprocessing) -> str:
    """Return a small version of a picture as a data URI: PNG where the picture is small itself, JPEG otherwise.

    Args:
        picture: uint8 [height, width, 1 or 3]; or a float32 array, whose values are stretched to black and white.
        spec: the preprocessing, which says how many channels there are.

    Returns:
        The URI; empty for an array that does not have 1 or 3 channels.
    """
    if spec.channels not in (1, 3):
        return ""
    if picture.dtype != np.uint8:
        low, high = float(picture.min()), float(picture.max())
        picture = np.rint((picture - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)
    image = Image.fromarray(picture[..., 0] if spec.channels == 1 else picture)
    small = max(image.size) <= SIDE
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, "PNG" if small else "JPEG", **({"optimize": True} if small else {"quality": QUALITY}))
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
