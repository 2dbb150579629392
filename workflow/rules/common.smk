"""The checked configuration of each experiment, and what the rules share."""

import json

from filelock import FileLock, Timeout
from snakemake.exceptions import WorkflowError

from qatflow.base.cli import print_anywhere
from qatflow.base.code_digest import code_files
from qatflow.config.load import OF_MODULE, load_experiments
from qatflow.config.results_owner import Origin, check_owner, record_owner
from qatflow.data.sources.source_files import named_files
from qatflow.base.errors import UserError
from qatflow.base.places import PROJECT, from_here
from qatflow.workflow import job_options


def check_use_as_module():
    """Refuse what a module of another workflow cannot be.

    Raises:
        UserError: it puts a prefix before paths, or the library of another checkout is loaded already.
    """
    paths = workflow.modifier.path_modifier
    if paths.prefix is not None or paths.modifies_prefixes:
        raise UserError(
            "module: qatflow keeps state beside its results, so `prefix` and `replace_prefix` cannot move them: leave"
            " them out, and name the results by `experiment`"
        )
    if PROJECT != ROOT:
        raise UserError(
            f"module: the library of {PROJECT} is loaded already, and this is {ROOT}: use one checkout in a workflow"
        )


def limit_devices():
    """Let one job at a time have a device or the GPUs of this machine, where no profile says so."""
    for name in ("adb", "gpu") if RUNS_HERE else ("adb",):
        if name not in workflow.global_resources:
            workflow.register_resource(name, 1)


RUNS_HERE = workflow.global_resources["_nodes"].value is None
IS_MODULE = not workflow.modifier.is_main_snakefile()
# A module that says `config:` has its settings from the outer workflow, and those alone.
IS_GIVEN_CONFIG = IS_MODULE and workflow.modifier.skip_configfile
FILES = [Path(file) for file in workflow.overwrite_configfiles]
# The embedded default, and behind it the working folder's own, where Snakemake is started elsewhere.
READ_FIRST = [from_here(ROOT / "config/config.yaml")]
if not IS_GIVEN_CONFIG and Path("config/config.yaml").is_file():
    READ_FIRST = list(dict.fromkeys([*READ_FIRST, Path("config/config.yaml")]))
ORIGIN = Origin.of(FILES, Path(workflow.main_snakefile) if IS_GIVEN_CONFIG else None)

print_anywhere()
try:
    check_use_as_module()
    EXPERIMENTS = (
        load_experiments(READ_FIRST, config, OF_MODULE)
        if IS_GIVEN_CONFIG
        else load_experiments([*READ_FIRST, *FILES], workflow.config_settings.config)
    )
    for experiment in EXPERIMENTS.values():
        check_owner(experiment, ORIGIN, READ_FIRST)
except UserError as error:
    hint = (
        "\nThe outer workflow's own keys have no place there: give the module a section of its own, as"
        " config: config['qatflow']"
    )
    of_outer = IS_MODULE and "unknown key" in str(error)
    sys.exit(f"error: {error}{hint if of_outer else ''}")

limit_devices()

CONFIGS = {name: experiment.config for name, experiment in EXPERIMENTS.items()}
COMPRESS = {name: experiment.compress for name, experiment in EXPERIMENTS.items()}
LIBRARY = "build.lite.{target}.{toolchain}/inference_lite_lib.{target}"


def demo_sources():
    """Return the files of the C++ demo."""
    folder = ROOT / "demo/cxx/mobile_light"
    return sorted(str(from_here(path)) for path in folder.rglob("*") if path.is_file())


def program(name):
    """Return the script of a rule, and the project's own modules that it imports with their data files."""
    script = ROOT / f"workflow/scripts/{name}.py"
    modules = [str(from_here(path)) for path in code_files(script)]
    return {"script": str(from_here(script)), "modules": modules}


