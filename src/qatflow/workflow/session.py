"""A run of Snakemake: its settings, lock, tools, Ctrl-C and summaries; also as a module of another workflow."""

import atexit
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout
from snakemake.exceptions import WorkflowError

from qatflow.base.code_digest import code_files
from qatflow.base.errors import UserError
from qatflow.base.places import IN_CHECKOUT, PROJECT, from_here
from qatflow.config.load import OF_MODULE, Experiment, load_experiments
from qatflow.config.results_owner import Origin, check_owner, record_owner
from qatflow.workflow.announcement import announce, settle
from qatflow.workflow.closing import results
from qatflow.workflow.container import image
from qatflow.workflow.interrupted import goes_on
from qatflow.workflow.options import default_files
from qatflow.workflow.output_folders import check_folders, check_writable
from qatflow.workflow.plan import Plan
from qatflow.workflow.planned import check_planned, record_planned
from qatflow.workflow.targets import asked_for, is_made, unknown_target

RUN_LOCK = ".snakemake/run.lock"
"""Snakemake's own lock outlives a kill and then refuses to start (the profile turns it off); this one does not."""
NAMED_RULES = (
    "prepare_data",
    "run_on_device",
    "measure_latency",
    "build_mobile_light",
    "make_report",
    "compare_experiments",
)
"""The rules whose jobs a run looks for."""


