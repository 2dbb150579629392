"""Picture files of every kind."""

import io

import numpy as np
from PIL import ExifTags, Image

from helpers.device_fixtures import arm_bundle, arm_runtime, call, host_bundle, require  # noqa: F401


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def unusual() -> dict[str, bytes]:
    """PNG files of every kind of sample, and pictures that lie on their side."""
    rng = np.random.default_rng(3)
    rgba = rng.integers(0, 256, (13, 9, 4), np.uint8)
    images = {
        "palette": Image.fromarray(rgba[..., :3]).quantize(16),
        "one bit": Image.fromarray(rgba[..., 0]).convert("1"),
        "grey, 16 bits": Image.fromarray(rng.integers(0, 65536, (13, 9), np.uint16)),
        "grey and alpha": Image.fromarray(rgba[..., :2]),
        "RGB and alpha": Image.fromarray(rgba),
    }
    contents = {name: saved(image) for name, image in images.items()}
    plain = Image.fromarray(rgba[..., :3])
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        contents[f"PNG turned {orientation}"] = saved(plain, exif=exif)
        flat = Image.fromarray(np.repeat(np.repeat(rgba[:2, :3, 0], 8, 0), 8, 1))  # blocks that JPEG keeps
        contents[f"JPEG turned {orientation}"] = saved(flat, "JPEG", exif=exif, quality=100)
    return contents
