"""Checks of the section `pretrained`: the keys that each source needs, and those it does not take."""

from collections.abc import Iterator
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.picture_size import square
from qatflow.config.checks.files import check_sha256, check_url, overlap, saved_problem
from qatflow.config.sections.config import Config
from qatflow.config.sections.named_files import DOWNLOADED, official_width, weights_file
from qatflow.config.sections.official_weights import OFFICIAL
from qatflow.config.yaml.problems import Problem, problem

TAKES = {"path": ("file",), "url": ("url",), "mirror": ("keras-applications",)}
"""The sources that a key is for."""


def check_pretrained(config: Config) -> Iterator[Problem]:
    """Yield the problems of the source of the float weights."""
    pretrained = config.pretrained
    source = "pretrained.source"
    for key, sources in TAKES.items():
        value = getattr(pretrained, key)
        if value is not None and pretrained.source not in sources:
            yield problem(
                f"source '{pretrained.source}' takes no {key}: remove it, or set pretrained.source to '{sources[0]}'",
                f"pretrained.{key}",
                source,
            )
    made_here = pretrained.source in ("train", "model")
    if made_here and pretrained.sha256 is not None:
        yield problem(
            "source 'train' makes the weights here, so their checksum is not known: remove it"
            if pretrained.source == "train"
            else "source 'model' takes the model's own weights, and a checksum is for a file of weights: remove it",
            "pretrained.sha256",
            source,
        )
    if pretrained.source == "train" and pretrained.expected_top1 is not None:
        yield problem(
            "source 'train' makes the weights here, so no accuracy of them is published: remove it",
            "pretrained.expected_top1",
            source,
        )
    trains = pretrained.source == "train" or pretrained.fine_tune
    if trains and pretrained.train.warmup_epochs > pretrained.train.epochs:
        yield problem(
            f"must be at most pretrained.train.epochs ({pretrained.train.epochs})",
            "pretrained.train.warmup_epochs",
            "pretrained.train.epochs",
        )
    match pretrained.source:
        case "keras-applications":
            yield from _keras_weights(config)
        case "file":
            yield from _weights_file(config)
        case "url":
            yield from _weights_url(config)


def _keras_weights(config: Config) -> Iterator[Problem]:
    source, model = "pretrained.source", config.model
    weights = OFFICIAL.get(model.network or "")
    if weights is None and model.network is not None:
        yield problem(
            f"no official weights of {model.network} are known here: set it to 'train', or to 'file' or 'url' with "
            "weights of your own",
            source,
            "model.architecture",
        )
        return
    if weights is None:
        key = "model.file" if model.file is not None else "model.function"
        yield problem("is your own model, and keras-applications has no weights for it", key, source)
        return
    if config.data.preprocessing.channels != 3:
        yield problem(
            "must be 3: keras-applications has weights for RGB pictures", "data.preprocessing.channels", source
        )
    reason = f"keras-applications has no {model.network} weights for other values"
    fits = config.data.preprocessing.picture_size in map(square, weights.sizes)
    if official_width(config) not in weights.widths:
        yield problem(f"must be one of {', '.join(map(str, sorted(weights.widths)))}: {reason}", "model.alpha", source)
    elif fits:
        try:
            weights_file(config, Path())
        except UserError as error:  # its checksum is not known
            yield problem(str(error).removeprefix("pretrained.sha256: "), "pretrained.sha256", source)
    if not fits:
        yield problem(
            f"must be one of {', '.join(map(str, weights.sizes))}: {reason}", "data.preprocessing.size", source
        )


def _weights_url(config: Config) -> Iterator[Problem]:
    pretrained, source = config.pretrained, "pretrained.source"
    if pretrained.url is None:
        yield problem("is missing: source 'url' needs the address of the weights", "pretrained.url", source)
        return
    yield from check_url(pretrained.url, DOWNLOADED, "pretrained.url", source)
    if pretrained.sha256 is None:
        yield problem(
            "is missing: a download needs a known checksum; set the file's SHA-256",
            "pretrained.sha256",
            "pretrained.url",
        )


def _weights_file(config: Config) -> Iterator[Problem]:
    path, expected = config.pretrained.path, config.pretrained.sha256
    keys = ("pretrained.path", "pretrained.source")
    folder = f"pretrain/{config.pretrained.name}_pretrained"
    if path is None:
        yield problem("is missing: source 'file' needs the file of the weights", *keys)
    elif reason := saved_problem(path):
        yield problem(reason, *keys)
    elif overlap(path, folder):
        yield problem(
            f"{path} lies in {folder}/, which is replaced: move it, or set another pretrained.name",
            "pretrained.path",
            "pretrained.name",
        )
    else:
        yield from check_sha256(path, expected, "pretrained.sha256", *keys)
