"""Drawn pictures like photographs of flowers: kinds differ in petals and colour, pictures in light, size and ground."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 32
KINDS = {"aster": (12, 1.0), "lily": (3, 0.6), "poppy": (4, 0.3), "rose": (5, 0.4), "tulip": (6, 1.6)}
"""Petals of each kind, and how pointed they are."""
OTHERS = {
    "bell": (2, 0.8),
    "daisy": (8, 1.2),
    "iris": (7, 0.4),
    "pea": (10, 0.7),
    "star": (16, 1.0),
    "trillium": (3, 1.6),
}


def flower(random: np.random.Generator, petals: int, pointed: float) -> np.ndarray:
    """A flower of a kind before a blurred ground, uint8 [SIDE, SIDE, 3]."""
    picture = 0.6 * _ground(random, 4) + 0.4 * _ground(random, 12)
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    y, x = np.stack([rows, columns]) - random.uniform(-0.15, 0.15, (2, 1, 1))
    radius, angle = np.hypot(x, y * random.uniform(1, 1.5)), np.arctan2(y, x) + random.uniform(0, 2 * np.pi)
    size = random.uniform(0.22, 0.45)
    outline = size * (0.3 + 0.7 * np.abs(np.cos(petals * angle / 2)) ** pointed)
    hue = np.cos(petals * 2.4 + np.array([0, 2.1, -2.1]))
    colour = np.clip(0.6 + 0.3 * hue + random.normal(0, 0.22, 3), 0.1, 1)
    for edge, paint in ((outline, colour), (0.2 * size, random.uniform(0.1, 0.9, 3))):
        covered = np.clip((edge - radius) * SIDE / 2, 0, 1)[..., None]
        picture = picture * (1 - covered) + paint * covered
    slope = random.uniform(-0.5, 0.5, 2)
    light = random.uniform(0.6, 1.2) + slope[0] * rows + slope[1] * columns
    picture = picture * light[..., None] + random.normal(0, 0.04, picture.shape)
    return (255 * np.clip(picture, 0, 1)).astype(np.uint8)


def flowers(kinds: Mapping[str, tuple[int, float]], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """So many pictures, uint8 [count, SIDE, SIDE, 3], and their kinds' places, int64 [count], in turn."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(kinds)
    return np.stack([flower(random, *list(kinds.values())[label]) for label in labels]), labels


def flower_folder(root: Path, kinds: Mapping[str, tuple[int, float]], splits: Mapping[str, int], seed: int) -> Path:
    """Write JPEG files, one folder a kind within one folder a split, which has so many pictures."""
    for place, (split, count) in enumerate(splits.items()):
        for i, (pixels, label) in enumerate(zip(*flowers(kinds, count, seed + place), strict=True)):
            path = root / split / list(kinds)[label] / f"{i:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, quality=92)
    return root


def _ground(random: np.random.Generator, cells: int) -> np.ndarray:
    small = np.uint8(255 * random.uniform(0, 1, (cells, cells, 3)) * random.uniform(0.3, 1, 3))
    return np.asarray(Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC), float) / 255