# Snakemake's own lock outlives a kill and then refuses to start (the profile turns it off); this one does not.
# One object a process: an outer workflow may use this one several times.
RUN_LOCK = FileLock(os.path.abspath(".snakemake/run.lock"), is_singleton=True)


def lock_folder():
    """Let no second run work in this folder at the same time."""
    try:
        RUN_LOCK.acquire(timeout=0)
    except Timeout:
        sys.exit(f"error: another run works in {os.getcwd()}: wait for it, or end it")


def own_name(job):
    """Return what a job's rule is called here; an outer workflow may give it another name, and has some of its own."""
    looked_for = (
        "run_on_device",
        "measure_latency",
        "build_mobile_light",
        "make_report",
    )
    return {getattr(rules, name).rule.name: name for name in looked_for}.get(
        job.rule.name
    )


def all_cores():
    """Return the cores of the run; 1 where none are given, as for --rulegraph."""
    try:
        return workflow.cores
    except WorkflowError:
        return 1


def check_tools(jobs):
    """End the run at once when a tool is missing that one of its jobs will need."""
    from qatflow.device.build.build import check_build
    from qatflow.device.interface import DeviceSettings
    from qatflow.device.run.registry import check_device

    jobs = list(jobs)
    device_for = {"run_on_device": device_of, "measure_latency": first_device}
    needed = [
        device_for[name](job.wildcards)
        for job in jobs
        if (name := own_name(job)) in device_for
    ]
    try:
        for job in jobs:
            if own_name(job) == "build_mobile_light":
                target, toolchain = job.wildcards.target, job.wildcards.toolchain
                check_build(target, toolchain, DEMOS[target, toolchain].aar)
        for settings in dict.fromkeys(map(DeviceSettings.of, needed)):
            check_device(settings)
    except UserError as error:
        sys.exit(f"error: {error}")


def record_owners():
    """Note which configuration files the results are made with from now on."""
    for config in CONFIGS.values():
        record_owner(config, ORIGIN)


def look_for_jobs_at_events_alone():
    """Drop Snakemake's default limit of 100 job starts a second: it needs timers that wake the scheduler every second.

    Each finished job adds one that goes on for as long as jobs wait for a core, and the exit waits for the last.
    """
    limiter = workflow.scheduler.job_rate_limiter
    if RUNS_HERE and limiter and (limiter.max_jobs, limiter.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


def begin(jobs):
    """Do what comes before the first job of a run."""
    look_for_jobs_at_events_alone()
    lock_folder()
    record_owners()
    check_tools(jobs)
    prepare_for_interrupt()


def join_outer_workflow():
    """Begin and end an outer workflow's runs as our own: Snakemake calls no handler of a module."""
    own = {
        "onstart": lambda: begin(workflow.dag.needrun_jobs()),
        "onsuccess": lambda: show_summaries(workflow.dag.jobs),
    }
    for name, ours in own.items():
        put_before(ours, name)


def put_before(ours, name):
    """Call `ours` ahead of the outer workflow's handler, be it there already or still to come."""
    register = getattr(workflow, name)

    def both(theirs):
        def handler(log):
            ours()
            theirs(log)

        return handler

    setattr(workflow, f"_{name}", both(getattr(workflow, f"_{name}")))
    setattr(workflow, name, lambda theirs: register(both(theirs)))


def show_summaries(jobs):
    """Print what the preparation of the pictures warns of, and the table of each report that is part of the run."""
    for job in jobs:
        if own_name(job) == "prepare_data" and Path(job.log[0]).is_file():
            lines = Path(job.log[0]).read_text(encoding="utf-8").splitlines()
            for line in lines:
                if line.startswith("warning: "):
                    print(f"{job.wildcards.dataset}: {line}", flush=True)
        if own_name(job) == "make_report":
            folder = Path(job.output.summary).parent / "report"
            print(f"\n{(folder / 'summary.txt').read_text(encoding='utf-8')}")
            print(f"report: {folder / 'report.html'}", flush=True)
