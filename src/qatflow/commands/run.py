"""`qatflow run`: puts the workflow of a wheel into the working folder, and starts Snakemake there."""

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
    """Put the workflow's files into the working folder where they are missing, then become Snakemake.

    Raises:
        UserError: this is a checkout and not a wheel, or the files cannot be put there; see `deploy`.
    """
    parser = argparse.ArgumentParser(
        prog="qatflow run",
        allow_abbrev=False,
        usage="qatflow run [--deploy-only] [--update] [TARGET …] [SNAKEMAKE'S OPTION …]",
        description="Puts the workflow (Snakefile, workflow/, config/, …) into this folder, and runs it here. A file "
        "that you have changed is never overwritten.",
        epilog="Examples: qatflow run -n; qatflow run --configfile config/test.yaml; qatflow run report --configfile "
        "my.yaml. All of Snakemake's options: qatflow run --snakemake-help",
    )
    parser.add_argument("--deploy-only", action="store_true", help="put the files here, and run nothing")
    parser.add_argument("--update", action="store_true", help="replace the workflow of another version of qatflow")
    parser.add_argument("--snakemake-help", action="store_true", help="print Snakemake's options")
    options, rest = parser.parse_known_args(argv)
    if IN_CHECKOUT:
        raise UserError(
            f"run: this qatflow is that of the checkout {PROJECT}, which has the workflow already: use"
            f" {PROJECT}/run.sh, or in this folder `snakemake -s {PROJECT}/Snakefile --cores all`"
        )
    if options.snakemake_help:
        rest = ["--help"]
    else:
        deploy(PACKAGED, Path.cwd(), metadata.version("qatflow"), options.update)
    if options.deploy_only:
        return
    sys.stdout.flush()
    places = [str(Path(sys.executable).parent), *filter(None, [os.environ.get("PATH")])]
    environment = os.environ | {FOLDER: str(Path.cwd()), "PATH": os.pathsep.join(places)}
    os.execve(sys.executable, [sys.executable, str(START), "check", *snakemake_arguments(rest)], environment)


def snakemake_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of Snakemake: `all` where there are none, and all cores unless they say where jobs run."""
    given = list(arguments) or ["all"]
    elsewhere = any(
        argument == name or argument.startswith(f"{name}=" if name.startswith("--") else name)
        for argument in given
        for name in WHERE
    )
    return given if elsewhere else ["--cores", "all", *given]
