"""Check the configuration ahead of Snakemake, from Snakemake's own arguments.

Snakemake reads the files of `--configfile` and the values of `--config` before the Snakefile, and meets a missing or
broken one with words of its own or a traceback; `qatflow.workflow.program` calls this first.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qatflow.base.cli import entry
from qatflow.base.errors import UserError
from qatflow.config.load import load_experiments
from qatflow.workflow.options import check_options

DEFAULT = Path("config/config.yaml")


def main(argv: Sequence[str]) -> None:
    """Check what `--configfile` and `--config` in `argv` come to.

    Raises:
        UserError: with all problems, as `load_experiments` raises it.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--directory", "-d")
    parser.add_argument("--snakefile", "-s")
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[])
    parser.add_argument("--config", "-C", nargs="*", default=[])
    arguments, _ = parser.parse_known_args(argv)
    if not (arguments.configfile or arguments.config) or arguments.directory or arguments.snakefile:
        return  # nothing to read before the Snakefile, or other paths and another project's keys
    check_options(argv, arguments.configfile, arguments.config)
    default = [DEFAULT] if DEFAULT.exists() else []
    load_experiments([*default, *map(Path, arguments.configfile)], _overrides(arguments.config))


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
