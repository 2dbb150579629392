"""Encoded pictures: the one decoder of the project, and the form in which pictures are stored.

Training, evaluation, calibration and the device all see what `decode` (Pillow) yields.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps

PLAIN_FORMATS = ("JPEG", "PNG")
PLAIN_MODES = ("L", "RGB")


class RejectedError(Exception):
    """The picture cannot be used; the text is the reason, for rejected.csv."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture as it is stored.

    Attributes:
        content: a JPEG or PNG file with 8 bits a channel, grey or RGB, upright.
        height: in pixels.
        width: in pixels.
        converted: whether the content differs from the source's own bytes because those were not of that kind.
    """

    content: bytes
    height: int
    width: int
    converted: bool = False


def decode(content: bytes, channels: int) -> np.ndarray:
    """Return the pixels of a stored picture as uint8 [height, width, channels]; grey is 0.299 R + 0.587 G + 0.114 B."""
    with Image.open(io.BytesIO(content), formats=PLAIN_FORMATS) as image:
        pixels = np.asarray(image if image.mode == _mode(channels) else image.convert(_mode(channels)))
    return pixels.reshape(*pixels.shape[:2], channels)


def encode(pixels: np.ndarray) -> Encoded:
    """Return uint8 [height, width] or [height, width, 3] as a lossless PNG; the same pixels give the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return Encoded(buffer.getvalue(), height=pixels.shape[0], width=pixels.shape[1])


def stored(content: bytes) -> Encoded:
    """Return a file's content in the form in which it is stored.

    8-bit grey or RGB JPEG and PNG files stay as they are, byte for byte. Others (CMYK, palette, 16 bits, alpha, other
    formats, turned by an EXIF tag) become an upright PNG; alpha is dropped, and of an animation the first frame kept.

    Raises:
        RejectedError: the content is not a picture, is damaged, or is so large that it may be an attack.
    """
    if not content:
        raise RejectedError("the file is empty")
    try:
        with Image.open(io.BytesIO(content)) as image:
            frames = getattr(image, "n_frames", 1)
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
            image.load()
            if image.format in PLAIN_FORMATS and image.mode in PLAIN_MODES and frames == 1 and not turned:
                return Encoded(content, image.height, image.width)
            picture = encode(_plain(ImageOps.exif_transpose(image)))
    except Image.UnidentifiedImageError:
        raise RejectedError("not a picture in a format that Pillow reads") from None
    except RejectedError:
        raise
    except Exception as error:  # Pillow's readers raise many kinds for damaged files
        raise RejectedError(f"damaged or unreadable: {error}") from error
    return Encoded(picture.content, picture.height, picture.width, converted=True)


def _plain(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):  # Pillow's own conversion would clip at 255
        return (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
    if image.mode in ("I", "F"):
        raise RejectedError(f"pixels of mode {image.mode} (32 bits) have no known range")
    return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB"))


def _mode(channels: int) -> str:
    return "L" if channels == 1 else "RGB"
