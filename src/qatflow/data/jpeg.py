"""The usual kind of JPEG file, which TensorFlow decodes to the same bits as Pillow, and in less time.

Both have libjpeg-turbo, in other versions. `same_bits` compares the two for each kind that `plain_size` accepts, so a
version that decodes differently is not used.
"""

import functools
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from qatflow.base.picture_size import PictureSize
from qatflow.data.picture import decode

if TYPE_CHECKING:
    import tensorflow as tf

START, END = b"\xff\xd8", b"\xff\xd9"
BASELINE, SCAN, ADOBE = 0xC0, 0xDA, 0xEE  # markers SOF0, SOS, APP14 (ITU-T T.81, table B.1)
OTHER_PROCESSES = {*range(0xC1, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""SOF1 to SOF15: progressive, lossless, arithmetic coding, and more."""
LUMA = (0x11, 0x21, 0x22)  # sampling of the luma beside chroma at 0x11: full, half the width, half of both
YCC = 1  # Adobe's name of Y, Cb, Cr
GREY, COLOUR = 1, 3  # components


def plain_size(content: bytes, channels: int) -> PictureSize | None:
    """Return the size of a picture that TensorFlow decodes like Pillow; None for any other.

    It is a complete baseline JPEG file of 8 bits in one scan, grey, or in Y, Cb and Cr with the sampling of `LUMA`. A
    picture in colour that is to become grey is none: libjpeg would take its Y, and Pillow computes it from R, G and B.

    Args:
        content: the file.
        channels: of the decoded picture, 1 or 3.
    """
    if content[:2] != START or content[-2:] != END:
        return None
    place, size, components = 2, None, 0
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4])
        body = content[place + 4 : place + 2 + length]
        if marker == BASELINE:
            bits, height, width, components = body[0], int.from_bytes(body[1:3]), int.from_bytes(body[3:5]), body[5]
            sampled = [tuple(body[i : i + 2]) for i in range(6, len(body), 3)]
            grey = components == GREY
            colour = components == COLOUR == channels and sampled in [[(1, y), (2, 0x11), (3, 0x11)] for y in LUMA]
            size = PictureSize(height, width) if bits == 8 and height and (grey or colour) else None
        elif marker in OTHER_PROCESSES or (marker == ADOBE and body[:5] == b"Adobe" and body[11:12] != bytes([YCC])):
            return None
        elif marker == SCAN:
            return size if body[:1] == bytes([components]) else None
        place += 2 + length
    return None


@functools.cache
def same_bits() -> bool:
    """Return whether TensorFlow's decoder here gives the bits of Pillow's, for pictures of each accepted kind."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    for height, width in ((33, 47), (64, 80)):
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)).resize((width, height))
        pixels = np.clip(np.asarray(coarse, np.int16) + random.integers(-20, 20, (height, width, 1)), 0, 255)
        picture = Image.fromarray(pixels.astype(np.uint8))
        for plain, sampling in ((picture, 0), (picture, 1), (picture, 2), (picture.convert("L"), 0)):
            for quality in (50, 95):
                file = io.BytesIO()
                plain.save(file, "JPEG", quality=quality, subsampling=sampling)
                content = file.getvalue()
                if plain_size(content, 3) != PictureSize(height, width):
                    return False
                with tf.init_scope(), tf.device("cpu"):
                    bits = decoded(content, 3).numpy()
                if not np.array_equal(bits, decode(content, 3)):
                    return False
    return True


def decoded(content: "tf.Tensor | bytes", channels: int) -> "tf.Tensor":
    """Return uint8 [height, width, channels] of a file, by TensorFlow; PNG files are decoded as well."""
    import tensorflow as tf

    return tf.io.decode_jpeg(content, channels=channels, dct_method="INTEGER_ACCURATE")
