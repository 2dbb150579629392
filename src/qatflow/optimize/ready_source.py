"""Where a model comes from that is quantised already."""

from dataclasses import dataclass
from pathlib import Path

from qatflow.config.named_files import file_name
from qatflow.config.sections.config import Config


@dataclass(frozen=True)
class ReadyFile:
    """A quantised .tflite file, or an exported folder of ours.

    Attributes:
        path: where it is, or is downloaded to.
        url: where it is downloaded from; None for what is here.
        sha256: what the file must be; None: not checked.
    """

    path: Path
    url: str | None
    sha256: str | None


def ready_file(config: Config, downloads: Path) -> ReadyFile | None:
    """Return the model that the checked configuration names; None where there is none.

    Args:
        config: the configuration.
        downloads: folder that downloads are kept in.
    """
    section = config.quantized_model
    if section.url is not None:
        return ReadyFile(downloads / file_name(section.url), section.url, section.sha256)
    return ReadyFile(Path(section.file), None, section.sha256) if section.file is not None else None
