"""Encoded pictures: their decoder, and the form in which they are stored.

Training, evaluation, calibration and the device all see the pixels that `decode` (Pillow) returns. `jpeg` says for
which files TensorFlow returns the same, and faster.
"""

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import google_crc32c
import numpy as np
from PIL import ExifTags, Image, ImageOps

from qatflow.base.picture_size import PictureSize

PLAIN_FORMATS = ("JPEG", "PNG")
PLAIN_MODES = ("L", "RGB")
# Not every format of Pillow: its EPS reader runs Ghostscript, which executes the file.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
DIGEST_BYTES, CHECK_BYTES = 16, 4
STRIP = 1 << 22  # bytes of pixels
CHECKED = 1 << 14  # bytes of pixels in the middle of a picture
PNG_BIT_DEPTH = 24  # offset in a PNG file of the number of bits per sample


class RejectedError(Exception):
    """The picture cannot be used; the text is the reason, for rejected.csv."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture as it is stored.

    Attributes:
        content: a JPEG or PNG file with 8 bits a channel, grey or RGB, upright; or the values of an array.
        height: in pixels.
        width: in pixels.
        image: its pixels; None for an array.
        converted: whether the content had to be converted, and is not the source's original bytes.
    """

    content: bytes
    height: int
    width: int
    image: Image.Image | None
    converted: bool = False

    def check(self) -> int:
        """Return the CRC-32C of size and of the rows in the middle.

        The same picture in another file has the same, few others have; all pixels would take five times as long.
        """
        crc = 0
        for part in (self.content,) if self.image is None else _middle(self.image):
            crc = google_crc32c.extend(crc, part)
        return crc

    def digest(self) -> bytes:
        """Return what only the same picture has: `check` in 4 bytes, and 12 bytes of the SHA-256 of size and pixels.

        SHA-256 takes many times as long as the check.
        """
        total = hashlib.sha256()
        for part in self._parts():
            total.update(part)
        return self.check().to_bytes(CHECK_BYTES) + total.digest()[: DIGEST_BYTES - CHECK_BYTES]

    def _parts(self) -> Iterator[bytes]:
        return iter((self.content,)) if self.image is None else _parts(self.image)


Part = Callable[[PictureSize], tuple[int, int, int, int]]
"""Takes the size of a picture, and returns top, left, height and width of a part, in pixels."""


def decode(content: bytes, channels: int, part: Part | None = None, mirrored: bool = False) -> np.ndarray:
    """Return the pixels of a stored picture as uint8 [height, width, channels]; grey is 0.299 R + 0.587 G + 0.114 B.

    Args:
        content: the file.
        channels: 1 or 3.
        part: which part of it; None: all.
        mirrored: whether left and right change places. Pillow does it in a fifth of NumPy's time.
    """
    with Image.open(io.BytesIO(content), formats=PLAIN_FORMATS) as image:
        seen: Image.Image = image if image.mode == _mode(channels) else image.convert(_mode(channels))
        if part is not None:
            top, left, height, width = part(PictureSize(seen.height, seen.width))
            seen = seen.crop((left, top, left + width, top + height))
        if mirrored:
            seen = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = np.asarray(seen)
    return pixels.reshape(*pixels.shape[:2], channels)


def encode(pixels: np.ndarray) -> Encoded:
    """Return uint8 [height, width] or [height, width, 3] as a lossless PNG; the same pixels give the same bytes."""
    return _encode(Image.fromarray(pixels))


def size_of(content: bytes) -> PictureSize:
    """Return the size of a stored picture, without decoding it."""
    with Image.open(io.BytesIO(content), formats=PLAIN_FORMATS) as image:
        return PictureSize(image.height, image.width)


def _encode(image: Image.Image, converted: bool = False) -> Encoded:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return Encoded(buffer.getvalue(), image.height, image.width, image, converted)


def stored(content: bytes) -> Encoded:
    """Return a file's content in the form in which it is stored.

    8-bit grey or RGB JPEG and PNG files stay as they are, byte for byte. Others (CMYK, palette, 16 bits, alpha, other
    formats, rotated by an EXIF tag) become an upright PNG: alpha is dropped, the upper 8 of 16 bits are kept, and so is
    the first frame of an animation. The file's name plays no part.

    Raises:
        RejectedError: the content is not a picture, is damaged, or has more pixels than Pillow considers safe.
    """
    if not content:
        raise RejectedError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about oddities in metadata: only the pixels count
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _stored(content)
    except RejectedError:
        raise
    except Image.UnidentifiedImageError:
        raise RejectedError(f"not a picture in a format that is read ({', '.join(FORMATS)})") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise RejectedError(f"too large: it has more than {Image.MAX_IMAGE_PIXELS} pixels") from None
    except Exception as error:  # Pillow's readers raise many kinds for damaged files
        raise RejectedError(f"damaged or unreadable: {error}") from error


def _stored(content: bytes) -> Encoded:
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        frames = getattr(image, "n_frames", 1)
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        image.load()
        eight_bits = image.format != "PNG" or content[PNG_BIT_DEPTH] == 8
        if image.format in PLAIN_FORMATS and image.mode in PLAIN_MODES and eight_bits and frames == 1 and not turned:
            return Encoded(content, image.height, image.width, image)
        upright = ImageOps.exif_transpose(image)
    return _encode(_plain(upright), converted=True)


def _plain(image: Image.Image) -> Image.Image:
    """Return the picture in 8 bits, grey or RGB, without the file's metadata."""
    if image.mode.startswith("I;16"):  # Pillow's own conversion would clip at 255
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise RejectedError(f"pixels of mode {image.mode} (32 bits) have no known range")
    plain = image.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB")
    plain.info = {}
    return plain


def _mode(channels: int) -> str:
    return "L" if channels == 1 else "RGB"


def _parts(image: Image.Image) -> Iterator[bytes]:
    """Yield size and pixels, in strips, which only large pictures have more than one of."""
    yield _about(image)
    rows = _rows(image, STRIP)
    for top in range(0, image.height, rows):
        yield _strip(image, top, rows)


def _middle(image: Image.Image) -> Iterator[bytes]:
    """Yield the size, and the pixels of the rows in the middle; of a small picture these are all."""
    yield _about(image)
    rows = _rows(image, CHECKED)
    yield _strip(image, max(0, (image.height - rows) // 2), rows)


def _about(image: Image.Image) -> bytes:
    return f"{image.height} {image.width} {len(image.getbands())}".encode()


def _rows(image: Image.Image, size: int) -> int:
    """Return how many rows have about so many bytes; at least one."""
    return max(1, size // (image.width * len(image.getbands())))


def _strip(image: Image.Image, top: int, rows: int) -> bytes:
    """Return the pixels of so many rows; of fewer, where the picture ends."""
    whole = rows >= image.height
    return (image if whole else image.crop((0, top, image.width, min(top + rows, image.height)))).tobytes()
