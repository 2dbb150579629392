"""`idx`: the four files of MNIST and similar data sets (Fashion-MNIST, KMNIST, ...), as .gz or unpacked."""

import gzip
import hashlib
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qatflow.base.errors import UserError
from qatflow.base.fetch import fetch
from qatflow.data.picture import Encoded, encode
from qatflow.data.sources.listing import Listing, Rejected
from qatflow.data.sources.source_files import Split

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FASHION_MNIST_URLS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)
# Of the published files; Debian packs the same contents, but without name and time in the gzip header.
FASHION_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
FASHION_MNIST_LABELS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
# SHA-256 of the 60,000 unpacked training labels: distinguishes Fashion-MNIST from others with the same file names.
FASHION_MNIST_TRAIN_LABELS = "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
PARTS: tuple[tuple[Split, str], ...] = (("train", "train"), ("test", "t10k"))
IMAGES, LABELS = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"


@dataclass(frozen=True)
class IdxFile:
    """An unpacked idx file: uint8 of any shape."""

    path: Path
    values: np.ndarray


class IdxSource:
    """MNIST-style files: train-{images-idx3,labels-idx1}-ubyte[.gz] and the same with t10k, which is the test set.

    Fashion-MNIST is recognised by its labels, and its classes have names. For others a labels.txt in the folder (one
    name per line) names the classes; otherwise their numbers do.

    Raises:
        UserError: a file is missing, truncated, or not what its name says.
    """

    array_shape: tuple[int, ...] | None = None
    rejected: Sequence[Rejected] = ()
    warnings: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        self.pictures = Listing()
        self._pixels: list[np.ndarray] = []  # of each part
        files = [read_idx(path) for path in _find(folder)]
        for (split, prefix), images, labels in zip(PARTS, files[::2], files[1::2], strict=True):
            if images.values.ndim != 3 or labels.values.shape != images.values.shape[:1]:
                raise UserError(
                    f"{images.path} has shape {images.values.shape} and {labels.path} {labels.values.shape}: expected "
                    "[pictures, height, width] and as many labels; fetch the files again"
                )
            for i, label in enumerate(labels.values):
                self.pictures.add(f"{prefix}/{i:05d}".encode(), int(label), split)
            self._pixels.append(images.values)
        self.inputs = tuple(file.path for file in files)
        self.labels, self.licence, self.origin = self._describe(folder, files[1].values)

    def encoded(self, index: int) -> Encoded:
        """Return one picture as a PNG."""
        train, test = self._pixels
        return encode(train[index] if index < len(train) else test[index - len(train)])

    def version(self, index: int) -> tuple[int, ...]:
        """Return nothing: the pictures are in `inputs`."""
        return ()

    def _describe(self, folder: Path, train_labels: np.ndarray) -> tuple[tuple[str, ...], str, str]:
        header = struct.pack(">II", 0x0801, len(train_labels))
        if hashlib.sha256(header + train_labels.tobytes()).hexdigest() == FASHION_MNIST_TRAIN_LABELS:
            return FASHION_MNIST_LABELS, "MIT (© 2017 Zalando SE)", "Fashion-MNIST, github.com/zalandoresearch"
        names = folder / "labels.txt"
        classes = int(self.pictures.labels.max(initial=0)) + 1
        labels = tuple(names.read_text("utf-8").split("\n")) if names.exists() else tuple(map(str, range(classes)))
        labels = labels[:-1] if not labels[-1] else labels
        if len(labels) < classes:
            raise UserError(f"{names} names {len(labels)} classes, but the labels go up to {classes - 1}: add the rest")
        return labels, "not stated", f"idx files of the folder {folder.name}"


def open_idx(path: Path | None, downloads: Path) -> IdxSource:
    """Open the files in `path`; if None, Fashion-MNIST from Debian's folder, or else downloaded into `downloads`."""
    if path is not None:
        return IdxSource(path)
    if DEBIAN_FOLDER.is_dir():
        return IdxSource(DEBIAN_FOLDER)
    for name, sum_ in FASHION_MNIST_SHA256.items():
        fetch(
            [base + name for base in FASHION_MNIST_URLS],
            sum_,
            downloads / name,
            instead="install Debian's package dataset-fashion-mnist, or set data.path to a folder that holds the four "
            f"Fashion-MNIST files ({', '.join(FASHION_MNIST_SHA256)})",
        )
    return IdxSource(downloads)


def read_idx(path: Path) -> IdxFile:
    """Read an idx file of unsigned bytes, gzipped or not (format: yann.lecun.com/exdb/mnist)."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}): fetch the file again") from error
    dimensions = content[3] if len(content) >= 4 else 0
    start = 4 + 4 * dimensions
    if content[:3] != b"\0\0\x08" or len(content) < start:
        raise UserError(f"{path} is not an idx file of unsigned bytes: its first bytes are {content[:4]!r}")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise UserError(
            f"{path}: the header announces {math.prod(shape)} values but {len(content) - start} follow: "
            "fetch the file again"
        )
    return IdxFile(path, np.frombuffer(content, np.uint8, offset=start).reshape(shape))


def _find(folder: Path) -> list[Path]:
    """Return the files of images and labels of training, then of test, gzipped or not."""
    paths, missing = [], []
    for _, prefix in PARTS:
        for name in (IMAGES.format(prefix), LABELS.format(prefix)):
            path = next((p for p in (folder / f"{name}.gz", folder / name) if p.is_file()), None)
            paths += [path] if path else []
            missing += [] if path else [name]
    if missing:
        raise UserError(
            f"data.path: {folder} {'lacks' if folder.is_dir() else 'is not a folder; expected in it:'} "
            f"{', '.join(missing)} (each as it is or with .gz): put them there, or leave data.path out for "
            "Fashion-MNIST"
        )
    return paths
