"""Which JPEG files TensorFlow decodes, and that it gives Pillow's bits; what the pipeline does with all others."""

import io
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from qatflow.base.picture_size import PictureSize
from qatflow.data import in_shards, jpeg
from qatflow.data.augment import crop_box, draw
from qatflow.data.jpeg import plain_size
from qatflow.data.manifest import Manifest
from qatflow.data.picture import decode
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing, apply, interpolate, normalise, samples
from qatflow.data.reader import records, tensors

CROP = Preprocessing(PictureSize(24, 40), "crop", 3, (103.939, 116.779, 123.68), (58.4,), resize_short=28, order="bgr")


def picture(height: int, width: int, seed: int = 0, grey: bool = False) -> Image.Image:
    """Smooth shapes with noise: chroma that changes from pixel to pixel shows how it is sampled."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8)).resize((width, height))
    pixels = np.clip(np.asarray(coarse, np.int16) + random.integers(-40, 40, (height, width, 3)), 0, 255)
    plain = Image.fromarray(pixels.astype(np.uint8))
    return plain.convert("L") if grey else plain


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("sampling", [0, 1, 2])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 200), (33, 47), (64, 80)])
def test_usual_files_are_recognised_with_their_size(height: int, width: int, sampling: int):
    for options in ({}, {"quality": 100}, {"optimize": True}, {"dpi": (72, 72)}, {"comment": b"\xff\xc2\xff\xda"}):
        content = saved(picture(height, width), subsampling=sampling, **options)
        assert plain_size(content, 3) == PictureSize(height, width), options
        assert plain_size(content, 1) is None
    grey = saved(picture(height, width, grey=True))
    assert plain_size(grey, 1) == plain_size(grey, 3) == PictureSize(height, width)


def test_other_files_are_not():
    image = picture(40, 30)
    plain = saved(image)
    adobe = plain[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00" + plain[2:]
    tall, wide = (plain.replace(b"\x01\x22\x00", b"\x01" + luma + b"\x00", 1) for luma in (b"\x12", b"\x41"))
    one_scan_each = plain.replace(b"\xff\xda\x00\x0c\x03", b"\xff\xda\x00\x08\x01", 1)
    for content in (
        saved(image, progressive=True), saved(image.convert("CMYK")), saved(image, "PNG"), tall, wide,
        plain[:-2], plain + b"\0", plain[:100], b"", plain[:2] + plain[4:], adobe, one_scan_each,
        saved(image, keep_rgb=True),
    ):  # fmt: skip
        assert plain_size(content, 3) is None, content[:40]
    assert plain_size(adobe[:17] + b"\x01" + adobe[18:], 3) == PictureSize(40, 30)  # Adobe's Y, Cb, Cr


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Pictures that TensorFlow decodes, and others between them; two so long that little of them is taken."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(1)
    kinds: tuple[dict[str, Any], ...] = (
        {"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2, "quality": 60}, {"progressive": True},
        {"quality": 95}, {"keep_rgb": True}, {"grey": True}, {"kind": "PNG"},
    )  # fmt: skip
    for number in range(34):
        options = dict(kinds[number % len(kinds)])
        height, width = random.integers(20, 90, 2) if number < 32 else ((400, 30), (30, 500))[number % 2]
        path = folder / f"class{number % 2}" / f"{number}.pic"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(saved(picture(height, width, number, options.pop("grey", False)), **options))
    return prepare(Settings("photos", "folder", folder, 2, 2, 6, 2, 0.01, 1, CROP), folder.parent / "prepared")


@pytest.mark.tensorflow
def test_tensorflow_gives_pillow_s_bits_and_decodes_most():
    assert jpeg.same_bits()
    for seed, (height, width) in enumerate([(1, 1), (2, 3), (16, 16), (17, 31), (200, 7), (129, 255)]):
        for sampling in (0, 1, 2):
            for options in ({"quality": 30}, {"quality": 95, "optimize": True}, {"restart_marker_blocks": 3}):
                content = saved(picture(height, width, seed), subsampling=sampling, **options)
                assert plain_size(content, 3) is not None
                assert np.array_equal(jpeg.decoded(content, 3).numpy(), decode(content, 3)), (height, width, options)
        grey = saved(picture(height, width, seed, grey=True))
        for channels in (1, 3):
            assert np.array_equal(jpeg.decoded(grey, channels).numpy(), decode(grey, channels))


@pytest.mark.tensorflow
@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(
    "spec", [CROP, replace(CROP, resize="stretch", resize_short=None, order="rgb")], ids=["crop", "stretch"]
)
def test_every_kind_of_picture_has_the_bits_of_the_reference(
    photos: Manifest, spec: Preprocessing, native: bool, monkeypatch: pytest.MonkeyPatch
):
    """Without TensorFlow's decoder all go through Pillow, as where its version decodes differently."""
    from qatflow.data.pipeline import NONE, evaluation_batches, training_data

    monkeypatch.setattr(in_shards.jpeg, "same_bits", lambda: native)
    manifest = replace(photos, preprocessing=spec)
    stored = list(records(photos, "train"))
    kinds = [plain_size(record.content, 3) is not None for record in stored]
    assert any(kinds) and not all(kinds)
    expected, labels = tensors(manifest, "train")
    found = list(evaluation_batches(manifest, "train", batch_size=7, in_memory=NONE))
    assert np.array_equal(np.concatenate([images for images, _ in found]), expected)
    assert np.array_equal(np.concatenate([numbers for _, numbers in found]), labels)
    data = training_data(manifest, batch_size=10, seed=3, augmentation="crop_flip")
    served = np.concatenate([images for images, _ in data.epoch(0)])
    draws = draw("crop_flip", spec.size, len(served), np.random.default_rng([3, 0, 1]))
    assert draws.crop is not None and set(draws.flip) == {False, True}
    for row, position, crop, flip in zip(served, data.positions(0), draws.crop, draws.flip, strict=True):
        pixels = decode(stored[position].content, 3)
        top, left, height, width = crop_box(crop, PictureSize(*pixels.shape[:2]), spec.size)
        seen = pixels[top : top + height, left : left + width]
        seen = seen[:, ::-1] if flip else seen
        seen = seen[..., ::-1] if spec.order == "bgr" else seen
        resized = interpolate(np.ascontiguousarray(seen), samples(height, 24), samples(width, 40))
        assert np.array_equal(row, normalise(spec, resized))


