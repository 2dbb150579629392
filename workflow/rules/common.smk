"""The checked configuration of each experiment, and what the rules share."""

import json

from filelock import FileLock, Timeout
from snakemake.exceptions import WorkflowError

from qatflow.cli import print_anywhere
from qatflow.code_digest import imported_modules
from qatflow.config.flags import flags
from qatflow.config.load import load_experiments
from qatflow.config.model import BUILD_KEYS, LATENCY_KEYS, STATE_KEYS
from qatflow.config.owner import check_owner, record_owner
from qatflow.config.resolved import resolved
from qatflow.config.written import as_written
from qatflow.data.source_files import named_files
from qatflow.errors import UserError

DEFAULT = [Path("config/config.yaml")]
FILES = [Path(file) for file in workflow.overwrite_configfiles]

print_anywhere()
try:
    EXPERIMENTS = load_experiments([*DEFAULT, *FILES], workflow.config_settings.config)
    for experiment in EXPERIMENTS.values():
        check_owner(experiment, FILES, DEFAULT)
except UserError as error:
    sys.exit(f"error: {error}")

CONFIGS = {name: experiment.config for name, experiment in EXPERIMENTS.items()}
COMPRESS = {name: experiment.compress for name, experiment in EXPERIMENTS.items()}
LIBRARY = "build.lite.{target}.{toolchain}/inference_lite_lib.{target}"


def demo_sources():
    """Return the files of the C++ demo."""
    folder = Path("demo/cxx/mobile_light")
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def program(name):
    """Return the script of a rule and the project's own modules that it imports."""
    script = f"workflow/scripts/{name}.py"
    modules = [os.path.relpath(path) for path in imported_modules(ROOT / script)]
    return {"script": script, "modules": modules}


# Snakemake's own lock outlives a kill and then refuses to start (the profile turns it off); this one does not.
RUN_LOCK = FileLock(".snakemake/run.lock")


def lock_folder():
    """Let no second run work in this folder at the same time."""
    try:
        RUN_LOCK.acquire(timeout=0)
    except Timeout:
        sys.exit(f"error: another run works in {os.getcwd()}: wait for it, or end it")


def all_cores():
    """Return the cores of the run; 1 where none are given, as for --rulegraph."""
    try:
        return workflow.cores
    except WorkflowError:
        return 1


def check_tools(jobs):
    """End the run at once when a tool is missing that one of its jobs will need."""
    from qatflow.device.check import check_build, check_device
    from qatflow.device.interface import DeviceSettings

    jobs = list(jobs)
    device_for = {"run_on_device": device_of, "measure_latency": first_device}
    needed = [
        device_for[job.rule.name](job.wildcards)
        for job in jobs
        if job.rule.name in device_for
    ]
    try:
        for job in jobs:
            if job.rule.name == "build_mobile_light":
                target, toolchain = job.wildcards.target, job.wildcards.toolchain
                check_build(target, toolchain, DEMOS[target, toolchain].aar)
        for type, name, serial, cpu, target in {
            (d.type, d.name, d.serial, d.cpu, d.target) for d in needed
        }:
            check_device(DeviceSettings(type, name, serial, cpu, target=target))
    except UserError as error:
        sys.exit(f"error: {error}")


def record_owners():
    """Note which configuration files the results are made with from now on."""
    for config in CONFIGS.values():
        record_owner(config, FILES)


def show_summaries(jobs):
    """Print the table of each experiment whose report is part of the run."""
    for job in jobs:
        if job.rule.name == "make_report":
            folder = Path(job.output.summary).parent / "report"
            print(f"\n{(folder / 'summary.txt').read_text(encoding='utf-8')}")
            print(f"report: {folder / 'report.html'}", flush=True)
