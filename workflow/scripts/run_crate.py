"""Describe a finished run as an RO-Crate (Workflow Run Crate): the folder of its results is the crate."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.base.files import write_json, write_text
from qatflow.report.records.crate import WORKFLOW, run_crate
from qatflow.report.records.run import began, read_run


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", type=Path, required=True, help="summary.json, in the folder of the results")
    parser.add_argument("--config", type=Path, required=True, help="config.yaml there")
    parser.add_argument("--recipe", type=Path, required=True, help="compress.yaml there")
    parser.add_argument("--model", type=Path, required=True, help=".tflite file that ships")
    parser.add_argument("--files", type=Path, nargs="*", default=[], help="other files of the results")
    parser.add_argument("--stages", type=Path, nargs="*", default=[], help="Snakemake's benchmark files")
    parser.add_argument("--workflow", type=Path, required=True, help="the Snakefile, which is copied to the results")
    parser.add_argument("--output", type=Path, required=True, help="ro-crate-metadata.json to write there")
    arguments = parser.parse_args(argv)
    run = read_run(arguments.summary, arguments.config, arguments.recipe, arguments.model)
    own = (arguments.summary, arguments.config, arguments.recipe, arguments.model)
    workflow = run.folder / WORKFLOW
    write_text(workflow, arguments.workflow.read_text(encoding="utf-8"))
    started = began(arguments.stages, run.summary["made"])
    write_json(arguments.output, run_crate(run, [*own, *arguments.files], workflow, started))


if __name__ == "__main__":
    entry(main)
