"""What each experiment exports: float/, int8/ and mobile/, where its recipe asks for them."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from qatflow.config.recipe.recipe import undeployable
from qatflow.export.targets import targets
from qatflow.workflow.plan import InputFunction, Plan, Wildcards

FILES = ("model", "weights", "manifest.json")
"""Of each exported folder."""


@dataclass(frozen=True)
class Exports:
    """The exported folders of the experiments.

    Attributes:
        plan: the run's.
    """

    plan: Plan

    def folders(self, experiment: str) -> dict[str, str]:
        """Return the folders of an experiment by kind, with `{experiment}` for its name."""
        wanted = targets(self.plan.experiments[experiment].compress.quantization, Path("results/{experiment}"))
        return {target.kind: str(target.folder) for target in wanted}

    def files(self, experiment: str) -> list[str]:
        """Return all files that an experiment exports."""
        return [
            f"{folder.format(experiment=experiment)}/{file}"
            for folder in self.folders(experiment).values()
            for file in FILES
        ]

    def of(self, experiments: Iterable[str]) -> list[str]:
        """Return all files that these experiments export."""
        return [path for experiment in experiments for path in self.files(experiment)]

    def rules(self) -> list[tuple[list[str], list[str]]]:
        """Return the outputs of each rule that exports, with `{experiment}`, and the experiments that it is for.

        A rule's outputs cannot depend on a wildcard, and the folders are the recipe's: a rule for each set of them.
        """
        by_folders: dict[tuple[str, ...], list[str]] = {}
        for name in self.plan.experiments:
            by_folders.setdefault(tuple(self.folders(name).values()), []).append(name)
        return [
            ([f"{folder}/{file}" for folder in folders for file in FILES], names)
            for folders, names in by_folders.items()
        ]

    def for_device(self, file: str) -> InputFunction:
        """Return an input function for an exported file that the device's model is made from.

        It ends the run with a message where the settings cannot be deployed.
        """

        def path(wildcards: Wildcards) -> str:
            experiment = wildcards["experiment"]
            folders = self.folders(experiment)
            self._check_deployable(experiment, folders)
            kind = "float" if "float" in folders else "int8"  # the same integers, in either folder
            return f"{folders[kind]}/{file}"

        return path

    def _check_deployable(self, experiment: str, folders: Mapping[str, str]) -> None:
        recipe = self.plan.experiments[experiment].compress
        reasons = undeployable(recipe.quantization)
        if not {"float", "int8"} & set(folders):
            reasons["float_model_save_path"] = "the device's model is made from float/ or int8/, and neither is written"
        if reasons:
            key, reason = next(iter(reasons.items()))
            sys.exit(
                f"error: {self.plan.experiments[experiment].config.compress.config}:"
                f" strategies.{recipe.compressor.strategies[-1]}.{key}: {reason}. It is trained and"
                f" exported to {', '.join(folders)} only: ask for the target `export`"
            )
