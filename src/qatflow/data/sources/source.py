"""What a data source is: the one interface that `qatflow.data.prepare` knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from qatflow.data.picture import Encoded
from qatflow.data.source_files import Split

if TYPE_CHECKING:
    from qatflow.data.sources.listing import Listing


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a source, not read yet.

    Attributes:
        key: names it within the source; stable from run to run and from machine to machine.
        label: index into the source's labels.
        split: the source's own split; a source without any says `train`.
    """

    key: str
    label: int
    split: Split


@dataclass(frozen=True, slots=True)
class Rejected:
    """A picture that is left out, and why; a line of rejected.csv."""

    key: str
    reason: str


class Source(Protocol):
    """Pictures with labels; listed at once, read one by one."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class, in the order of the label numbers."""

    @property
    def origin(self) -> str:
        """Where the pictures come from, in words."""

    @property
    def licence(self) -> str:
        """Under what terms, as far as known."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The few files that hold the pictures, for provenance; empty for a tree of many."""

    @property
    def pictures(self) -> "Listing":
        """All pictures, in a stable order."""

    @property
    def rejected(self) -> Sequence[Rejected]:
        """What was found to be unusable while listing; not among `pictures`."""

    @property
    def warnings(self) -> Sequence[str]:
        """What the user should look at, a sentence each: it may be meant."""

    def encoded(self, index: int) -> Encoded:
        """Return `pictures[index]` in its stored form; raises `picture.RejectedError` with the reason."""

    def version(self, index: int) -> tuple[int, ...]:
        """Return numbers that change when `pictures[index]` may have; none where `inputs` tell."""
