"""`qatflow run`: starts Snakemake; of a wheel, it puts the workflow into the working folder first."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.places import FOLDER, IN_CHECKOUT, PACKAGED, PROJECT, SOURCE
from qatflow.deploy.folder import deploy

START = SOURCE / "qatflow/workflow/snakemake_start.py"
WHERE = ("--cores", "-c", "--jobs", "-j", "--executor", "-e", "--profile", "--workflow-profile")
"""Snakemake's options that say where jobs run; without one of them all cores of this machine are used."""


def main(argv: Sequence[str]) -> None:
    """Put a wheel's workflow into the working folder where files are missing, then become Snakemake.

    Raises:
        UserError: the files cannot be put there (see `deploy`); or this is a checkout, and they are asked for.
    """
    parser = argparse.ArgumentParser(
        prog="qatflow run",
        allow_abbrev=False,
        usage="qatflow run [--deploy-only] [--update] [TARGET …] [SNAKEMAKE'S OPTION …]",
        description="Runs the workflow in this folder, on all cores unless the options say where. Where qatflow was "
        "installed by a wheel, it puts the workflow (Snakefile, workflow/, config/, …) here first; a file that you "
        "have changed is never overwritten.",
        epilog="Examples: qatflow run -n; qatflow run --configfile config/test.yaml; qatflow run report --configfile "
        "my.yaml. All of Snakemake's options: qatflow run --snakemake-help",
    )
    parser.add_argument("--deploy-only", action="store_true", help="put the files here, and run nothing")
    parser.add_argument("--update", action="store_true", help="replace the workflow of another version of qatflow")
    parser.add_argument("--snakemake-help", action="store_true", help="print Snakemake's options")
    options, rest = parser.parse_known_args(argv)
    arguments = ["--help"] if options.snakemake_help else snakemake_arguments(rest)
    if IN_CHECKOUT:
        if options.deploy_only or options.update:
            raise UserError(
                f"run: this qatflow is that of the checkout {PROJECT}, whose workflow stays there: leave out "
                "--deploy-only and --update"
            )
        elsewhere = [] if Path.cwd() == PROJECT else ["--snakefile", str(PROJECT / "Snakefile")]
        _become([str(Path(sys.executable).with_name("snakemake")), *elsewhere, *arguments], {})
    if not options.snakemake_help:
        deploy(PACKAGED, Path.cwd(), metadata.version("qatflow"), options.update)
    if not options.deploy_only:
        _become([sys.executable, str(START), "check", *arguments], {FOLDER: str(Path.cwd())})


def _become(command: Sequence[str], variables: dict[str, str]) -> None:
    """Run a program in place of this one, with the programs beside this Python first in PATH."""
    sys.stdout.flush()
    places = [str(Path(sys.executable).parent), *filter(None, [os.environ.get("PATH")])]
    os.execve(command[0], list(command), os.environ | variables | {"PATH": os.pathsep.join(places)})


def snakemake_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of Snakemake: `all` where there are none, and all cores unless they say where jobs run."""
    given = list(arguments) or ["all"]
    elsewhere = any(
        argument == name or argument.startswith(f"{name}=" if name.startswith("--") else name)
        for argument in given
        for name in WHERE
    )
    return given if elsewhere else ["--cores", "all", *given]
