"""The results that are compared: a folder results/<experiment>, or that folder at a git revision."""

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from qatflow.base.errors import UserError
from qatflow.base.measure import measure_in
from qatflow.base.sums import read_sealed

LEAST = 6
"""First format of summary.json that has what is compared."""
SUMMARY, EVALUATION, CONFIG, RECIPE = "summary.json", "evaluation.json", "config.yaml", "compress.yaml"


@dataclass(frozen=True)
class Results:
    """The files of an experiment's results.

    Attributes:
        name: as the user named them.
        summary: content of summary.json.
        evaluation: content of evaluation.json.
        settings: value of each setting, by `config.yaml` or `compress.yaml` and its key with dots; none without these.
    """

    name: str
    summary: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def shipped(self) -> str:
        """The model that ships: `ptq`, `qat` or `ready`."""
        return str(self.summary["shipped"])


def read_pair(first: str, second: str, folder: Path | None = None) -> tuple[Results, Results]:
    """Read two results.

    Args:
        first: a folder; or a git revision, or `REVISION:FOLDER`.
        second: likewise.
        folder: the folder of a revision that names none; None: the other one's.

    Raises:
        UserError: one is neither, or has not the files of a report, or they are damaged or too old; or only one of them
            has pictures with labels.
    """
    named = [place if Path(place).is_dir() else None for place in (first, second)]
    spare = str(folder) if folder is not None else next(filter(None, named), None)
    pair = _read(first, spare), _read(second, spare)
    with_labels = [measure_in(one.evaluation).is_accuracy for one in pair]
    if with_labels[0] != with_labels[1]:
        labelled, other = pair if with_labels[0] else pair[::-1]
        raise UserError(
            f"{other.name} has pictures without labels, so its figures are agreement with float, and those of "
            f"{labelled.name} are accuracy: they cannot be compared"
        )
    return pair


def _read(place: str, spare: str | None) -> Results:
    if Path(place).is_dir():
        return _of_folder(place, Path(place))
    revision, _, folder = place.partition(":")
    if not _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"):
        raise UserError(f"{place} is neither a folder nor a git revision: give results/<experiment> or REVISION:FOLDER")
    if not folder and spare is None:
        raise UserError(
            f"{place} is a git revision, but of which results? Write {place}:results/<experiment>, or give --results"
        )
    return _of_revision(place, revision, folder or str(spare))


def _of_revision(place: str, revision: str, folder: str) -> Results:
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name, Path(folder).name)
        copy.mkdir()
        for file in (SUMMARY, EVALUATION, CONFIG, RECIPE):
            relative = folder if Path(folder).is_absolute() else f"./{folder}"
            content = _git("show", f"{revision}:{relative}/{file}")
            if content is not None:
                (copy / file).write_bytes(content)
        title = place if ":" in place else f"{place}:{folder}"
        return _of_folder(title, copy, f"{folder} of revision {revision}")


def _git(*words: str) -> bytes | None:
    """Return what git prints; None where it fails, or there is no git."""
    try:
        answer = subprocess.run(["git", *words], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return answer.stdout if answer.returncode == 0 else None


def _of_folder(title: str, folder: Path, where: str | None = None) -> Results:
    where = where or str(folder)
    for name in (SUMMARY, EVALUATION):
        if not (folder / name).is_file():
            raise UserError(
                f"{where} has no {name}: make the report with `./run.sh report`, or name results/<experiment>"
            )
    summary, evaluation = read_sealed(folder / SUMMARY), read_sealed(folder / EVALUATION)
    if summary.get("format_version", 0) < LEAST:
        raise UserError(
            f"{where}/{SUMMARY} is of format {summary.get('format_version')}, and {LEAST} is needed: make the report "
            "again with this version (`./run.sh report`)"
        )
    settings: dict[str, Any] = {}
    for name in (CONFIG, RECIPE):
        if (folder / name).is_file():
            settings |= _flat(yaml.safe_load((folder / name).read_text(encoding="utf-8")), f"{name}: ")
    settings.pop(f"{CONFIG}: compress.config", None)  # the place of the other file
    return Results(title, summary, evaluation, settings)


def _flat(value: Any, above: str) -> dict[str, Any]:
    """Return the values of nested mappings by their keys with dots; a list is one value."""
    if not isinstance(value, dict) or not value:
        return {above: value}
    joined = above if above.endswith(" ") else f"{above}."
    return {key: inner for name, one in value.items() for key, inner in _flat(one, f"{joined}{name}").items()}
