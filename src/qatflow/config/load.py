"""Read the configuration and report all that is wrong with it, before any job starts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from qatflow.config.checks import check_config
from qatflow.config.compress_yaml import read_compress
from qatflow.config.merge import Merged, merge
from qatflow.config.model import Config
from qatflow.config.validate import refusal, validate
from qatflow.config.yaml_lines import YamlFile, read_yaml
from qatflow.errors import UserError


def load_config(files: Sequence[Path], overrides: Mapping[str, Any] | None = None) -> Config:
    """Read `files` in their order, later ones over earlier ones (mappings merge, all else is replaced), and check.

    Args:
        files: YAML files; paths within them are relative to the working directory.
        overrides: values by top-level key, as Snakemake's `--config` gives them.

    Raises:
        UserError: with all problems, one a line: `file:line: dotted.key: what is wrong, what is allowed`.
            The compress YAML that the configuration names is checked as well.
    """
    sources: list[YamlFile] = []
    unreadable: list[str] = []
    for file in files:
        try:
            sources.append(read_yaml(file))
        except UserError as error:
            unreadable += str(error).splitlines()
    if unreadable:
        raise refusal("the configuration", unreadable)
    try:
        merged = merge(sources, overrides)
    except ValueError as error:
        raise UserError(f"--config: {error}") from None
    config, reports = validate(Config, merged, check_config)
    lines = [str(report) for report in reports]
    if config is not None:
        lines += _compress_problems(config, merged)
    if config is None or lines:
        raise refusal("the configuration", lines)
    return config


def resolved(config: BaseModel) -> dict[str, Any]:
    """Return a configuration, or a compress YAML, with all defaults as plain JSON values."""
    return config.model_dump(mode="json", by_alias=True)


def written_by_workflow(experiment: str) -> tuple[str, ...]:
    """Return the names in results/<experiment>/ that the rules write themselves."""
    models = (f"{experiment}_opt", f"{experiment}_float_opt", f"{experiment}_ptq")
    return (
        *models,
        "trained",
        "device",
        "report",
        "gate.json",
        "method.json",
        "layers.json",
        "evaluation.json",
        "fake_quant.json",
        "summary.json",
    )


def _compress_problems(config: Config, merged: Merged) -> list[str]:
    path = Path(config.compress.config)
    if not path.is_file():
        place = merged.place(("compress", "config"))
        return [
            f"{place}: compress.config: the file {path} does not exist "
            "(paths are relative to the folder in which Snakemake is started)"
        ]
    return read_compress(path, reserved=written_by_workflow(config.experiment))[1]
