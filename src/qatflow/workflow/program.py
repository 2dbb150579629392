"""The program `snakemake` of .venv: what Snakemake reads before the Snakefile is checked, then Snakemake starts."""

import os
import subprocess
import sys
from pathlib import Path

CHECK = "qatflow.workflow.precheck"


def main() -> None:
    """Check, then become Snakemake; where something is wrong, end with status 1 and the list of problems.

    Neither runs in this process: both read the library of the folder that they are started in, not the one of .venv.
    """
    argv = sys.argv[1:]
    reads = any(argument.startswith(("--config", "-C")) for argument in argv)
    if reads and Path("src/qatflow/workflow/precheck.py").is_file():
        check = subprocess.run([sys.executable, "-m", CHECK, *argv], env=os.environ | {"PYTHONPATH": "src"})
        if check.returncode:
            sys.exit(check.returncode)
    os.execv(sys.executable, [sys.executable, "-m", "snakemake", *argv])
