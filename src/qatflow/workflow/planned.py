"""The settings that a run was planned with. A cluster's job reads the configuration again: it must be the same."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.files import write_text
from qatflow.config.load import Experiment
from qatflow.config.sections.base import resolved

FOLDER = Path(".snakemake/planned")
"""One file per experiment. Where a job does not share the folder, it runs on a copy made when the run was planned."""


def record_planned(experiments: Mapping[str, Experiment]) -> None:
    """Write the digest of each experiment's settings, for the jobs of this run."""
    for name, experiment in experiments.items():
        write_text(FOLDER / name, _digest(experiment))


def check_planned(experiments: Mapping[str, Experiment]) -> None:
    """Compare the settings that a job reads with those that its run was planned with.

    Raises:
        UserError: an experiment has other settings now; its job would make what nothing records.
    """
    for name, experiment in experiments.items():
        file = FOLDER / name
        if file.is_file() and file.read_text(encoding="utf-8") != _digest(experiment):
            raise UserError(
                f"the settings of {name} were edited after this run was planned, in {experiment.config.compress.config}"
                " or a configuration file; the job does not start. End the run and start it again with the new settings"
            )


def _digest(experiment: Experiment) -> str:
    """Return the SHA-256 over the resolved configuration and recipe."""
    settings = [resolved(experiment.config), resolved(experiment.compress)]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
