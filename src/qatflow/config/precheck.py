"""Check, ahead of Snakemake, that the files given with `--configfile` can be read.

Snakemake reads them before the Snakefile, and meets a missing or broken file with a traceback. run.sh calls this
with Snakemake's arguments first.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.cli import entry
from qatflow.config.validate import refusal
from qatflow.config.yaml_lines import read_yaml
from qatflow.errors import UserError


def main(argv: Sequence[str]) -> None:
    """Raise a UserError that lists the unreadable files among the values of `--configfile` in `argv`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", type=Path, default=[])
    unreadable: list[str] = []
    for path in parser.parse_known_args(argv)[0].configfile:
        try:
            read_yaml(path)
        except UserError as error:
            unreadable += str(error).splitlines()
    if unreadable:
        raise refusal("the configuration", unreadable)


if __name__ == "__main__":
    entry(main)
