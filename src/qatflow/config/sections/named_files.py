"""The files of weights and models that a configuration names: local ones, downloads, and Keras' official weights."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from qatflow.base.errors import UserError
from qatflow.base.picture_size import square
from qatflow.config.sections.config import Config
from qatflow.config.sections.model import ONE_WIDTH
from qatflow.config.sections.official_weights import BASE, OFFICIAL

DOWNLOADED = (".h5", ".keras")


@dataclass(frozen=True)
class NamedFile:
    """A file or a folder of weights, or of a whole model, that the configuration names.

    Attributes:
        path: where it is, or where it is downloaded to.
        url: where it is downloaded from; None for a local file.
        sha256: the SHA-256 that it must have; None: not checked.
        md5: the MD5 that it must have, if its SHA-256 is not known.
    """

    path: Path
    url: str | None
    sha256: str | None
    md5: str | None = None


def weights_file(config: Config, downloads: Path) -> NamedFile | None:
    """Return the weights that the configuration names; None if they are trained, or come with the model.

    Args:
        config: the checked configuration.
        downloads: folder that downloads are kept in.

    Raises:
        UserError: keras-applications has no weights of that width and size, or a checksum is missing.
    """
    section = config.pretrained
    if section.source == "file":
        assert section.path is not None
        return NamedFile(Path(section.path), None, section.sha256)
    if section.source == "url":
        assert section.url is not None
        if section.sha256 is None:
            raise UserError("pretrained.sha256: is missing: a download needs a known checksum")
        return NamedFile(downloads / file_name(section.url), section.url, section.sha256)
    if section.source == "keras-applications":
        return _official(config, downloads)
    return None


def quantized_model_file(config: Config, downloads: Path) -> NamedFile | None:
    """Return the quantised model that the configuration names; None if it names none.

    Args:
        config: the checked configuration.
        downloads: folder that downloads are kept in.
    """
    section = config.quantized_model
    if section.url is not None:
        return NamedFile(downloads / file_name(section.url), section.url, section.sha256)
    return NamedFile(Path(section.file), None, section.sha256) if section.file is not None else None


def file_name(url: str) -> str:
    """Return the name of the file at an address."""
    return PurePosixPath(unquote(urlsplit(url).path)).name


def _official(config: Config, downloads: Path) -> NamedFile:
    section, size = config.pretrained, config.data.preprocessing.picture_size
    network = config.model.network
    weights = OFFICIAL.get(network or "")
    if weights is None:
        raise UserError("pretrained.source: keras-applications has no weights for a model of your own")
    width = official_width(config)
    if width not in weights.widths or size not in map(square, weights.sizes):
        widths, sizes = ", ".join(map(str, sorted(weights.widths))), ", ".join(map(str, weights.sizes))
        raise UserError(
            f"pretrained.source: keras-applications has no {network} weights for model.alpha {width} and "
            f"data.preprocessing.size {size.to_json()}: alpha is one of {widths}, size one of {sizes}"
        )
    name = weights.file(width, size.height)
    url = f"{(section.mirror or BASE).rstrip('/')}/{weights.folder}/{name}"
    sha256 = section.sha256 or weights.sha256.get(name)
    md5 = None if sha256 else weights.md5.get(name)
    if sha256 is None and md5 is None:
        raise UserError(
            f"pretrained.sha256: is missing: qatflow does not know the checksum of {url}; download the file and "
            "set its sha256, or use source 'file' with pretrained.path"
        )
    return NamedFile(downloads / name, url, sha256, md5)


def official_width(config: Config) -> float:
    """Return the width multiplier of the network as in `OFFICIAL`: 1 for a network that has no width multiplier."""
    return 1.0 if config.model.network in ONE_WIDTH else config.model.width
