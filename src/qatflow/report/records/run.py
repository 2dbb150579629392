"""A finished run, as its records describe it: the summary, the settings, when it began and ended."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from qatflow.base.sums import read_sealed

NOT_STATED = "not stated"


@dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Attributes:
        folder: results/<experiment>.
        summary: content of summary.json.
        config: content of config.yaml.
        recipe: content of compress.yaml.
        model: the .tflite file that ships.
    """

    folder: Path
    summary: Mapping[str, Any]
    config: Mapping[str, Any]
    recipe: Mapping[str, Any]
    model: Path

    @property
    def card(self) -> Mapping[str, Any]:
        """The section `model_card` of the configuration."""
        section: Mapping[str, Any] = self.config["model_card"]
        return section

    @property
    def ships(self) -> bool:
        """Whether all gates are open."""
        return bool(self.summary["outcome"] != "closed" and self.summary["verdict"]["mood"] != "bad")


def read_run(summary: Path, config: Path, recipe: Path, model: Path) -> FinishedRun:
    """Read a run; raises UserError where summary.json has changed since it was written."""
    settings, strategies = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (config, recipe))
    return FinishedRun(summary.parent, read_sealed(summary), settings, strategies, model)


def began(stages: Sequence[Path], ended: str) -> str:
    """Return when the first of the stages started, in UTC: of each, its benchmark file's time less its seconds.

    Args:
        stages: Snakemake's benchmark files, some of which may be gone.
        ended: when the report was made; the answer where no file is there.
    """
    starts = [
        path.stat().st_mtime - float(json.loads(path.read_text(encoding="utf-8").splitlines()[-1])["s"])
        for path in stages
        if path.is_file()
    ]
    return datetime.fromtimestamp(min(starts), UTC).isoformat(timespec="seconds") if starts else ended
