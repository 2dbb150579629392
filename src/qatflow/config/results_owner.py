"""Records the configuration files behind an experiment's results, so that two experiments do not share a folder."""

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
    """The files that a run takes its configuration from, besides those that every run reads first.

    Attributes:
        files: the configuration files in their order, relative to the working folder.
        outer: the Snakefile of a workflow that uses this one as a module and passes its settings, relative to it too.
    """

    files: tuple[str, ...]
    outer: str | None = None

    @classmethod
    def of(cls, files: Sequence[Path], outer: Path | None = None) -> "Origin":
        """Return the origin of a run that is started in the working folder."""
        return cls(tuple(map(os.path.relpath, files)), None if outer is None else os.path.relpath(outer))

    @property
    def named(self) -> tuple[str, ...]:
        """The files that a message may name; the last one is the first to change."""
        return (*([self.outer] if self.outer else []), *self.files)

    def without(self, name: str) -> "Origin":
        """Return the origin without the file `name`."""
        return Origin(tuple(file for file in self.files if file != name), self.outer)

    def is_part_of(self, other: "Origin") -> bool:
        """Return whether `other` has all of these files, and perhaps more."""
        return set(self.named) <= set(other.named)


def check_owner(experiment: Experiment, origin: Origin, default: Sequence[Path]) -> None:
    """Refuse to replace an experiment's results from other files while the files that made them still name it.

    More files than the recorded ones, or fewer of them, are the same experiment with other settings. So are files
    that give the same configuration as the results have.

    Args:
        experiment: its settings in this run.
        origin: the files that this run takes its configuration from, besides `default`.
        default: the files that every run reads first.

    Raises:
        UserError: two sets of files, neither part of the other, name the same experiment with different settings.
    """
    config = experiment.config
    folder = Path("results", config.experiment)
    recorded, current = _recorded(folder), origin.without(str(folder / "config.yaml"))
    if recorded.is_part_of(current) or current.is_part_of(recorded) or _has_settings(folder, experiment):
        return
    if _still_names(recorded, config.experiment, default):
        mine, other = current.named[-1], recorded.named[-1]
        raise UserError(
            f"{mine}: experiment: {config.experiment!r} is also that of {other}, whose results are in {folder}/ and "
            f"would be replaced; give one of the two files another `experiment`, or remove {folder}/"
        )


def record_owner(config: Config, origin: Origin) -> None:
    """Record the files that the results are made from, from now on."""
    folder = Path("results", config.experiment)
    current = origin.without(str(folder / "config.yaml"))  # the results' own configuration is no other experiment
    if current.named and _recorded(folder) != current:
        files = list(current.files)
        write_json(folder / RECORD, {"module_of": current.outer, "files": files} if current.outer else files)


def _recorded(folder: Path) -> Origin:
    try:
        record = read_json(folder / RECORD)
    except (OSError, ValueError):
        return Origin(())
    files, outer = (record.get("files"), record.get("module_of")) if isinstance(record, dict) else (record, None)
    names = [name for name in files if isinstance(name, str)] if isinstance(files, list) else []
    return Origin(tuple(names), outer if isinstance(outer, str) else None)


def _still_names(recorded: Origin, experiment: str, default: Sequence[Path]) -> bool:
    """Return whether the recorded files still name the experiment; for an outer workflow, whether they still exist."""
    if recorded.outer:
        return all(Path(name).exists() for name in recorded.named)
    try:
        return experiment in load_experiments([*default, *map(Path, recorded.files)])
    except UserError:
        return False


def _has_settings(folder: Path, experiment: Experiment) -> bool:
    """Return whether the results in `folder` have the settings of `experiment`."""
    config, compress = as_written(experiment.config), resolved(experiment.compress)
    texts = {"config.yaml": config_yaml(config), "compress.yaml": compress_yaml(compress)}
    try:
        return all((folder / name).read_text(encoding="utf-8") == text for name, text in texts.items())
    except (OSError, ValueError):
        return False