def test_a_picture_of_its_own_size_and_any_other_is_interpolated_as_the_formula_says():
    """interpolate() takes pixels as they are where it may; here with float64 in place of its float32 steps."""
    pixels = np.asarray(picture(36, 60))
    for rows, columns in (
        (samples(36, 36), samples(60, 60)), (samples(36, 36, 5, 20), samples(60, 60, 7, 11)),
        (samples(36, 12), samples(60, 20)), (samples(36, 36), samples(60, 20)), (samples(36, 50), samples(60, 60)),
    ):  # fmt: skip
        found = interpolate(pixels, rows, columns)
        values = pixels.astype(np.float64)
        for axis, side in ((0, rows), (1, columns)):
            weight = side.weight.reshape(-1, 1, 1) if axis == 0 else side.weight.reshape(1, -1, 1)
            values = values.take(side.lower, axis) * (1 - weight) + values.take(side.upper, axis) * weight
        np.testing.assert_allclose(found, values, atol=1e-4)
        assert found.dtype == np.float32


@pytest.mark.parametrize("channels", [1, 3])
def test_normalising_is_the_formula_to_the_last_bit_for_pictures_and_batches(channels: Literal[1, 3]):
    spec = Preprocessing(
        PictureSize(6, 5), "pad", channels, (123.68, 116.78, 103.94)[:channels], (58.4, 57.1, 57.4)[:channels]
    )
    batch = np.random.default_rng(0).integers(0, 256, (4, 6, 5, channels), np.uint8)
    expected = (batch.astype(np.float32) - np.asarray(spec.mean, np.float32)) * spec.scale
    assert np.array_equal(normalise(spec, batch), expected)
    assert np.array_equal(normalise(spec, batch[0]), expected[0]) and np.array_equal(apply(spec, batch[1]), expected[1])
