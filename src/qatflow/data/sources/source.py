"""What a data source is: the one interface that `qatflow.data.preparation` knows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from qatflow.data.picture import Encoded
from qatflow.data.sources.listing import Listing, Rejected


class PictureSource(Protocol):
    """Pictures with labels, or other inputs in their place: listed at once, read one by one."""

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
    def pictures(self) -> Listing:
        """All pictures, in a stable order."""

    @property
    def array_shape(self) -> tuple[int, ...] | None:
        """Shape of each input, if the inputs are not pictures but arrays of float32 values; None for pictures."""

    @property
    def rejected(self) -> Sequence[Rejected]:
        """What cannot be used, as seen while listing; not among `pictures`."""

    @property
    def warnings(self) -> Sequence[str]:
        """What the user should look at, one sentence each; it may be intended."""

    def encoded(self, index: int) -> Encoded:
        """Return `pictures[index]` in its stored form; raises `picture.RejectedError` with the reason."""

    def version(self, index: int) -> tuple[int, ...]:
        """Return numbers that change when `pictures[index]` may have changed; empty where `inputs` show it."""
