"""What the types of the configuration cannot say: combinations, and files that must exist."""

from collections.abc import Iterator
from pathlib import Path

from qatflow.archive import is_archive
from qatflow.config.model import Config
from qatflow.config.validate import Problem, problem
from qatflow.config.yaml_lines import shown
from qatflow.files import sha256

DIGITS = 1797  # pictures bundled with scikit-learn
KERAS_ALPHAS = (0.25, 0.5, 0.75, 1.0)
"""Widths for which keras.applications has ImageNet weights of MobileNetV1."""
HASHED_AT_ONCE = 64 * 2**20  # a larger file is hashed by its job, not before the start


def check_config(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with the combination of values, and which files are missing."""
    yield from _preprocessing(config)
    yield from _data(config)
    yield from _pretrained(config)
    yield from _device(config)


def _preprocessing(config: Config) -> Iterator[Problem]:
    preprocessing = config.data.preprocessing
    section = "data.preprocessing"
    for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
        if len(values) != preprocessing.channels:
            yield problem(
                f"must have one value a channel, and {section}.channels is {preprocessing.channels}; got {len(values)}",
                f"{section}.{name}",
                f"{section}.channels",
            )
    if any(value <= 0 for value in preprocessing.std):
        yield problem("divides the pixels: each value must be above 0", f"{section}.std")


def _data(config: Config) -> Iterator[Problem]:
    data = config.data
    if data.source == "folder" and data.path is None:
        yield problem(
            "is missing: source 'folder' needs the folder that holds one folder a class", "data.path", "data.source"
        )
    if data.source == "digits":
        if data.path is not None:
            yield problem(
                "source 'digits' is bundled with scikit-learn and takes no path: remove it, or change data.source",
                "data.path",
                "data.source",
            )
        left = DIGITS - data.validation - data.test
        if left < 1:
            yield problem(
                f"validation ({data.validation}) and test ({data.test}) take all of the {DIGITS} digits; "
                "leave some for training",
                "data.validation",
                "data.test",
                "data.source",
            )
        elif data.calibration > left:
            yield problem(
                f"must be at most the {left} training pictures left of the {DIGITS} digits",
                "data.calibration",
                "data.validation",
                "data.test",
                "data.source",
            )
        if config.device.pictures > data.test:
            yield problem(
                f"must be at most data.test ({data.test}), the number of test pictures",
                "device.pictures",
                "data.test",
                "data.source",
            )
    elif data.path is not None and not Path(data.path).is_dir():
        if data.source == "folder" and is_archive(Path(data.path)):
            return
        yield problem(f"the folder {data.path} does not exist{_relative(data.path)}", "data.path", "data.source")


def _pretrained(config: Config) -> Iterator[Problem]:
    pretrained = config.pretrained
    if pretrained.source == "file":
        yield from _weights_file(pretrained.path, pretrained.sha256)
    elif pretrained.path is not None:
        yield problem(
            f"source '{pretrained.source}' takes no path: remove it, or set pretrained.source to 'file'",
            "pretrained.path",
            "pretrained.source",
        )
    if pretrained.source == "train":
        if pretrained.sha256 is not None:
            yield problem(
                "source 'train' makes the weights here, so no checksum can be known: remove it",
                "pretrained.sha256",
                "pretrained.source",
            )
        if pretrained.train.warmup_epochs > pretrained.train.epochs:
            yield problem(
                f"must be at most pretrained.train.epochs ({pretrained.train.epochs})",
                "pretrained.train.warmup_epochs",
                "pretrained.train.epochs",
            )
    if pretrained.source == "keras-applications":
        if config.model.alpha not in KERAS_ALPHAS:
            yield problem(
                f"must be one of {', '.join(map(str, KERAS_ALPHAS))}: keras-applications has no weights for others",
                "model.alpha",
                "pretrained.source",
            )
        if config.data.preprocessing.channels != 3:
            yield problem(
                "must be 3: keras-applications' weights are for RGB pictures",
                "data.preprocessing.channels",
                "pretrained.source",
            )


def _weights_file(path: str | None, expected: str | None) -> Iterator[Problem]:
    keys = ("pretrained.path", "pretrained.source")
    if path is None:
        yield problem("is missing: source 'file' needs the .h5 file of the weights", *keys)
        return
    file = Path(path)
    if not file.is_file():
        yield problem(f"the file {path} does not exist{_relative(path)}", *keys)
    elif expected is not None and file.stat().st_size <= HASHED_AT_ONCE:
        try:
            found = sha256(file)
        except OSError as error:
            yield problem(f"the file {path} cannot be read: {error.strerror}", *keys)
            return
        if found != expected:
            yield problem(
                f"is {expected}, but the sha256 of {shown(file)} is {found}: it is another file, or damaged",
                "pretrained.sha256",
                *keys,
            )


def _device(config: Config) -> Iterator[Problem]:
    if config.device.type == "adb" and config.device.serial is None:
        yield problem(
            "is missing: type 'adb' needs the serial number that `adb devices` prints", "device.serial", "device.type"
        )
    if config.device.type == "emulator" and config.device.serial is not None:
        yield problem("is for type 'adb': remove it, or set device.type to 'adb'", "device.serial", "device.type")


def _relative(path: str) -> str:
    return "" if Path(path).is_absolute() else " (paths are relative to the folder in which Snakemake is started)"
