"""Rejected pictures: the list with reasons, and the error if there are too many."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.files import write_text
from qatflow.data.sources.listing import Rejected

SHOWN = 20


def table(rejected: Iterable[Rejected]) -> str:
    """Return rejected.csv: a header, then key and reason of each."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("key", "reason"), *((r.key, r.reason) for r in rejected)])
    return text.getvalue()


def kept_list(output: Path) -> Path:
    """Return where the list is kept if the folder `output` is not written."""
    return output.with_name(f"{output.name}.rejected.csv")


def check_share(rejected: Sequence[Rejected], total: int, allowed: float, output: Path) -> None:
    """Keep the list and raise UserError if more than the share `allowed` (0…1) of `total` pictures is rejected."""
    if len(rejected) <= allowed * total:
        return
    shown = "".join(f"\n  {r.key}: {r.reason}" for r in rejected[:SHOWN])
    raise UserError(
        f"{len(rejected)} of {total} pictures cannot be used, more than data.max_rejected = {allowed:g} allows: "
        "repair or remove them, or raise data.max_rejected. "
        f"All are listed in {_keep(rejected, output)}; the first {min(SHOWN, len(rejected))}:{shown}"
    )


def check_left(
    counts: Mapping[str, Sequence[int]], wanted: Sequence[str], rejected: Sequence[Rejected], output: Path
) -> None:
    """Keep the list and raise UserError if all pictures of a split, or of a training class, are rejected.

    Args:
        counts: number of pictures left, by split and class.
        wanted: the name of each class, or "" if the source has no training picture of it.
        rejected: the rejected pictures.
        output: the folder that is being made.
    """
    lost = [f"every picture for {split} was rejected" for split, left in counts.items() if not sum(left)]
    lost += [
        f"every training picture of class {name!r} was rejected"
        for name, left in zip(wanted, counts["train"], strict=True)
        if name and not left
    ]
    if lost:
        more = f"; and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
        raise UserError(
            f"data: {'; '.join(lost[:SHOWN])}{more}: repair them, or remove the class; the reasons are in "
            f"{_keep(rejected, output)}"
        )


def _keep(rejected: Sequence[Rejected], output: Path) -> Path:
    path = kept_list(output)
    write_text(path, table(rejected))
    return path
