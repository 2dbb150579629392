from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qatflow.base.errors import UserError
from qatflow.base.picture_size import PictureSize, square
from qatflow.data import augment
from qatflow.data.manifest import Manifest
from qatflow.data.picture import decode
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing
from qatflow.data.reader import records, tensors

pytestmark = pytest.mark.tensorflow

PAD = Preprocessing(square(32), "pad", 1, (127.5,), (127.5,))
STRETCH = Preprocessing(square(40), "stretch", 3, (123.68, 116.78, 103.94), (58.4, 57.1, 57.4))
CROP = Preprocessing(
    square(40), "crop", 3, (103.939, 116.779, 123.68), (58.4, 57.1, 57.4), resize_short=44, order="bgr"
)
WIDE = Preprocessing(PictureSize(24, 40), "crop", 3, (103.939,), (58.4,))
HIGH = Preprocessing(PictureSize(40, 24), "stretch", 3, (103.939,), (58.4,))
STREAM, MEMORY = 0, 10**9  # bytes allowed in memory


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    settings = Settings("digits", "digits", None, 197, 360, 25, 3, 0.01, 1, PAD)
    return prepare(settings, tmp_path_factory.mktemp("data") / "digits")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(30):
        path = folder / f"class{number % 3}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        size = random.integers(20, 90, 2)
        Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)).save(path)
    settings = Settings("photos", "folder", folder, 6, 6, 6, 2, 0.01, 1, STRETCH)
    return prepare(settings, tmp_path_factory.mktemp("data") / "photos")


def epoch(manifest: Manifest, number: int = 0, start: int = 0, **changes) -> tuple[np.ndarray, np.ndarray]:
    from qatflow.data.pipeline import training_data

    options: dict[str, Any] = {"batch_size": 64, "seed": 1, "augmentation": "shift_flip"} | changes
    batches = list(training_data(manifest, **options).epoch(number, start))
    assert all(len(images) == options["batch_size"] for images, _ in batches)
    return np.concatenate([i for i, _ in batches]), np.concatenate([v for _, v in batches])


def test_tensorflow_reads_the_shards(digits: Manifest):
    import tensorflow as tf

    paths = [str(path) for path in digits.shard_paths("train")]
    own = records(digits, "train")
    read = 0
    for data in tf.data.TFRecordDataset(paths):  # checks the CRCs
        feature = tf.train.Example.FromString(data.numpy()).features.feature
        record = next(own)
        assert sorted(feature) == ["image/class/label", "image/encoded", "image/key"]
        assert feature["image/encoded"].bytes_list.value[:] == [record.content]
        assert feature["image/class/label"].int64_list.value[:] == [record.label]
        assert feature["image/key"].bytes_list.value[:] == [record.key.encode()]
        read += 1
    assert read == 1240 and next(own, None) is None


@pytest.mark.parametrize("in_memory", [STREAM, MEMORY])
def test_evaluation_batches_have_the_bits_of_the_reference(digits: Manifest, photos: Manifest, in_memory: int):
    from qatflow.data.pipeline import evaluation_batches

    for manifest in (digits, photos, *(replace(photos, preprocessing=spec) for spec in (CROP, WIDE, HIGH))):
        for split in ("validation", "train"):
            batches = list(evaluation_batches(manifest, split, batch_size=50, in_memory=in_memory))
            expected, labels = tensors(manifest, split)
            assert np.array_equal(np.concatenate([i for i, _ in batches]), expected)
            assert np.array_equal(np.concatenate([v for _, v in batches]), labels)


def test_without_augmentation_an_epoch_is_every_picture_once_and_the_last_batch_is_filled_up(digits: Manifest):
    images, labels = epoch(digits, augmentation="none")
    reference, reference_labels = tensors(digits, "train")
    assert len(images) == 1280  # 20 batches of 64 for 1,240 pictures
    assert np.array_equal(images[1240:], images[:40]) and np.array_equal(labels[1240:], labels[:40])

    def bag(inputs: np.ndarray, classes: np.ndarray) -> list[bytes]:
        return sorted(image.tobytes() + bytes([label]) for image, label in zip(inputs, classes, strict=True))

    assert bag(images[:1240], labels[:1240]) == bag(reference, reference_labels)
    assert not np.array_equal(images[:1240], reference)


