"""Which configuration files an experiment's results were made with, so that two of them do not share a folder."""

import os
from collections.abc import Sequence
from pathlib import Path

from qatflow.config.load import Experiment, load_experiments
from qatflow.config.model import Config
from qatflow.config.resolved import resolved
from qatflow.config.written import as_written, compress_yaml, config_yaml
from qatflow.errors import UserError
from qatflow.files import read_json, write_json

RECORD = ".configfiles.json"


def check_owner(experiment: Experiment, files: Sequence[Path], default: Sequence[Path]) -> None:
    """Refuse to make an experiment's results anew with other files while those that made them still name it.

    Files given on top of the recorded ones, or left out of them, are the same experiment with other settings. Files
    that come to the configuration that the results have are no other experiment.

    Args:
        experiment: its settings in this run.
        files: the configuration files of this run behind `default`, in their order.
        default: the files that every run reads first.

    Raises:
        UserError: two sets of files, neither within the other, name the same experiment with different settings.
    """
    config = experiment.config
    folder = Path("results", config.experiment)
    made_with, given = _recorded(folder), _names(files, folder)
    if set(made_with) <= set(given) or set(given) <= set(made_with) or _has(folder, experiment):
        return
    try:
        others = load_experiments([*default, *map(Path, made_with)])
    except UserError:
        return
    if config.experiment in others:
        raise UserError(
            f"{given[-1]}: experiment: {config.experiment!r} is also that of {made_with[-1]}, whose results are in "
            f"{folder}/ and would be replaced; give one of the two files another `experiment`, or remove {folder}/"
        )


def record_owner(config: Config, files: Sequence[Path]) -> None:
    """Note with which files, behind the default, the results are made from now on."""
    folder = Path("results", config.experiment)
    names = _names(files, folder)
    if names and _recorded(folder) != names:
        write_json(folder / RECORD, names)


def _names(files: Sequence[Path], folder: Path) -> list[str]:
    """Return the files, seen from here, without the results' own configuration, which is nobody else's."""
    return [name for name in map(os.path.relpath, files) if name != str(folder / "config.yaml")]


def _recorded(folder: Path) -> list[str]:
    try:
        names = read_json(folder / RECORD)
    except (OSError, ValueError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _has(folder: Path, experiment: Experiment) -> bool:
    """Return whether the results there have these settings."""
    config, compress = as_written(experiment.config), resolved(experiment.compress)
    texts = {"config.yaml": config_yaml(config), "compress.yaml": compress_yaml(compress)}
    try:
        return all((folder / name).read_text(encoding="utf-8") == text for name, text in texts.items())
    except (OSError, ValueError):
        return False
