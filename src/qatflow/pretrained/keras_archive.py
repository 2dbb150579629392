"""A .keras file: a zip archive of the model's description (JSON), its weights (HDF5), and the version that wrote it."""

import contextlib
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qatflow.errors import UserError
from qatflow.pretrained.h5_file import ACCEPTED, Kind, Saved, open_h5

PARTS = ("metadata.json", "config.json", "model.weights.h5")
CONVERT = (
    "load it in Keras 3, write model.save_weights('x.weights.h5'), and give that as pretrained.path, with the network "
    "as model.architecture or as a model.function that builds it with tf-keras"
)


def description(path: Path) -> dict[str, Any]:
    """Return the model's description.

    Raises:
        UserError: the file is damaged, or of Keras 3.
    """
    found: dict[str, Any] = json.loads(_parts(path, PARTS[:2])[1])
    return found


@contextlib.contextmanager
def open_archive(path: Path, kinds: Sequence[Kind]) -> Iterator[Saved]:
    """Open the weights in a .keras file; see `h5_file.open_h5`."""
    content = io.BytesIO(_parts(path, PARTS)[2])
    with open_h5(path, kinds, content) as saved:
        yield saved


def refuse_keras_3(path: Path, version: str) -> None:
    """Raise for a file that Keras 3 wrote."""
    if version.startswith("3."):
        raise UserError(f"{path} is a model of Keras {version}, and Keras 2 (tf-keras) is needed: {CONVERT}")


def _parts(path: Path, names: Sequence[str]) -> list[bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            if not set(PARTS) <= set(archive.namelist()):
                raise UserError(f"{path} is a zip archive, and no .keras file: {ACCEPTED}")
            # of what a zip file tells, the sizes of stored entries are true: a packed one could grow without bound
            if any(archive.getinfo(name).compress_type != zipfile.ZIP_STORED for name in names):
                raise UserError(f"{path} is a packed zip archive, which Keras does not write: {ACCEPTED}")
            contents = [archive.read(name) for name in names]
        refuse_keras_3(path, str(json.loads(contents[0]).get("keras_version")))
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}): fetch or save it anew") from error
    return contents
