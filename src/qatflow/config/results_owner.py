"""Which configuration files an experiment's results were made with, so that two of them do not share a folder."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.files import read_json, write_json
from qatflow.config.load import Experiment, load_experiments
from qatflow.config.sections.base import resolved
from qatflow.config.sections.config import Config
from qatflow.config.written import as_written, compress_yaml, config_yaml

RECORD = ".configfiles.json"


@dataclass(frozen=True)
class Origin:
    """What a run has its configuration from, behind the files that every run reads first.

    Attributes:
        files: the configuration files in their order, seen from the working folder.
        outer: the Snakefile of the workflow that uses this one as a module and gives it its settings, seen from there.
    """

    files: tuple[str, ...]
    outer: str | None = None

    @classmethod
    def of(cls, files: Sequence[Path], outer: Path | None = None) -> "Origin":
        """Return the origin of a run that is started in the working folder."""
        return cls(tuple(map(os.path.relpath, files)), None if outer is None else os.path.relpath(outer))

    @property
    def named(self) -> tuple[str, ...]:
        """What a message names, the last first to be changed."""
        return (*([self.outer] if self.outer else []), *self.files)

    def without(self, name: str) -> "Origin":
        """Return the origin without a file."""
        return Origin(tuple(file for file in self.files if file != name), self.outer)

    def is_part_of(self, other: "Origin") -> bool:
        """Say whether the other has all of these files, and perhaps more."""
        return set(self.named) <= set(other.named)


def check_owner(experiment: Experiment, origin: Origin, default: Sequence[Path]) -> None:
    """Refuse to make an experiment's results anew with other files while those that made them still name it.

    Files given on top of the recorded ones, or left out of them, are the same experiment with other settings. Files
    that come to the configuration that the results have are no other experiment.

    Args:
        experiment: its settings in this run.
        origin: what this run has its configuration from, behind `default`.
        default: the files that every run reads first.

    Raises:
        UserError: two sets of files, neither within the other, name the same experiment with different settings.
    """
    config = experiment.config
    folder = Path("results", config.experiment)
    made_with, given = _recorded(folder), origin.without(str(folder / "config.yaml"))
    if made_with.is_part_of(given) or given.is_part_of(made_with) or _has(folder, experiment):
        return
    if _still_names(made_with, config.experiment, default):
        mine, other = given.named[-1], made_with.named[-1]
        raise UserError(
            f"{mine}: experiment: {config.experiment!r} is also that of {other}, whose results are in {folder}/ and "
            f"would be replaced; give one of the two files another `experiment`, or remove {folder}/"
        )


def record_owner(config: Config, origin: Origin) -> None:
    """Note with which files, behind the default, the results are made from now on."""
    folder = Path("results", config.experiment)
    given = origin.without(str(folder / "config.yaml"))  # the results' own configuration is nobody else's
    if given.named and _recorded(folder) != given:
        files = list(given.files)
        write_json(folder / RECORD, {"module_of": given.outer, "files": files} if given.outer else files)


def _recorded(folder: Path) -> Origin:
    try:
        found = read_json(folder / RECORD)
    except (OSError, ValueError):
        return Origin(())
    files, outer = (found.get("files"), found.get("module_of")) if isinstance(found, dict) else (found, None)
    names = [name for name in files if isinstance(name, str)] if isinstance(files, list) else []
    return Origin(tuple(names), outer if isinstance(outer, str) else None)


def _still_names(made_with: Origin, experiment: str, default: Sequence[Path]) -> bool:
    """Say whether what made the results still names them; of an outer workflow's code, whether it is still there."""
    if made_with.outer:
        return all(Path(name).exists() for name in made_with.named)
    try:
        return experiment in load_experiments([*default, *map(Path, made_with.files)])
    except UserError:
        return False


def _has(folder: Path, experiment: Experiment) -> bool:
    """Return whether the results there have these settings."""
    config, compress = as_written(experiment.config), resolved(experiment.compress)
    texts = {"config.yaml": config_yaml(config), "compress.yaml": compress_yaml(compress)}
    try:
        return all((folder / name).read_text(encoding="utf-8") == text for name, text in texts.items())
    except (OSError, ValueError):
        return False