@pytest.mark.parametrize(
    ("augmentation", "largest", "flips"),
    [("flip", 0, {False, True}), ("shift", 2, {False}), ("shift_flip", 2, {False, True})],
)
def test_augmentation_shifts_by_up_to_a_sixteenth_and_mirrors(
    digits: Manifest, augmentation: str, largest: int, flips: set[bool]
):
    plain, _ = epoch(digits, augmentation="none")
    changed, _ = epoch(digits, augmentation=augmentation)
    shifts = range(-4, 5)  # wider than it should be: nothing beyond `largest` may be found
    seen = set()
    for before, after in zip(plain[:1240], changed[:1240], strict=True):
        found = []
        for flip in (False, True):
            canvas = np.full((40, 40, 1), -1, np.float32)
            canvas[4:36, 4:36] = before[:, ::-1] if flip else before
            for down in shifts:
                for right in shifts:
                    if np.array_equal(canvas[4 - down : 36 - down, 4 - right : 36 - right], after):
                        found.append((down, right, flip))
        assert found, "not a shifted or mirrored copy"
        if len(found) == 1:
            seen.add(found[0])
    allowed = range(-largest, largest + 1)
    assert seen == {(down, right, flip) for down in allowed for right in allowed for flip in flips}


def test_a_rectangle_is_shifted_by_a_sixteenth_of_each_side_and_mirrored_left_to_right():
    draws = augment.draw("shift_flip", PictureSize(32, 64), 400, np.random.default_rng(1))
    assert set(draws.shift[:, 0]) == set(range(-2, 3)) and set(draws.shift[:, 1]) == set(range(-4, 5))
    pictures = np.random.default_rng(2).integers(1, 256, (400, 32, 64, 1), np.uint8)
    moved = augment.transform(pictures, draws.shift, draws.flip).numpy()
    for before, after, (down, right), flip in zip(pictures, moved, draws.shift, draws.flip, strict=True):
        expected = np.zeros((32, 64, 1), np.uint8)
        for y in range(max(down, 0), min(32, 32 + down)):
            columns = range(max(right, 0), min(64, 64 + right))
            row = (before[:, ::-1] if flip else before)[y - down]
            expected[y, columns.start : columns.stop] = row[columns.start - right : columns.stop - right]
        assert np.array_equal(after, expected)


def test_an_epoch_is_a_function_of_seed_and_number(digits: Manifest):
    images, labels = epoch(digits, 3)
    again, again_labels = epoch(digits, 3)
    assert np.array_equal(images, again) and np.array_equal(labels, again_labels)
    for options in ({"number": 4}, {"number": 3, "seed": 2}):
        assert not np.array_equal(epoch(digits, **options)[1], labels)


@pytest.mark.parametrize("in_memory", [STREAM, MEMORY])
def test_a_resumed_epoch_goes_on_where_it_stopped(digits: Manifest, in_memory: int):
    images, labels = epoch(digits, 2)
    rest, rest_labels = epoch(digits, 2, start=13, in_memory=in_memory)
    assert np.array_equal(rest, images[13 * 64 :]) and np.array_equal(rest_labels, labels[13 * 64 :])


def test_more_room_than_pictures_repeats_them(photos: Manifest):
    images, labels = epoch(photos, augmentation="none", batch_size=40)
    assert len(images) == 40 and np.array_equal(images[18:36], images[:18]) and np.array_equal(labels[36:], labels[:4])


def test_streamed_and_kept_pictures_train_alike(photos: Manifest):
    kept, _ = epoch(photos, batch_size=5, in_memory=MEMORY)
    streamed, _ = epoch(photos, batch_size=5, in_memory=STREAM)
    assert np.array_equal(kept, streamed)
    other = replace(photos, preprocessing=replace(STRETCH, channels=1, mean=(0.0,), std=(1.0,)))
    assert epoch(other, batch_size=5)[0].shape == (20, 40, 40, 1)


