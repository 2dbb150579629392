"""The overlay as text: each value with why it is so, and what else is worth a look."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from qatflow.overlay.model import Model
from qatflow.overlay.pictures import Pictures

SIZES = (32, 48, 64, 96, 128)
"""Of a network that is trained from nothing here; larger ones take hours on a few cores."""
OFFICIAL = 224
"""Size of Keras' official MobileNetV1 weights."""
FEW = 20_000
"""Pictures below which official weights, trained further, do better than new ones."""
SHARE = 0.15
"""Of the pictures that are set aside for validation, and for test, where there are no folders for them."""
MOST_ASIDE, MOST_CALIBRATION = 5000, 200


def overlay(name: str, command: str, pictures: Pictures | None, model: Model | None) -> str:
    """Return the text of a configuration.

    Args:
        name: of the file, for the experiment.
        command: with which the file is used.
        pictures: what is seen of them; None: there are none yet, and Fashion-MNIST stands in.
        model: what is seen of it; None: a built-in network.
    """
    lines = [
        "# yaml-language-server: $schema=config/schema.json",
        "#",
        "# Written by `./run.sh init`: what differs from the default, config/config.yaml. All keys: config/README.md",
        f"#   {command} -n        what it would do",
        f"#   {command}           do it",
        f"experiment: {identifier(name)} # the results are in results/{identifier(name)}/",
        "",
        *_data(pictures, model),
        *(_model(pictures, model) if model else _network(pictures)),
        "",
        "accuracy:",
        "  max_drop: 1 # points of top-1 that int8 may lose; more, and it does not go to the device",
        "",
        "# A phone instead of the emulator (docs/devices.md):",
        "# device: {type: adb, name: phone, serial: what `adb devices` prints}",
    ]
    return "\n".join(lines) + "\n"