@dataclass(frozen=True)
class Session:
    """What Snakemake is started with.

    Attributes:
        workflow: Snakemake's Workflow.
        root: the folder of this project.
        settings: the values that Snakemake's `config` has: those of an outer workflow's `config:`, where that has one.
        is_module: whether another workflow uses this one.
        is_configured_by_module: whether the settings are those that an outer workflow gives, and those alone.
    """

    workflow: Any
    root: Path
    settings: Mapping[str, Any]
    is_module: bool
    is_configured_by_module: bool

    @classmethod
    def of(cls, workflow: Any, root: Path, settings: Mapping[str, Any]) -> "Session":
        """Return the session, from within the Snakefile: later, Snakemake's modifier is the outer workflow's."""
        is_module = not workflow.modifier.is_main_snakefile()
        return cls(workflow, root, settings, is_module, is_module and bool(workflow.modifier.skip_configfile))

    @property
    def runs_here(self) -> bool:
        """Whether this machine runs all jobs, and no cluster."""
        return self.workflow.global_resources["_nodes"].value is None

    @property
    def cores(self) -> int:
        """The cores of the run; 1 where none are given, as for --rulegraph."""
        try:
            return int(self.workflow.cores)
        except WorkflowError:
            return 1

    @property
    def files(self) -> list[Path]:
        """The files of `--configfile`."""
        return [Path(file) for file in self.workflow.overwrite_configfiles]

    @property
    def default_files(self) -> list[Path]:
        """The files that are read first: the project's default, and the working folder's own where that is another."""
        return default_files(self.root, with_own=not self.is_configured_by_module)

    @property
    def origin(self) -> Origin:
        """What the run has its configuration from."""
        outer = Path(self.workflow.main_snakefile) if self.is_configured_by_module else None
        return Origin.of(self.files, outer)

    def image(self) -> str | None:
        """Return the image that rules run in; None unless `--sdm apptainer` asks for it. A problem ends the run."""
        try:
            return image(method.name.lower() for method in self.workflow.deployment_settings.deployment_method)
        except UserError as error:
            sys.exit(f"error: {error}")

    def plan(self) -> Plan:
        """Read and check the configuration and return what the run makes; a problem ends it with a message."""
        try:
            self._check_use_as_module()
            self._check_environments()
            experiments = self._experiments()
            check_folders([experiment.config for experiment in experiments.values()])
            for experiment in experiments.values():
                check_owner(experiment, self.origin, self.default_files)
            if not self.workflow.is_main_process:
                check_planned(experiments)
            return Plan.of(experiments)
        except UserError as error:
            hint = (
                "\nThe outer workflow's own keys have no place there: give the module a section of its own, as"
                " config: config['qatflow']"
            )
            of_outer = self.is_module and "unknown key" in str(error)
            sys.exit(f"error: {error}{hint if of_outer else ''}")

    def _experiments(self) -> dict[str, Experiment]:
        if self.is_configured_by_module:
            return load_experiments(self.default_files, self.settings, OF_MODULE)
        return load_experiments([*self.default_files, *self.files], self.workflow.config_settings.config)

    def _check_use_as_module(self) -> None:
        paths = self.workflow.modifier.path_modifier
        if paths.prefix is not None or paths.modifies_prefixes:
            raise UserError(
                "module: qatflow keeps state beside its results, so `prefix` and `replace_prefix` cannot move them:"
                " leave them out, and name the results by `experiment`"
            )
        if self.root != PROJECT:
            raise UserError(
                f"module: the library of {PROJECT} is loaded already, and this is {self.root}: use one checkout in a"
                " workflow"
            )

    def _check_environments(self) -> None:
        if not IN_CHECKOUT and self.workflow.deployment_settings.deployment_method:
            raise UserError(
                "--sdm: environments of their own, by conda or containers, do not have the library that is installed"
                " from the wheel: use a checkout, or leave --sdm out"
            )

    def program(self, name: str) -> dict[str, str | list[str]]:
        """Return inputs of a rule: its script, and the project's own modules that it imports with their data files."""
        script = self.root / f"workflow/scripts/{name}.py"
        modules = [str(from_here(path)) for path in code_files(script)]
        return {"script": str(from_here(script)), "modules": modules}

    def demo_sources(self) -> list[str]:
        """Return the files of the C++ demo."""
        folder = self.root / "demo/cxx/mobile_light"
        return sorted(str(from_here(path)) for path in folder.rglob("*") if path.is_file())

    def limit_devices(self) -> None:
        """Let one job at a time have a device or the GPUs of this machine, where no profile says so."""
        for name in ("adb", "gpu") if self.runs_here else ("adb",):
            if name not in self.workflow.global_resources:
                self.workflow.register_resource(name, 1)

    def schedule_at_events_alone(self) -> None:
        """Drop Snakemake's default limit of 100 job starts a second, whose timers wake the scheduler every second.

        Each finished job adds one that goes on for as long as jobs wait for a core, and the exit waits for the last.
        """
        limiter = self.workflow.scheduler.job_rate_limiter
        if self.runs_here and limiter and (limiter.max_jobs, limiter.timespan) == (100, 1):
            self.workflow.scheduler.job_rate_limiter = None

    def announce(self) -> None:
        """Let the logger `qatflow` say what the run will do."""
        if self.workflow.is_main_process:
            announce(self.workflow, self.cores if self.runs_here else None)

    def check_targets(self, experiments: Iterable[str]) -> None:
        """End the run where a target is nothing that can be made. By now everything that can be made is known."""
        workflow = self.workflow
        included = len(workflow.included_stack) > 1
        stored = workflow.storage_settings.default_storage_provider
        if included or stored or not workflow.is_main_process:
            return
        for target in asked_for(sys.argv):
            if not is_made(target, workflow):
                names = [rule.name for rule in workflow.rules if not rule.has_wildcards()]
                sys.exit(f"error: {unknown_target(target, names, list(experiments))}")


def _run_lock() -> FileLock:
    return FileLock(Path(RUN_LOCK).absolute(), is_singleton=True)


