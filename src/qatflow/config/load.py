"""Read the configuration and report all that is wrong with it, before any job starts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.base.places import configured
from qatflow.config.checks.config import check_config, check_together
from qatflow.config.checks.files import file_problem
from qatflow.config.checks.recipe import trained_by
from qatflow.config.experiments import Expanded, expand
from qatflow.config.problems import Problem, nearest, problem, refusal, report
from qatflow.config.read_recipe import Recipes
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.config import Config
from qatflow.config.shared_folders import clashes
from qatflow.config.validate import Known, validate
from qatflow.config.yaml.merge import COMMAND_LINE, Merged, Report, merge
from qatflow.config.yaml.reader import YamlFile, read_yaml


@dataclass(frozen=True)
class Experiment:
    """An experiment's settings.

    Attributes:
        config: its configuration.
        compress: the compress YAML that this names, with its overrides.
    """

    config: Config
    compress: CompressConfig


def load_config(files: Sequence[Path], overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a configuration of one experiment, as `load_experiments` does.

    Raises:
        UserError: it has problems, or several experiments.
    """
    found = load_experiments(files, overrides)
    if len(found) != 1:
        raise UserError(f"one experiment is expected; the configuration has {', '.join(found)}: choose with `only`")
    return next(iter(found.values())).config


OF_MODULE = "the module's config"
"""How messages name the settings that an outer workflow gives, when it uses this one as a module."""


def load_experiments(
    files: Sequence[Path], overrides: Mapping[str, Any] | None = None, said_in: str = COMMAND_LINE
) -> dict[str, Experiment]:
    """Read `files` in their order, later ones over earlier ones (mappings merge, all else is replaced), and check.

    Args:
        files: YAML files; paths within them are relative to the working directory.
        overrides: values by top-level key, as Snakemake's `--config` gives them.
        said_in: how messages name these: COMMAND_LINE or OF_MODULE.

    Returns:
        The settings of each experiment to be run, by its name, in the order in which they are written.

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
    merged = merge(sources, overrides, said_in)
    merged.whole &= not unreadable
    expanded, wrong = expand(merged)
    reports = {report(merged, found): None for found in wrong}
    lines: dict[str, None] = {}
    experiments: dict[str, Experiment] = {}
    known, recipes = Known(), Recipes()  # many experiments have one YAML
    for one in expanded:
        config, found = validate(Config, one.merged, check_config, known)
        reports |= dict.fromkeys(found)
        if config is not None and (one.merged.whole or ("compress", "config") in one.merged.places):
            compress, told = _compress(config, one.merged, recipes)
            lines |= dict.fromkeys(told)
            if compress is not None:
                experiments[config.experiment] = Experiment(config, compress)
    if not (reports or lines or unreadable):
        reports |= dict.fromkeys(_together(expanded, experiments))
    if reports or lines or unreadable or len(experiments) < len(expanded):
        raise refusal("the configuration", [*unreadable, *map(str, sorted(reports)), *lines])
    return _chosen(experiments, merged)


def _together(expanded: Sequence[Expanded], experiments: Mapping[str, Experiment]) -> list[Report]:
    """Return what is wrong with the experiments side by side."""
    merged = {one.name: one.merged for one in expanded}
    configs = {name: experiment.config for name, experiment in experiments.items()}
    begun = [(name, found) for name in configs for found in _init_model(name, experiments)]
    return [report(merged[name], found) for name, found in [*clashes(configs), *begun]]


def _init_model(name: str, experiments: Mapping[str, Experiment]) -> Iterator[Problem]:
    """Yield what is wrong with a compressor.init_model that an experiment leaves."""
    folder = experiments[name].compress.compressor.init_model
    other = trained_by(folder) if folder else None
    if folder is None or other is None:
        return
    said = f"compressor.init_model in {experiments[name].config.compress.config} is {folder}, which "
    if other == name:
        yield problem(f"{said}this very training makes; name another", "compress.config")
    elif other not in experiments and file_problem(f"{folder}/model"):
        there = f"there are {', '.join(experiments)}{nearest(other, experiments)}"
        yield problem(f"{said}no experiment here makes and which is not there; {there}", "compress.config")


def _chosen(experiments: dict[str, Experiment], merged: Merged) -> dict[str, Experiment]:
    """Return the experiments that `only` names."""
    only = merged.data.get("only")
    if only is None:
        return experiments
    names = [only] if isinstance(only, str) else only
    unknown = [name for name in names if name not in experiments]
    if not names or unknown:
        message = "names none"
        if unknown:
            there = ", ".join(experiments)
            message = f"there is no experiment {unknown[0]!r}; there are {there}{nearest(unknown[0], experiments)}"
        raise refusal("the configuration", [report(merged, problem(message, "only"))])
    return {name: experiments[name] for name in names}


def written_by_workflow(experiment: str) -> tuple[str, ...]:
    """Return the names in results/<experiment>/ that the rules write themselves."""
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
        ".configfiles.json",
        "method.json",
        "layers.json",
        "evaluation.json",
        "fake_quant.json",
        "summary.json",
    )


def _compress(config: Config, merged: Merged, recipes: Recipes) -> tuple[CompressConfig | None, list[str]]:
    """Return the compress YAML that a configuration names, and what is wrong with it, alone and together with that."""
    path = config.compress.config
    overrides = {
        key: (value, merged.place(("compress", "overrides", key))) for key, value in config.compress.overrides.items()
    }
    try:
        compress, lines = recipes.read(configured(path), overrides, written_by_workflow(config.experiment))
    except UserError as error:
        reason = file_problem(path) or str(error)
        return None, [f"{merged.place(('compress', 'config'))}: compress.config: {reason}"]
    if compress is None or lines:
        return compress, lines
    return compress, [str(report(merged, found)) for found in check_together(config, compress)]
