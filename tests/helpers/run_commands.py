"""Run Snakemake's commands one after the other, each in a process forked from one that has everything imported.

Given as JSON on the standard input: a list of [folder, [argument, …]]. Printed as JSON: a list of [status, text].
"""

import json
import os
import sys
import tempfile
import traceback

import snakemake.api
import snakemake.cli
import snakemake.dag
import snakemake.workflow

from qatflow.base.errors import UserError
from qatflow.workflow import precheck


def run(folder: str, arguments: list[str]) -> tuple[int, str]:
    """Return the exit status of `snakemake ARGUMENTS` in the folder, and what it prints."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            os.chdir(folder)
            os._exit(_status(arguments))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        return status, said.read()


def _status(arguments: list[str]) -> int:
    status = 1
    try:
        precheck.main(arguments)
        sys.argv = ["snakemake", *arguments]
        snakemake.cli.main(arguments)
        status = 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    print(json.dumps([run(folder, arguments) for folder, arguments in json.load(sys.stdin)]))
