"""Draws pictures of five kinds of flowers, one folder per kind: a data set for the tutorial that needs no download.

    python docs/tutorial/draw_flowers.py pictures/flowers

The kinds are those of TensorFlow's data set tf_flowers. Pictures differ in colour, petals, size, place, angle, light,
sharpness and ground, and some flowers are half hidden. The same options always give the same files.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

FINER = 2
"""Pictures are drawn so many times larger, for smooth edges."""
Colour = tuple[float, float, float]
YELLOWS: Sequence[Colour] = ((250, 205, 40), (245, 180, 30), (255, 220, 80))
OF_ROSES: Sequence[Colour] = ((190, 20, 45), (235, 120, 150), (250, 225, 190), (240, 190, 70), (245, 240, 235))
OF_TULIPS: Sequence[Colour] = ((215, 30, 40), (235, 130, 165), (250, 200, 50), (120, 50, 140), (245, 240, 235))
OF_DAISIES: Sequence[Colour] = ((245, 245, 240), (250, 225, 235), (235, 235, 250))


class Flower:
    """A drawing of one flower, whose middle is (0, 0) and whose radius is about 1, on a picture."""

    def __init__(self, picture: Image.Image, random: np.random.Generator) -> None:
        """Choose where the flower is, how large, and from where it is seen."""
        self.random = random
        self._draw = ImageDraw.Draw(picture)
        side = min(picture.size)
        self._scale = side * random.uniform(0.27, 0.48)
        self._middle = np.array(picture.size) * random.uniform(0.4, 0.6, 2)
        angle, squashed = random.uniform(0, 2 * np.pi), random.uniform(0.6, 1.0)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self._view = turn.T @ np.diag([1.0, squashed]) @ turn
        self._light = random.uniform(0.75, 1.1)

    def upright(self) -> None:
        """See it from the side, with its stem below."""
        angle = self.random.normal(0, 0.25)
        self._view = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def shape(self, points: np.ndarray, colour: Colour, shade: float = 1.0) -> None:
        """Fill a polygon, float [points, 2]."""
        placed = points @ self._view.T * self._scale + self._middle
        self._draw.polygon([(x, y) for x, y in placed.tolist()], _rgb(np.array(colour) * shade * self._light))

    def petals(
        self, count: int, colour: Colour, *, length: float, width: float, pointed: float = 1.0, first: float = 0.0
    ) -> None:
        """Draw petals around the middle; each has a darker edge."""
        along = np.linspace(0, 1, 12)
        for place in np.arange(count) / count * 2 * np.pi + self.random.uniform(0, 2 * np.pi):
            angle = place + self.random.normal(0, 0.06)
            long = length * self.random.uniform(0.88, 1.1)
            half = width * np.sin(np.pi * along**0.8) ** pointed
            outline = np.concatenate([np.stack([along, half], 1), np.stack([along[::-1], -half[::-1]], 1)])
            shade = self.random.uniform(0.86, 1.08)
            for wide, darker in ((1.0, 0.72), (0.84, 1.0)):
                x, y = (outline * [long * (0.9 + 0.1 * wide), wide]).T + np.array([[first], [0.0]])
                turned = np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], 1)
                self.shape(turned, colour, shade * darker)

    def disc(self, radius: float, colour: Colour, at: tuple[float, float] = (0.0, 0.0), tall: float = 1.0) -> None:
        """Draw a disc, or an ellipse so many times as high as wide."""
        angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        self.shape(np.stack([np.cos(angle), tall * np.sin(angle)], 1) * radius + at, colour)

    def grains(self, count: int, within: float, colour: Colour) -> None:
        """Draw small dots in the middle."""
        for _ in range(count):
            radius, angle = within * np.sqrt(self.random.uniform()), self.random.uniform(0, 2 * np.pi)
            self.disc(0.045, colour, (radius * np.cos(angle), radius * np.sin(angle)))

    def one_of(self, colours: Sequence[Colour]) -> Colour:
        """Return one of the colours, slightly changed."""
        red, green, blue = np.array(colours[int(self.random.integers(len(colours)))]) + self.random.normal(0, 12, 3)
        return red, green, blue


def daisy(flower: Flower) -> None:
    """Many narrow petals, white or nearly so, around a yellow disc."""
    count = int(flower.random.integers(13, 23))
    flower.petals(count, flower.one_of(OF_DAISIES), length=1.0, width=0.11, pointed=0.7)
    flower.disc(flower.random.uniform(0.24, 0.34), flower.one_of(YELLOWS))
    flower.grains(12, 0.22, (215, 150, 25))


def dandelion(flower: Flower) -> None:
    """Rings of very many thin yellow petals, and no disc."""
    colour = flower.one_of(YELLOWS)
    for ring, length in enumerate((1.0, 0.78, 0.55, 0.32)):
        shade = 1.0 - 0.05 * ring
        red, green, blue = colour
        flower.petals(34 - 6 * ring, (red * shade, green * shade, blue), length=length, width=0.05, pointed=0.5)


def rose(flower: Flower) -> None:
    """Rings of broad petals that overlap, darker towards the middle."""
    colour = flower.one_of(OF_ROSES)
    for ring in range(5):
        shade = 1.0 - 0.09 * ring
        red, green, blue = colour
        ring_colour = (red * shade, green * shade, blue * shade)
        flower.petals(6 - ring // 2, ring_colour, length=0.95 - 0.19 * ring, width=0.5 - 0.085 * ring, pointed=0.6)


def sunflower(flower: Flower) -> None:
    """Two rings of pointed yellow petals around a large brown disc."""
    colour = flower.one_of(YELLOWS)
    for count, length in ((22, 0.62), (18, 0.52)):
        flower.petals(count, colour, length=length, width=0.1, pointed=1.3, first=0.4)
    flower.disc(flower.random.uniform(0.42, 0.54), flower.one_of(((85, 50, 25), (60, 40, 25), (110, 75, 30))))
    flower.grains(30, 0.42, (40, 25, 15))


def tulip(flower: Flower) -> None:
    """A cup of three petals, seen from the side, on a stem with a leaf."""
    flower.upright()
    green = flower.one_of(((70, 130, 50), (95, 150, 75)))
    flower.shape(np.array([[-0.05, 0.6], [0.05, 0.6], [0.09, 2.6], [-0.05, 2.6]]), green)
    flower.shape(np.array([[0.02, 2.3], [0.5, 1.2], [0.75, 0.4], [0.6, 1.4], [0.1, 2.6]]), green, 0.85)
    colour = flower.one_of(OF_TULIPS)
    open_by = flower.random.uniform(0.25, 0.6)
    along = np.linspace(0, 1, 12)
    half = 0.42 * np.sin(np.pi * along**0.75) ** 0.8
    for lean, shade in ((-open_by, 0.85), (open_by, 0.9), (0.0, 1.05)):
        for wide, darker in ((1.0, 0.75), (0.9, 1.0)):
            x = np.concatenate([half, -half[::-1]]) * wide + lean * np.concatenate([along, along[::-1]])
            y = 0.85 - 1.6 * np.concatenate([along, along[::-1]]) * (0.95 + 0.05 * wide)
            flower.shape(np.stack([x, y], 1), colour, shade * darker)


KINDS: dict[str, Callable[[Flower], None]] = {
    "daisy": daisy, "dandelion": dandelion, "roses": rose, "sunflowers": sunflower, "tulips": tulip,
}  # fmt: skip


def picture(kind: str, random: np.random.Generator) -> Image.Image:
    """Return a picture of a kind of flower, 72 to 104 pixels wide and high, RGB."""
    width, height = (int(side) for side in random.integers(72, 105, 2))
    drawn = _ground(width * FINER, height * FINER, random)
    KINDS[kind](Flower(drawn, random))
    if random.uniform() < 0.35:
        _leaf(drawn, random)
    if random.uniform() < 0.5:
        drawn = drawn.filter(ImageFilter.GaussianBlur(FINER * random.uniform(0.3, 1.3)))
    small = np.asarray(drawn.resize((width, height), Image.Resampling.BOX), np.float32)
    slope = random.uniform(-0.35, 0.35, 2)
    rows, columns = np.mgrid[:height, :width] / np.array([height, width])[:, None, None] - 0.5
    light = random.uniform(0.65, 1.2) + slope[0] * rows + slope[1] * columns
    lit = small * light[..., None] * random.uniform(0.88, 1.12, 3) + random.normal(0, 5, small.shape)
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))


def _ground(width: int, height: int, random: np.random.Generator) -> Image.Image:
    base = np.array([(70, 110, 50), (95, 80, 55), (120, 150, 185), (50, 70, 40), (150, 155, 120)][random.integers(5)])
    blots = np.clip(base + random.normal(0, 32, (5, 6, 3)), 0, 255).astype(np.uint8)
    ground = Image.fromarray(blots).resize((width, height), Image.Resampling.BICUBIC)
    for _ in range(int(random.integers(2, 9))):
        _leaf(ground, random)
    return ground.filter(ImageFilter.GaussianBlur(FINER * random.uniform(0.5, 3)))


def _leaf(picture: Image.Image, random: np.random.Generator) -> None:
    angle, middle = random.uniform(0, 2 * np.pi), np.array(picture.size) * random.uniform(0, 1, 2)
    along = np.linspace(-1, 1, 10)
    half = random.uniform(0.08, 0.25) * (1 - along**2)
    x, y = np.concatenate([along, along[::-1]]), np.concatenate([half, -half])
    turned = np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], 1)
    placed = turned * min(picture.size) * random.uniform(0.15, 0.4) + middle
    green = np.array([55, 110, 40]) + random.normal(0, 22, 3)
    ImageDraw.Draw(picture).polygon([(left, top) for left, top in placed.tolist()], _rgb(green))


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = np.clip(colour, 0, 255).astype(int).tolist()
    return red, green, blue


def main(argv: Sequence[str]) -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description="Draws pictures of flowers, one folder per kind.")
    parser.add_argument("folder", type=Path, help="where the folders of the kinds are made")
    parser.add_argument("--each", type=int, default=400, metavar="N", help="pictures of each kind (400)")
    parser.add_argument("--seed", type=int, default=1, help="another seed draws other pictures (1)")
    arguments = parser.parse_args(argv)
    for place, kind in enumerate(KINDS):
        (arguments.folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(arguments.each):
            random = np.random.default_rng((arguments.seed, place, number))
            picture(kind, random).save(arguments.folder / kind / f"{number:04d}.jpg", quality=90)
    print(f"{arguments.folder}: {len(KINDS)} kinds, {arguments.each} pictures each")


if __name__ == "__main__":
    main(sys.argv[1:])
