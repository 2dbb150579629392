"""Where the float weights come from: a file here, Keras' official ones, an address, or training."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from qatflow.base.errors import UserError
from qatflow.config.sections.config import Config
from qatflow.models.official import BASE, OFFICIAL

DOWNLOADED = (".h5", ".keras")


@dataclass(frozen=True)
class WeightsFile:
    """Float weights in a file, or in a SavedModel folder.

    Attributes:
        path: where it is, or is downloaded to.
        url: where it is downloaded from; None for a file that is here.
        sha256: what it must be; None: not checked.
        md5: the same; where both are given, sha256 is what counts.
    """

    path: Path
    url: str | None
    sha256: str | None
    md5: str | None = None


def weights_file(config: Config, downloads: Path) -> WeightsFile | None:
    """Return the weights that the configuration names; None where they are trained, or the model's own.

    Args:
        config: the checked configuration.
        downloads: folder that downloads are kept in.

    Raises:
        UserError: keras-applications has no weights of that width and size, or a checksum is missing.
    """
    section = config.pretrained
    if section.source == "file":
        assert section.path is not None
        return WeightsFile(Path(section.path), None, section.sha256)
    if section.source == "url":
        assert section.url is not None
        if section.sha256 is None:
            raise UserError("pretrained.sha256: is missing: what is downloaded must be known beforehand")
        return WeightsFile(downloads / file_name(section.url), section.url, section.sha256)
    if section.source == "keras-applications":
        return _official(config, downloads)
    return None


def file_name(url: str) -> str:
    """Return the name that an address gives its file."""
    return PurePosixPath(unquote(urlsplit(url).path)).name


def _official(config: Config, downloads: Path) -> WeightsFile:
    section, size = config.pretrained, config.data.preprocessing.size
    network = config.model.network
    known = OFFICIAL.get(network or "")
    if known is None:
        raise UserError("pretrained.source: keras-applications has no weights for a model of one's own")
    width = official_width(config)
    if width not in known.widths or size not in known.sizes:
        raise UserError(
            f"pretrained.source: keras-applications has no {network} weights for model.alpha {width} and "
            f"data.preprocessing.size {size}: alpha is one of {', '.join(map(str, sorted(known.widths)))}, size one of "
            f"{', '.join(map(str, known.sizes))}"
        )
    name = known.file(width, size)
    url = f"{(section.mirror or BASE).rstrip('/')}/{known.folder}/{name}"
    sha256 = section.sha256 or known.sha256.get(name)
    md5 = None if sha256 else known.md5.get(name)
    if sha256 is None and md5 is None:
        raise UserError(
            f"pretrained.sha256: is missing: the checksum of {url} is not known to qatflow; download the file, "
            "give its sha256, or use source 'file' with pretrained.path"
        )
    return WeightsFile(downloads / name, url, sha256, md5)


def official_width(config: Config) -> float:
    """Return the width multiplier of the network, as `OFFICIAL` counts it: 1 where there is one width only."""
    return 1.0 if config.model.network == "ResNet50" else config.model.width