@dataclass(frozen=True)
class Run:
    """What a run does before its first job and after its last.

    Attributes:
        session: what it is started with.
        plan: what it makes.
        own_names: returns our names of rules by those that they have in this run: an outer workflow may give them
            others, and has rules of its own. All of `NAMED_RULES` are there once the rules are read.
        lock: lets no second run work in this folder at the same time. One a process, however often an outer workflow
            uses this one.
    """

    session: Session
    plan: Plan
    own_names: Callable[[], Mapping[str, str]]
    lock: FileLock = field(default_factory=_run_lock)

    def begin(self) -> None:
        """Do what comes before the first job.

        Raises:
            SystemExit: a folder cannot be written to, another run works in this one, or a tool is missing.
        """
        self.session.schedule_at_events_alone()
        jobs = list(self.session.workflow.dag.needrun_jobs())
        try:
            check_writable(Path(file) for job in jobs for file in (*(job.output or ()), *job.log))
        except UserError as error:
            sys.exit(f"error: {error}")
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            sys.exit(f"error: another run works in {Path.cwd()}: wait for it, or end it")
        for experiment in self.plan.experiments.values():
            record_owner(experiment.config, self.session.origin)
        record_planned(self.plan.experiments)
        self.check_tools(jobs)
        self._prepare_for_interrupt()

    def end(self) -> None:
        """Print what the preparation of the pictures warns of, and what the experiments come to."""
        settle(self.session.workflow)
        print(results(self.session.workflow.dag.jobs, self.own_names()), end="", flush=True)

    def check_tools(self, jobs: Iterable[Any]) -> None:
        """End the run at once where a tool is missing that one of its jobs will need."""
        from qatflow.device.build.build import check_build
        from qatflow.device.run.registry import check_device, device_settings

        names, needed = self.own_names(), []
        try:
            for job in jobs:
                name = names.get(job.rule.name)
                if name == "build_mobile_light":
                    target, toolchain = job.wildcards.target, job.wildcards.toolchain
                    check_build(target, toolchain, self.plan.demos[target, toolchain].aar)
                elif name == "run_on_device":
                    needed.append(self.plan.device_of(job.wildcards))
                elif name == "measure_latency":
                    needed.append(self.plan.first_device(job.wildcards))
            for settings in dict.fromkeys(map(device_settings, needed)):
                check_device(settings)
        except UserError as error:
            sys.exit(f"error: {error}")

    def join_outer_workflow(self) -> None:
        """Begin and end an outer workflow's runs as our own: Snakemake calls no handler of a module."""
        _put_before(self.session.workflow, "onstart", self.begin)
        _put_before(self.session.workflow, "onsuccess", self.end)

    def _prepare_for_interrupt(self) -> None:
        """At the first Ctrl-C note what runs; the line is printed at exit, when trainings have saved their states."""
        before = signal.getsignal(signal.SIGINT)
        if not callable(before):
            return  # a shell that started the run in the background has it ignored

        def interrupted(number: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGINT, before)
            atexit.register(_say_that_it_goes_on, running_jobs(self.session.workflow.scheduler.running))
            before(number, frame)

        signal.signal(signal.SIGINT, interrupted)


def running_jobs(running: Iterable[Any]) -> dict[str, Path | None]:
    """Return the log of each of Snakemake's running jobs, by its rule and wildcards; None where it has none."""
    jobs = [job for one in running for job in (one.jobs if one.is_group() else [one])]
    return {f"{job.rule.name} ({', '.join(job.wildcards)})": Path(job.log[0]) if job.log else None for job in jobs}


def _say_that_it_goes_on(stopped: Mapping[str, Path | None]) -> None:
    print(goes_on(stopped), file=sys.stderr, flush=True)


def _put_before(workflow: Any, name: str, ours: Callable[[], None]) -> None:
    """Call `ours` ahead of the outer workflow's handler, be it there already or still to come."""
    register = getattr(workflow, name)

    def both(theirs: Callable[[Any], None]) -> Callable[[Any], None]:
        def handler(log: Any) -> None:
            ours()
            theirs(log)

        return handler

    setattr(workflow, f"_{name}", both(getattr(workflow, f"_{name}")))
    setattr(workflow, name, lambda theirs: register(both(theirs)))