def identifier(text: str) -> str:
    """Return a text as a name of an experiment or data set."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:60] or "mine"


def is_transferred(pictures: Pictures | None, model: Model | None) -> bool:
    """Return whether official weights are trained further: for few coloured pictures that are no thumbnails."""
    return (
        model is None
        and pictures is not None
        and not pictures.grey
        and pictures.counts["train"] < FEW
        and pictures.short_side >= SIZES[-2]
    )


def _data(pictures: Pictures | None, model: Model | None) -> Iterator[str]:
    yield "data:"
    if pictures is None:
        yield "  # No pictures were given: Fashion-MNIST stands in for them. For your own, one folder per class:"
        yield "  # name: mine"
        yield "  # source: folder"
        yield "  # path: /my/pictures"
    else:
        yield from _folder(pictures)
    yield from _preprocessing(pictures, model)
    yield ""


def _folder(pictures: Pictures) -> Iterator[str]:
    counts, classes = pictures.counts, pictures.classes
    shown = ", ".join(classes[:6]) + (", …" if len(classes) > 6 else "")
    yield f"  # {len(classes)} classes: {shown}"
    yield f"  # pictures: {pictures.counted}"
    for doubt in pictures.doubts:
        yield f"  # note: {doubt}"
    yield f"  name: {identifier(pictures.path.resolve().name)}"
    yield "  source: folder"
    yield f"  path: {_quoted(pictures.path)}"
    train = counts["train"]
    aside = max(len(classes), min(round(SHARE * train), MOST_ASIDE))
    for split in ("validation", "test"):
        if split not in counts:
            aside = min(aside, max(1, (train - 1) // 2))
            train -= aside
            folder = "val" if split == "validation" else split
            yield f"  {split}: {aside} # set aside from training: there is no {folder}/"
    yield f"  calibration: {max(1, min(train, MOST_CALIBRATION))} # training pictures that set the first ranges"
    if pictures.unreadable:
        yield f"  # not a picture: {pictures.unreadable[0]}{_more(len(pictures.unreadable))}"
        share = len(pictures.unreadable) / (len(pictures.unreadable) + len(pictures.sides))
        yield f"  max_rejected: {min(1.0, max(0.02, 2 * share)):.2f} # share that may be no pictures"


def _preprocessing(pictures: Pictures | None, model: Model | None) -> Iterator[str]:
    yield "  preprocessing:"
    if model is not None and model.shape is not None:
        height, width, channels = model.shape
        yield f"    size: {height if height == width else [height, width]} # the model's input"
        yield f"    channels: {channels}"
        yield f"    resize: {_resize(pictures)}"
        if not model.quantised:
            yield "    # As the model was trained: pixels from 0 to 255 become (pixel − mean) / std. Wrong values cost"
            yield "    # accuracy without any message; pretrained.expected_top1 below would notice."
            yield "    mean: [127.5]"
            yield "    std: [127.5]"
        return
    if is_transferred(pictures, model):
        yield f"    size: {OFFICIAL} # of the official weights"
        yield "    resize: crop"
        yield "    channels: 3"
        return
    if pictures is None:
        yield "    size: 32"
        return
    size = max((size for size in SIZES if size <= pictures.short_side), default=SIZES[0])
    yield f"    # the shorter sides are about {pictures.short_side} pixels; time grows with the square of the size"
    yield f"    size: {size}"
    yield f"    channels: {1 if pictures.grey else 3} # {'all are grey' if pictures.grey else 'in colour'}"
    yield f"    resize: {_resize(pictures)}"


def _resize(pictures: Pictures | None) -> str:
    if pictures is None or pictures.stretched <= 1.1:
        return "stretch # both sides to `size`"
    return f"crop # they are {pictures.stretched:.1f} times as long as wide: the middle is kept; stretch keeps all"


def _network(pictures: Pictures | None) -> Iterator[str]:
    if is_transferred(pictures, None):
        yield "model:"
        yield "  architecture: MobileNetV1"
        yield "  alpha: 0.75"
        yield ""
        yield "pretrained:"
        yield f"  # under {FEW:,} pictures: Keras' ImageNet weights (10 MB, downloaded once) and a new last layer"
        yield "  name: MobileNetV1_" + identifier(pictures.path.resolve().name if pictures else "mine")
        yield "  source: keras-applications"
        yield "  fine_tune: true"
        yield "  train:"
        yield "    epochs: 10"
        return
    yield "model:"
    yield "  architecture: MobileNetV1 # or MobileNetV2, MobileNetV3Small, ResNet50, EfficientNetB0"
    yield ""
    yield "pretrained:"
    yield "  name: MobileNetV1_" + identifier(pictures.path.resolve().name if pictures else "mine")
    yield "  source: train"
    yield "  train:"
    yield "    epochs: 20 # look at the learning curves of the report: raise it while they still rise"


def _model(pictures: Pictures | None, model: Model) -> Iterator[str]:
    kinds = [f"{count} {kind}" for kind, count in model.layers.items()]
    yield f"# {sum(model.layers.values())} layers: {', '.join(kinds[:6])}{', …' if len(kinds) > 6 else ''}"
    if model.quantised:
        yield "# It is quantised already: it is not trained, but optimised, built and compared."
        yield "quantized_model:"
        yield f"  file: {_quoted(model.path)}"
        yield "  drop_background: false # true: the first class is the background, as in TensorFlow's own"
        return
    yield "model:"
    yield f"  file: {_quoted(model.path)}"
    if model.in_float:
        listed = [f"{name} ({kind})" for name, kind in model.in_float.items()]
        yield "  # without an int8 form, and in float also on the device:"
        yield from (f"  #   {line}" for line in listed[:8])
        if len(listed) > 8:
            yield f"  #   … and {len(listed) - 8} more"
        yield "  keep_in_float: auto"
    else:
        yield "  # every layer has an int8 form: nothing runs in float"
    yield ""
    yield "pretrained:"
    yield f"  name: {identifier(model.path.stem)}"
    yield "  source: model # the weights of the file"
    other = pictures is None or (model.classes is not None and model.classes != len(pictures.classes))
    if other:
        seen = f"{model.classes} classes" if model.classes is not None else "other classes"
        wanted = "10" if pictures is None else str(len(pictures.classes))
        yield f"  fine_tune: true # the model has {seen}, and the pictures {wanted}: it gets a new last layer"
        yield "  train:"
        yield "    epochs: 10"
    else:
        yield "  fine_tune: false # true: train these weights on the pictures first"
        yield "  # expected_top1: 70.0 # the published accuracy: far below it, the run stops and says what may be wrong"


def _quoted(path: Path) -> str:
    text = str(path)
    return (
        text if re.fullmatch(r"[\w./~+-]+", text) and not text.startswith("~") else json.dumps(text, ensure_ascii=False)
    )


def _more(number: int) -> str:
    return f", and {number - 1} more of those looked at" if number > 1 else ""
