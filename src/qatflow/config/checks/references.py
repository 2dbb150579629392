"""What strategies refer to: names of other sections, and epochs of the training."""

from collections.abc import Collection, Iterable, Iterator

from qatflow.config.yaml.keys import Keys
from qatflow.config.yaml.problems import Problem, nearest


def check_defined(keys: Keys, name: str, section: str, defined: Collection[str]) -> Iterator[Problem]:
    """Yield a problem if nothing is defined under a name.

    Args:
        keys: where the name is used.
        name: the name.
        section: the section that defines such names.
        defined: the names in it.
    """
    if name not in defined:
        yield Problem(
            (keys, (section,)),
            f"'{name}' is not defined under {section}; defined: {', '.join(defined) or 'none'}{nearest(name, defined)}",
        )


def check_used(
    section: str, defined: Iterable[str], used: Collection[str], reason: str, *users: Keys
) -> Iterator[Problem]:
    """Yield a problem for each name that is defined and that nothing uses.

    Args:
        section: the section that defines the names.
        defined: the names in it.
        used: the names that something uses.
        reason: what does not use it.
        users: keys whose values are the used names, if these are few.
    """
    for name in defined:
        if name not in used:
            yield Problem(((section, name), *users), f"is defined but {reason}")


def check_reached(keys: Keys, epoch: int, epochs: int, consequence: str = "") -> Iterator[Problem]:
    """Yield a problem if training ends before an epoch.

    Args:
        keys: where the epoch is written.
        epoch: the epoch, counted from 0.
        epochs: compressor.epoch, the number of epochs.
        consequence: what would not happen then.
    """
    if epoch >= epochs:
        yield Problem(
            (keys, ("compressor", "epoch")),
            f"epoch {epoch} is never reached{f' and {consequence}' if consequence else ''}: epochs count from 0 and "
            f"compressor.epoch is {epochs}, so the last is {epochs - 1}",
        )
