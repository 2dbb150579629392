"""Reads the configuration and reports everything that is wrong with it, before any job starts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.base.places import configured
from qatflow.config.checks.config import check_config, check_together
from qatflow.config.checks.files import file_problem
from qatflow.config.checks.no_labels import check_mixture
from qatflow.config.checks.recipe import trained_by
from qatflow.config.experiments import Expanded, expand
from qatflow.config.read_recipe import Recipes
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.config import Config
from qatflow.config.shared_folders import clashes
from qatflow.config.validate import ValidSections, validate
from qatflow.config.yaml.merge import COMMAND_LINE, Merged, Report, merge
from qatflow.config.yaml.problems import Problem, nearest, problem, refusal, report
from qatflow.config.yaml.reader import YamlFile, read_yaml


@dataclass(frozen=True)
class Experiment:
    """The settings of an experiment.

    Attributes:
        config: its configuration.
        compress: the compress YAML that the configuration names, with its overrides.
    """

    config: Config
    compress: CompressConfig


def load_config(files: Sequence[Path], overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a configuration of one experiment, as `load_experiments` does.

    Raises:
        UserError: it has problems, or several experiments.
    """
    experiments = load_experiments(files, overrides)
    if len(experiments) != 1:
        names = ", ".join(experiments)
        raise UserError(f"one experiment is expected, but the configuration has {names}: choose one with `only`")
    return next(iter(experiments.values())).config


OF_MODULE = "the module's config"
"""How messages name the settings of an outer workflow that uses this one as a module."""


def load_experiments(
    files: Sequence[Path], overrides: Mapping[str, Any] | None = None, overrides_from: str = COMMAND_LINE
) -> dict[str, Experiment]:
    """Read `files` in their order, merge and check them. Later files win; mappings are merged.

    The compress YAMLs that the configuration names are read and checked as well.

    Args:
        files: YAML files; paths within them are relative to the working directory.
        overrides: values by top-level key, as Snakemake's `--config` passes them.
        overrides_from: how messages name the overrides: COMMAND_LINE or OF_MODULE.

    Returns:
        The settings of each experiment that is to run, by its name, in the order in which they are written.

    Raises:
        UserError: with all problems, one per line: `file:line: dotted.key: what is wrong, what is allowed`.
    """
    sources: list[YamlFile] = []
    unreadable: list[str] = []
    for file in files:
        try:
            sources.append(read_yaml(file))
        except UserError as error:
            unreadable.append(str(error))
    merged = merge(sources, overrides, overrides_from)
    merged.whole &= not unreadable
    expanded, wrong = expand(merged)
    reports = {report(merged, problem): None for problem in wrong}
    lines: dict[str, None] = {}
    experiments: dict[str, Experiment] = {}
    valid_sections, recipes = ValidSections(), Recipes()  # experiments share most sections and YAMLs
    for one in expanded:
        config, config_reports = validate(Config, one.merged, check_config, valid_sections)
        reports |= dict.fromkeys(config_reports)
        if config is not None and (one.merged.whole or ("compress", "config") in one.merged.locations):
            compress, compress_lines = _compress(config, one.merged, recipes)
            lines |= dict.fromkeys(compress_lines)
            if compress is not None:
                experiments[config.experiment] = Experiment(config, compress)
    if not (reports or lines or unreadable):
        reports |= dict.fromkeys(_together(expanded, experiments))
    if reports or lines or unreadable or len(experiments) < len(expanded):
        raise refusal("the configuration", [*unreadable, *map(str, sorted(reports)), *lines])
    return _chosen(experiments, merged)


def _together(expanded: Sequence[Expanded], experiments: Mapping[str, Experiment]) -> list[Report]:
    """Return what is wrong with the experiments as a group."""
    merged = {one.name: one.merged for one in expanded}
    configs = {name: experiment.config for name, experiment in experiments.items()}
    init_models = [(name, problem) for name in configs for problem in _init_model(name, experiments)]
    found = [*clashes(configs), *check_mixture(configs), *init_models]
    return [report(merged[name], problem) for name, problem in found]


def _init_model(name: str, experiments: Mapping[str, Experiment]) -> Iterator[Problem]:
    """Yield what is wrong with an experiment's compressor.init_model, if that is the result of an experiment."""
    folder = experiments[name].compress.compressor.init_model
    maker = trained_by(folder) if folder else None
    if folder is None or maker is None:
        return
    subject = f"compressor.init_model in {experiments[name].config.compress.config} is {folder}"
    if maker == name:
        yield problem(f"{subject}, which this training itself makes: name another folder", "compress.config")
    elif maker not in experiments and file_problem(f"{folder}/model"):
        names = f"{', '.join(experiments)}{nearest(maker, experiments)}"
        message = f"{subject}, which does not exist, and no experiment here makes it; the experiments are {names}"
        yield problem(message, "compress.config")


def _chosen(experiments: dict[str, Experiment], merged: Merged) -> dict[str, Experiment]:
    """Return the experiments that `only` names."""
    only = merged.data.get("only")
    if only is None:
        return experiments
    names = [only] if isinstance(only, str) else only
    unknown = [name for name in names if name not in experiments]
    if not names or unknown:
        message = "names no experiment"
        if unknown:
            hint = f"{', '.join(experiments)}{nearest(unknown[0], experiments)}"
            message = f"there is no experiment {unknown[0]!r}; the experiments are {hint}"
        raise refusal("the configuration", [report(merged, problem(message, "only"))])
    return {name: experiments[name] for name in names}


def written_by_workflow(experiment: str) -> tuple[str, ...]:
    """Return the names of the files and folders that the rules write to results/<experiment>/."""
    models = (f"{experiment}_opt", f"{experiment}_float_opt", f"{experiment}_ptq", f"{experiment}_ready")
    return (
        *models,
        "search",
        "trained",
        "device",
        "report",
        "gate.json",
        ".gate_passed",
        "config.yaml",
        "compress.yaml",
        ".config_written",
        "microcontroller",
        ".configfiles.json",
        "method.json",
        "layers.json",
        "widths.json",
        "evaluation.json",
        "fake_quant.json",
        "summary.json",
        "ro-crate-metadata.json",
        "Snakefile",
    )


def _compress(config: Config, merged: Merged, recipes: Recipes) -> tuple[CompressConfig | None, list[str]]:
    """Return the compress YAML that a configuration names, and what is wrong with it, alone and combined with that."""
    path = config.compress.config
    overrides = {
        key: (value, merged.location(("compress", "overrides", key)))
        for key, value in config.compress.overrides.items()
    }
    try:
        compress, lines = recipes.read(configured(path), overrides, written_by_workflow(config.experiment))
    except UserError as error:
        reason = file_problem(path) or str(error)
        return None, [f"{merged.location(('compress', 'config'))}: compress.config: {reason}"]
    if compress is None or lines:
        return compress, lines
    return compress, [str(report(merged, problem)) for problem in check_together(config, compress)]