@pytest.mark.parametrize("spec", [STRETCH, CROP, WIDE], ids=["stretch", "crop", "wide"])
def test_a_random_crop_is_the_part_of_the_picture_that_was_drawn(photos: Manifest, spec: Preprocessing):
    manifest = replace(photos, preprocessing=spec)
    images, labels = epoch(manifest, 5, batch_size=9, augmentation="crop_flip")
    sources = [(decode(record.content, 3), record.label) for record in records(manifest, "train")]
    order = np.random.default_rng([1, 5, 0]).permutation(18)
    draws = augment.draw("crop_flip", spec.size, 18, np.random.default_rng([1, 5, 1]))
    mean, std = np.array(spec.mean, np.float32), np.float32(1) / np.array(spec.std, np.float32)
    for image, label, position, crop, flip in zip(images, labels, order, draws.crop, draws.flip, strict=True):
        source, expected = sources[position]
        top, left, height, width = augment.crop_box(crop, PictureSize(*source.shape[:2]), spec.size)
        part = np.asarray(source[top : top + height, left : left + width], np.float32)
        # tf.image, of which no line is ours
        resized = tf_resize(part[:, ::-1] if flip else part, spec.size)
        resized = resized[..., ::-1] if spec.order == "bgr" else resized
        assert label == expected and np.array_equal(image, (resized - mean) * std)


def tf_resize(pixels: np.ndarray, size: PictureSize) -> np.ndarray:
    import tensorflow as tf

    return tf.image.resize(pixels, (size.height, size.width), method="bilinear", antialias=False).numpy()


def test_a_resumed_epoch_of_random_crops_goes_on_where_it_stopped(photos: Manifest):
    images, labels = epoch(photos, 2, batch_size=4, augmentation="crop_flip")
    rest, rest_labels = epoch(photos, 2, start=3, batch_size=4, augmentation="crop_flip")
    assert np.array_equal(rest, images[12:]) and np.array_equal(rest_labels, labels[12:])
    assert not np.array_equal(epoch(photos, 3, batch_size=4, augmentation="crop_flip")[0], images)


def test_padded_pictures_cannot_be_cropped_at_random(digits: Manifest):
    with pytest.raises(UserError, match=r"crop_flip resizes .* set data\.preprocessing\.resize to stretch or crop"):
        epoch(digits, augmentation="crop_flip")


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 375), (1, 1), (9, 4000), (64, 64)])
def test_random_crops_have_the_areas_and_ratios_of_the_reader(height: int, width: int):
    draws = np.random.default_rng(0).random((4000, 4))
    boxes = np.array([augment.crop_box(draw, PictureSize(height, width), square(32)) for draw in draws])
    if height == width:  # a target twice as wide as high: parts of twice the ratio
        ratios = [augment.crop_box(d, square(6400), PictureSize(32, 64))[2:] for d in draws if d[1] < 0.3]
        wide = np.array([across / down for down, across in ratios])
        assert 1.49 < wide.min() < 1.55 and 2.6 < wide.max() < 2.67
    top, left, down, across = boxes.T
    assert (top >= 0).all() and (left >= 0).all() and (down >= 1).all() and (across >= 1).all()
    assert (top + down <= height).all() and (left + across <= width).all()
    if min(height, width) > 60:  # large enough for whole pixels not to matter much
        ratio, area = across / down, across * down / (height * width)
        assert ratio.min() > 0.7 and ratio.max() < 1.43 and abs(ratio.mean() - (3 / 4 + 4 / 3) / 2) < 0.02
        assert 0.07 < area.min() < 0.09 and area.max() > 0.75
        edges = np.concatenate([top == 0, top + down == height])
        assert 0 < edges.mean() < 0.2  # not always the middle, not always a corner
