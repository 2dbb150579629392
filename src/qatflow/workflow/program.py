"""The program `snakemake` of .venv: what Snakemake reads before the Snakefile is checked, then Snakemake starts."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

START = Path("src/qatflow/workflow/snakemake_start.py")


def main() -> None:
    """Check, then become Snakemake; where something is wrong, end with status 1 and the list of problems.

    Neither runs in this process: both read the library of the checkout whose Snakefile it is, not the one of .venv.
    """
    argv = sys.argv[1:]
    options = _options(argv)
    reads = any(argument.startswith(("--config", "-C")) for argument in argv)
    checkout = _checkout(options.snakefile)
    checks = checkout is not None and (reads or not _takes_state(Path(options.directory)))
    start = Path(__file__).with_name(START.name) if checkout is None else checkout / START
    os.execv(sys.executable, [sys.executable, str(start), "check" if checks else "start", *argv])


def _options(argv: Sequence[str]) -> argparse.Namespace:
    """Return Snakemake's `snakefile` (None without one) and `directory`; Snakemake itself says what is wrong there."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--snakefile", "-s")
    parser.add_argument("--directory", "-d", default=".")
    try:
        return parser.parse_known_args(argv)[0]
    except argparse.ArgumentError:
        return argparse.Namespace(snakefile=None, directory=".")


def _checkout(snakefile: str | None) -> Path | None:
    """Return the checkout of a Snakefile, or of the working folder; None where it is none of this project's."""
    files = [Path("Snakefile")] if snakefile is None else [Path(snakefile), Path(os.path.realpath(snakefile))]
    folders = [file.parent.parent if file.parent.name == "workflow" else file.parent for file in files]
    return next((folder.absolute() for folder in folders if (folder / START).is_file()), None)


def _takes_state(folder: Path) -> bool:
    """Return whether Snakemake can make its folder `.snakemake`, which it does ahead of the Snakefile."""
    state = folder / ".snakemake"
    here = state if os.path.lexists(state) else folder
    return not os.path.lexists(here) or (here.is_dir() and os.access(here, os.W_OK | os.X_OK))
