"""Where the float weights come from: a file here, Keras' official ones, or training."""

from dataclasses import dataclass
from pathlib import Path

from qatflow.config.model import Config
from qatflow.errors import UserError

BASE = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet"
ALPHAS = {1.0: "1_0", 0.75: "7_5", 0.5: "5_0", 0.25: "2_5"}
SIZES = (128, 160, 192, 224)
# Keras publishes no checksums for these files; this one was computed from a copy that reproduces the published top-1.
KNOWN_SHA256 = {"mobilenet_7_5_224_tf.h5": "910dde22dc87cf3519474f01117284d5217e1885b73fcf8e87c8a5614a06a312"}


@dataclass(frozen=True)
class WeightsFile:
    """An .h5 file of float weights.

    Attributes:
        path: where it is, or is downloaded to.
        url: where it is downloaded from; None for a file that is here.
        sha256: what it must be; None: not checked.
    """

    path: Path
    url: str | None
    sha256: str | None


def weights_file(config: Config, downloads: Path) -> WeightsFile | None:
    """Return the .h5 file that the configuration names; None where the weights are trained.

    Args:
        config: the checked configuration.
        downloads: folder that downloads are kept in.

    Raises:
        UserError: keras-applications has no weights of that width and size, or their checksum is not known.
    """
    section = config.pretrained
    if section.source == "train":
        return None
    if section.source == "file":
        assert section.path is not None
        return WeightsFile(Path(section.path), None, section.sha256)
    alpha, size = config.model.alpha, config.data.preprocessing.size
    if alpha not in ALPHAS or size not in SIZES:
        raise UserError(
            f"pretrained.source: keras-applications has no MobileNetV1 weights for model.alpha {alpha} and "
            f"data.preprocessing.size {size}: alpha is one of {sorted(ALPHAS)}, size one of {list(SIZES)}"
        )
    name = f"mobilenet_{ALPHAS[alpha]}_{size}_tf.h5"
    checksum = section.sha256 or KNOWN_SHA256.get(name)
    if checksum is None:
        raise UserError(
            f"pretrained.sha256: is missing: the checksum of {BASE}/{name} is not known to qatflow; download the file, "
            "give its sha256, or use source 'file' with pretrained.path"
        )
    return WeightsFile(downloads / name, f"{BASE}/{name}", checksum)
