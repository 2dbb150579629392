# ruff: noqa: E402  # garbage is not searched for among what is imported
"""Run Snakemake's commands one after the other, each in a process forked from one that has everything imported.

    python run_commands.py SRC

SRC is the library's folder. Read from standard input, one JSON a line: [folder, [argument, …]]. Printed for each, one
JSON a line: [status, standard output, standard error].
"""

import gc
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

sys.path.insert(0, sys.argv[1])  # not by PYTHONPATH, which the commands would inherit
gc.disable()  # all that is imported stays: to look through it takes longer than the rest

import smart_open  # noqa: F401  # these two by Snakemake, when it reads a Snakefile
import snakemake.api
import snakemake.cli
import snakemake.dag
import snakemake.report
import snakemake.workflow
import yte  # noqa: F401

from qatflow.base.errors import UserError
from qatflow.base.imported_names import imported_names
from qatflow.config.schema import json_schema
from qatflow.config.sections.config import Config
from qatflow.workflow import ancient, exports, job_options, precheck, searches, session, shipping  # noqa: F401

snakemake.cli.get_argument_parser()  # finds the plugins
json_schema(Config)
for module in Path(sys.argv[1]).rglob("*.py"):
    imported_names(module.read_bytes())  # by its text: an edited one is read again
gc.freeze()
gc.enable()


def run(folder: str, arguments: list[str]) -> tuple[int, str, str]:
    """Return the exit status of `snakemake ARGUMENTS` in the folder, and what it prints to both of its outputs."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8") as err,
    ):
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.chdir(folder)
            sys.path[1] = str(Path.cwd())  # in place of this script's folder, as with `python -m snakemake`
            os._exit(_status(arguments))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return status, out.read(), err.read()


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
    for line in sys.stdin:
        print(json.dumps(run(*json.loads(line))), flush=True)
