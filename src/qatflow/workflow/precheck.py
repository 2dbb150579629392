"""Check the configuration and the working folder ahead of Snakemake, from Snakemake's own arguments.

Before the Snakefile, Snakemake reads the files of `--configfile` and the values of `--config`, and makes `.snakemake`.
It meets what is missing or broken with words of its own or a traceback; `qatflow.workflow.program` calls this first.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qatflow.base.cli import entry
from qatflow.base.errors import UserError
from qatflow.base.places import PROJECT
from qatflow.config.load import load_experiments
from qatflow.workflow.options import check_options, default_files
from qatflow.workflow.output_folders import check_state

SAYS_ONLY = {"--version", "-v", "--help", "-h"}
"""Options with which Snakemake does nothing."""
SNAKEFILES = (PROJECT / "Snakefile", PROJECT / "workflow/Snakefile")


def main(argv: Sequence[str]) -> None:
    """Check what `--configfile` and `--config` in `argv` come to, and that `.snakemake` can be made.

    Raises:
        UserError: with all problems, as `load_experiments` and `check_state` raise it.
    """
    if SAYS_ONLY.intersection(argv):
        return
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--directory", "-d")
    parser.add_argument("--snakefile", "-s")
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[])
    parser.add_argument("--config", "-C", nargs="*", default=[])
    arguments, _ = parser.parse_known_args(argv)
    other = arguments.snakefile is not None and Path(os.path.realpath(arguments.snakefile)) not in SNAKEFILES
    check_state(Path(arguments.directory or "."))
    if not (arguments.configfile or arguments.config) or arguments.directory or other:
        return  # nothing to read before the Snakefile, or other paths and another project's keys
    check_options(argv, arguments.configfile, arguments.config)
    load_experiments([*default_files(PROJECT), *map(Path, arguments.configfile)], _overrides(arguments.config))


def _overrides(entries: Sequence[str]) -> dict[str, Any]:
    """Return the values as Snakemake reads them."""
    if not entries:
        return {}
    from snakemake.cli import parse_config  # takes half a second

    try:
        return dict(parse_config(entries))
    except ValueError as error:
        raise UserError(f"--config: {error}") from None


if __name__ == "__main__":
    entry(main)
