"""Writes TFRecord shards, each complete or not at all; a finished shard of a killed run is reused if it still fits.

A small file, the note, is kept for each finished shard: it says what the shard contains and what it was made from.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from qatflow.base.files import read_json, sha256, whole_file, write_json
from qatflow.data import example, tfrecord
from qatflow.data.manifest import Shard
from qatflow.data.picture import CHECK_BYTES, DIGEST_BYTES, Encoded, RejectedError
from qatflow.data.preprocess import Preprocessing, misfit
from qatflow.data.sources.listing import Rejected
from qatflow.data.sources.source import PictureSource

COUNT_EVERY = 16  # pictures


@dataclass(frozen=True)
class ShardTask:
    """A shard to write.

    Attributes:
        file: its name.
        picked: its pictures, int64 positions in the source.
        found_later: whether a split that is written later needs the pictures' digests.
    """

    file: str
    picked: np.ndarray
    found_later: bool


@dataclass(frozen=True)
class WrittenShard:
    """A finished shard.

    Attributes:
        shard: the file.
        kept: positions of its records in the source, int64 [n], in order.
        digests: of their pixels, S16 [n]; empty if no split needs them.
        rejected: the rejected pictures.
        converted: number of pictures whose original bytes could not be kept.
    """

    shard: Shard
    kept: np.ndarray
    digests: np.ndarray
    rejected: tuple[Rejected, ...]
    converted: int


class EarlierSplits:
    """Finds a picture among those of the splits written earlier; takes 28 bytes per picture."""

    def __init__(self, before: Sequence[tuple[str, WrittenShard]], key: Callable[[int], str]) -> None:
        """Index the shards of earlier splits.

        Args:
            before: name of the split and shard, in the order of writing.
            key: function from a position in the source to the picture's key.
        """
        digests = np.concatenate([np.empty(0, f"S{DIGEST_BYTES}"), *(w.digests for _, w in before)])
        places = np.concatenate([np.empty(0, np.int64), *(w.kept for _, w in before)])
        order = np.argsort(digests, kind="stable")
        self._digests, self._places = digests[order], places[order]
        raw = np.frombuffer(self._digests.tobytes(), np.uint8).reshape(-1, DIGEST_BYTES)
        self._checks = np.ascontiguousarray(raw[:, :CHECK_BYTES]).view(">u4").ravel().astype(np.uint32)  # in order, too
        self._splits = sorted({split for split, _ in before})
        numbers = [np.full(len(w.kept), self._splits.index(split), np.int8) for split, w in before]
        self._numbers = np.concatenate([np.empty(0, np.int8), *numbers])[order]
        self._key = key
        self.digest = hashlib.sha256(self._digests.tobytes() + self._places.tobytes()).digest()

    def find(self, picture: Encoded) -> str | None:
        """Return split and key of the same picture, or None."""
        check = np.uint32(picture.check())
        first = int(np.searchsorted(self._checks, check))
        if first == len(self._checks) or self._checks[first] != check:
            return None
        wanted = np.bytes_(picture.digest().rstrip(b"\0"))  # NumPy drops trailing zeros from what it stores
        place = int(np.searchsorted(self._digests, wanted, side="right")) - 1
        if place < 0 or self._digests[place] != wanted:
            return None
        return f"{self._splits[self._numbers[place]]}: {self._key(int(self._places[place]))}"


@dataclass(frozen=True)
class ShardMaker:
    """Writes the shards of one split; a shard depends only on its task and on these attributes.

    Attributes:
        source: of the pictures.
        preprocessing: each picture must fit it.
        convert: whether pictures whose original bytes cannot be kept are converted, or rejected.
        elsewhere: the pictures of the splits written earlier.
        folder: of the shards.
        notes: folder of their notes.
    """

    source: PictureSource
    preprocessing: Preprocessing
    convert: bool
    elsewhere: EarlierSplits
    folder: Path
    notes: Path

    def make(self, task: ShardTask, count: Callable[[int], None]) -> WrittenShard:
        """Return the shard if it is already finished, or write it; calls `count` with the number of pictures done."""
        made_of = self._made_of(task.picked)
        note = self.notes / f"{task.file}.json"
        if (finished := _finished(note, self.folder / task.file, made_of)) is not None:
            count(len(task.picked))
            return finished
        note.unlink(missing_ok=True)
        with whole_file(self.folder / task.file) as path:
            written = self._write(task, path, count)
        value = {
            "made_of": made_of,
            "shard": asdict(written.shard),
            "kept": written.kept.tolist(),
            "digests": written.digests.tobytes().hex(),
            "rejected": [[r.key, r.reason] for r in written.rejected],
            "converted": written.converted,
        }
        write_json(note, value)
        return written

    def _made_of(self, picked: np.ndarray) -> str:
        """Return the SHA-256 over all that determines a shard, except settings and code: the folder implies them."""
        total = hashlib.sha256(picked.tobytes() + self.elsewhere.digest)
        for place in picked:
            total.update(repr(self.source.version(int(place))).encode())
        return total.hexdigest()

    def _write(self, task: ShardTask, path: Path, count: Callable[[int], None]) -> WrittenShard:
        feature = example.ENCODED if self.source.array_shape is None else example.VALUES
        kept: list[int] = []
        digests = bytearray()
        rejected: list[Rejected] = []
        converted = 0
        with path.open("wb") as file:
            for done, place in enumerate(map(int, task.picked), start=1):
                picture = self.source.pictures[place]
                try:
                    encoded = self._usable(place)
                except RejectedError as error:
                    rejected.append(Rejected(picture.key, str(error)))
                else:
                    record = example.Record(encoded.content, picture.label, picture.key, feature)
                    tfrecord.write(file, example.serialise(record))
                    kept.append(place)
                    digests += encoded.digest() if task.found_later else b""
                    converted += encoded.converted
                if done % COUNT_EVERY == 0:
                    count(COUNT_EVERY)
        count(len(task.picked) % COUNT_EVERY)
        shard = Shard(task.file, sha256(path), path.stat().st_size, len(kept))
        return WrittenShard(shard, np.array(kept, np.int64), _digests(digests), tuple(rejected), converted)

    def _usable(self, place: int) -> Encoded:
        encoded = self.source.encoded(place)
        if encoded.converted and not self.convert:
            raise RejectedError(
                "its own bytes cannot be kept (no JPEG or PNG of 8 bits, grey or RGB, upright), and data.convert is "
                "false"
            )
        if (reason := misfit(self.preprocessing, encoded.height, encoded.width)) is not None:
            raise RejectedError(reason)
        if (other := self.elsewhere.find(encoded)) is not None:
            what = "picture" if self.source.array_shape is None else "array"
            raise RejectedError(f"the same {what} is among those of {other}")
        return encoded


def _finished(note: Path, path: Path, made_of: str) -> WrittenShard | None:
    """Return a finished shard if its bytes match its note and it was made from the same inputs; else None."""
    try:
        value = read_json(note)
        shard = Shard(**value["shard"])
        written = WrittenShard(
            shard,
            np.array(value["kept"], np.int64),
            _digests(bytes.fromhex(value["digests"])),
            tuple(Rejected(key, reason) for key, reason in value["rejected"]),
            value["converted"],
        )
        whole = path.stat().st_size == shard.bytes and len(written.kept) == shard.count
        same = value["made_of"] == made_of and whole and sha256(path) == shard.sha256
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        return None
    return written if same else None


def _digests(content: bytes | bytearray) -> np.ndarray:
    return np.frombuffer(bytes(content), f"S{DIGEST_BYTES}")
