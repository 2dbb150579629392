"""Read the configuration and report all that is wrong with it, before any job starts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qatflow.config.checks import check_config, check_together
from qatflow.config.compress_yaml import read_compress
from qatflow.config.experiments import Expanded, clashes, expand
from qatflow.config.merge import Merged, Report, merge
from qatflow.config.model import Config
from qatflow.config.paths import file_problem
from qatflow.config.validate import nearest, problem, refusal, report, validate
from qatflow.config.yaml_lines import YamlFile, read_yaml
from qatflow.errors import UserError


def load_config(files: Sequence[Path], overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a configuration of one experiment, as `load_experiments` does.

    Raises:
        UserError: it has problems, or several experiments.
    """
    configs = load_experiments(files, overrides)
    if len(configs) != 1:
        raise UserError(f"one experiment is expected; the configuration has {', '.join(configs)}: choose with `only`")
    return next(iter(configs.values()))


def load_experiments(files: Sequence[Path], overrides: Mapping[str, Any] | None = None) -> dict[str, Config]:
    """Read `files` in their order, later ones over earlier ones (mappings merge, all else is replaced), and check.

    Args:
        files: YAML files; paths within them are relative to the working directory.
        overrides: values by top-level key, as Snakemake's `--config` gives them.

    Returns:
        The configuration of each experiment to be run, by its name, in the order in which they are written.

    Raises:
        UserError: with all problems, one a line: `file:line: dotted.key: what is wrong, what is allowed`.
            The compress YAMLs that the configuration names are checked as well.
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
    expanded, wrong = expand(merged)
    reports = {report(merged, found): None for found in wrong}
    lines: dict[str, None] = {}
    configs: dict[str, Config] = {}
    for one in expanded:
        config, found = validate(Config, one.merged, check_config)
        for each in found:
            reports.setdefault(each, None)
        if config is None:
            continue
        configs[config.experiment] = config
        if one.merged.whole or ("compress", "config") in one.merged.places:
            lines |= dict.fromkeys(_compress_problems(config, one.merged))
    if not (reports or lines or unreadable):
        reports |= dict.fromkeys(_together(expanded, configs))
    every = [*unreadable, *map(str, sorted(reports)), *lines]
    if every or len(configs) < len(expanded) or not configs:
        raise refusal("the configuration", every)
    return _chosen(configs, merged)


def _together(expanded: Sequence[Expanded], configs: Mapping[str, Config]) -> list[Report]:
    """Return what is wrong with the experiments side by side."""
    merged = {one.name: one.merged for one in expanded}
    return [report(merged[name], found) for name, found in clashes(configs)]


def _chosen(configs: dict[str, Config], merged: Merged) -> dict[str, Config]:
    """Return the experiments that `only` names."""
    only = merged.data.get("only")
    if only is None:
        return configs
    names = [only] if isinstance(only, str) else only
    unknown = [name for name in names if name not in configs]
    if unknown or not names:
        hint = nearest(unknown[0], configs) if unknown else ""
        message = (
            f"there is no experiment {unknown[0]!r}; there are {', '.join(configs)}{hint}" if unknown else "is empty"
        )
        raise refusal("the configuration", [report(merged, problem(message, "only"))])
    return {name: configs[name] for name in names}


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
        compress, lines = read_compress(
            Path(path),
            {
                key: (value, merged.place(("compress", "overrides", key)))
                for key, value in config.compress.overrides.items()
            },
            reserved=written_by_workflow(config.experiment),
        )
    except UserError as error:
        reason = file_problem(path) or str(error)
        return [f"{merged.place(('compress', 'config'))}: compress.config: {reason}"]
    if compress is None or lines:
        return lines
    return [str(report(merged, found)) for found in check_together(config, compress)]
