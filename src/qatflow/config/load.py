"""Read the configuration and report all that is wrong with it, before any job starts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qatflow.config.checks import check_config, check_together
from qatflow.config.compress_yaml import read_compress
from qatflow.config.merge import Merged, merge
from qatflow.config.model import Config
from qatflow.config.paths import file_problem
from qatflow.config.validate import refusal, report, validate
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
            unreadable.append(str(error))
    merged = merge(sources, overrides)
    merged.whole &= not unreadable
    config, reports = validate(Config, merged, check_config)
    lines = unreadable + [str(report) for report in reports]
    if config is not None and (merged.whole or ("compress", "config") in merged.places):
        lines += _compress_problems(config, merged)
    if config is None or lines:
        raise refusal("the configuration", lines)
    return config


def written_by_workflow(experiment: str) -> tuple[str, ...]:
    """Return the names in results/<experiment>/ that the rules write themselves."""
    models = (f"{experiment}_opt", f"{experiment}_float_opt", f"{experiment}_ptq")
    return (
        *models,
        "trained",
        "device",
        "report",
        "gate.json",
        "config.yaml",
        "compress.yaml",
        ".config_written",
        ".configfiles.json",
        "method.json",
        "layers.json",
        "evaluation.json",
        "fake_quant.json",
        "summary.json",
    )


def _compress_problems(config: Config, merged: Merged) -> list[str]:
    path = config.compress.config
    try:
        compress, lines = read_compress(Path(path), reserved=written_by_workflow(config.experiment))
    except UserError as error:
        reason = file_problem(path) or str(error)
        return [f"{merged.place(('compress', 'config'))}: compress.config: {reason}"]
    if compress is None or lines:
        return lines
    return [str(report(merged, found)) for found in check_together(config, compress)]
