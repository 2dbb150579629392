"""What the workflow itself costs: planning many experiments, and a run's wall time over its jobs' own work.

    python benchmarks/overheads.py > benchmarks/overheads.md

The plans are those of config/test.yaml with seeds as experiments. For the plan of a finished run, the outputs are empty
files that `--touch` marks as made, with all metadata that Snakemake keeps of a job. The run is a real one.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from heading import heading
from qatflow.base.cli import entry

ROOT = Path(__file__).parent.parent
AIMS = {1: 4.0, 20: 6.0, 200: 20.0}
WALL_OVER_WORK = 1.10
WITH_TENSORFLOW = {"make_pretrained", "train_int8", "evaluate_fake_quant"}
"""Programs that train, or run the trained graph in Keras."""
SMALL = ("--configfile", "config/test.yaml")
SHIM = """\
#!{shell}
# records how long a job's program took, and whether it loaded TensorFlow
began=$(date +%s.%N)
{python} -X importtime "$@" 2>"$QATFLOW_NOTES/$$.imports"
status=$?
ended=$(date +%s.%N)
grep -v '^import time:' "$QATFLOW_NOTES/$$.imports" >&2
loaded=$(grep -c '| *tensorflow$' "$QATFLOW_NOTES/$$.imports")
printf '%s\\t%s\\t%s\\t%s\\n' "$began" "$ended" "$loaded" "$1" >>"$QATFLOW_NOTES/jobs"
exit $status
"""


def checkout(folder: Path) -> None:
    """Copy the files tracked by git into `folder`."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


def snakemake(folder: Path, *arguments: str, **environment: str) -> tuple[float, str]:
    """Run Snakemake; return its seconds and its output.

    Raises:
        subprocess.CalledProcessError: it fails.
    """
    began = time.monotonic()
    answer = subprocess.run(
        ["snakemake", *arguments],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
    )
    return time.monotonic() - began, answer.stdout


def planning(count: int, repeats: int) -> tuple[float, float, int]:
    """Return the seconds of planning with everything and with nothing to do (best of `repeats`), and the job count."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkout(folder)
        seeds = ", ".join(map(str, range(1, count + 1)))
        (folder / "many.yaml").write_text(f"experiments: {{many: {{seed: [{seeds}]}}}}\n")
        files = (*SMALL, "many.yaml")
        runs = [snakemake(folder, "-n", "all", *files) for _ in range(repeats)]
        (jobs,) = re.findall(r"^total +(\d+)$", runs[0][1].split("Reasons:")[-2], re.MULTILINE)[-1:]
        for line in re.findall(r"^    output: (.*)$", runs[0][1], re.MULTILINE):
            for path in re.sub(r" \(\w+\)", "", line).split(", "):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).touch()
        snakemake(folder, "--cores", "1", "--touch", "all", *files)
        nothing = [snakemake(folder, "--cores", "1", "all", *files) for _ in range(repeats)]
        assert "Nothing to be done" in nothing[0][1], nothing[0][1]
        return min(run[0] for run in runs), min(run[0] for run in nothing), int(jobs)


def run(arguments: Sequence[str]) -> tuple[float, list[tuple[str, float, bool]]]:
    """Run the workflow on one core; return its wall time, and name, seconds and use of TensorFlow of each program."""
    with tempfile.TemporaryDirectory() as name:
        folder, notes, programs = (Path(name) / part for part in ("project", "notes", "programs"))
        for path in (folder, notes, programs):
            path.mkdir()
        checkout(folder)
        shim = programs / "python"
        shim.write_text(SHIM.format(shell="/bin/bash", python=sys.executable))
        shim.chmod(0o755)
        search = f"{programs}{os.pathsep}{os.environ['PATH']}"
        wall, _ = snakemake(folder, "--cores", "1", "all", *arguments, PATH=search, QATFLOW_NOTES=str(notes))
        jobs = []
        for line in (notes / "jobs").read_text().splitlines():
            began, ended, loaded, script = line.split("\t")
            jobs.append((Path(script).stem, float(ended) - float(began), int(loaded) > 0))
        return wall, jobs


def page(plans: dict[int, tuple[float, float, int]], wall: float, jobs: list[tuple[str, float, bool]], of: str) -> str:
    """Return the tables in Markdown, and whether the aims are met."""
    lines = ["# What the workflow itself costs", "", *heading(), "", "## Planning", ""]
    lines += ["| experiments | jobs | dry run, s | nothing to do, s | aim, s | kept |", "|---|---|---|---|---|---|"]
    for count, (dry, nothing, number) in plans.items():
        kept = "yes" if max(dry, nothing) <= AIMS[count] else "no"
        lines.append(f"| {count} | {number:,} | {dry:.1f} | {nothing:.1f} | {AIMS[count]:g} | {kept} |")
    work = sum(seconds for _, seconds, _ in jobs)
    loaders = sorted(name for name, _, loaded in jobs if loaded)
    lines += ["", f"## A whole run on one core: {of}", ""]
    lines += ["| program | s | TensorFlow |", "|---|---|---|"]
    lines += [f"| {name} | {seconds:.1f} | {'loaded' if loaded else ''} |" for name, seconds, loaded in jobs]
    ratio = wall / work
    lines += [
        "",
        f"* wall time {wall:.1f} s over the programs' own {work:.1f} s: {ratio:.3f}; <= {WALL_OVER_WORK}: "
        f"{'yes' if ratio <= WALL_OVER_WORK else 'no'}",
        f"* processes that load TensorFlow: {len(loaders)} ({', '.join(loaders)})",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str]) -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each plan; the fastest counts")
    parser.add_argument("--small", action="store_true", help="run config/test.yaml instead of the default")
    arguments = parser.parse_args(argv)
    plans = {count: planning(count, arguments.repeats) for count in AIMS}
    print(json.dumps(plans), file=sys.stderr, flush=True)
    wall, jobs = run(SMALL if arguments.small else ())
    print(page(plans, wall, jobs, "config/test.yaml" if arguments.small else "the default configuration"))


if __name__ == "__main__":
    entry(main)
