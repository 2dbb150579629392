"""A run from its beginning to its end, with a stand-in for Snakemake's workflow."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.config.load import load_experiments
from qatflow.device.build import build
from qatflow.device.run import registry
from qatflow.workflow.plan import Plan
from qatflow.workflow.session import NAMED_RULES, Run, Session, running_jobs

NAMES = {f"qat_{name}": name for name in NAMED_RULES}


def workflow(*, module: bool = False, configured: bool = False, nodes: int | None = None, **more: Any) -> Any:
    paths = SimpleNamespace(prefix=None, modifies_prefixes=False)
    modifier = SimpleNamespace(path_modifier=paths, skip_configfile=configured, is_main_snakefile=lambda: not module)
    given: dict[str, Any] = {
        "modifier": modifier,
        "global_resources": {"_nodes": SimpleNamespace(value=nodes)},
        "overwrite_configfiles": [],
        "config_settings": SimpleNamespace(config={}),
        "main_snakefile": "Snakefile",
        "is_main_process": True,
        "logger_manager": SimpleNamespace(queue_listener=None),
    }
    return SimpleNamespace(**(given | more))


def job(rule: str, log: Path | None = None, output: Any = None, **wildcards: str) -> Any:
    class Wildcards(SimpleNamespace):
        def keys(self) -> list[str]:
            return list(wildcards)

        def __getitem__(self, name: str) -> str:
            return wildcards[name]

        def __iter__(self) -> Any:
            return iter(wildcards.values())

    return SimpleNamespace(
        rule=SimpleNamespace(name=rule), log=[str(log)] if log else [], output=output,
        wildcards=Wildcards(**wildcards), is_group=lambda: False,
    )  # fmt: skip


def run_of(session: Session, **settings: Any) -> Run:
    plan = Plan.of(load_experiments([ROOT / "config/config.yaml", ROOT / "config/test.yaml"], settings))
    return Run(session, plan, lambda: NAMES)


def test_the_default_is_read_first_then_the_working_folder_s_own_then_the_files_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("experiment: mine\nmethod: ptq\n")
    session = Session.of(workflow(overwrite_configfiles=["mine.yaml"]), ROOT, {})
    assert session.default_files == [ROOT / "config/config.yaml"]
    assert list(session.plan().experiments) == ["mine"] and session.plan().method_of("mine") == "ptq"
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("method: auto\nexperiment: own\n")
    assert session.default_files == [ROOT / "config/config.yaml", Path("config/config.yaml")]
    assert Session.of(workflow(), ROOT, {}).plan().method_of("own") == "auto"
    monkeypatch.chdir(ROOT)
    assert session.default_files == [Path("config/config.yaml")]


def test_a_module_s_settings_are_those_of_the_outer_workflow_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("nonsense: 1\n")
    session = Session.of(workflow(module=True, configured=True), ROOT, {"experiment": "outer"})
    assert list(session.plan().experiments) == ["outer"]
    assert session.origin.outer == "Snakefile"
    not_given = Session.of(workflow(module=True), ROOT, {"experiment": "outer"})
    with pytest.raises(SystemExit, match="unknown key"):
        not_given.plan()


def test_problems_of_the_configuration_end_the_run_in_one_message(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        Session.of(workflow(module=True, configured=True), ROOT, {"mine": 1}).plan()
    assert str(ended.value).startswith("error: ") and "config: config['qatflow']" in str(ended.value)
    for paths in ({"prefix": "x", "modifies_prefixes": False}, {"prefix": None, "modifies_prefixes": True}):
        moved = workflow(module=True)
        moved.modifier.path_modifier = SimpleNamespace(**paths)
        with pytest.raises(SystemExit, match="`prefix` and `replace_prefix` cannot move them"):
            Session.of(moved, ROOT, {}).plan()
    with pytest.raises(SystemExit, match="use one checkout in a workflow"):
        Session.of(workflow(), tmp_path, {}).plan()


def test_one_job_at_a_time_has_a_device_and_here_the_gpus(tmp_path):
    for nodes, given, limited in ((None, {}, ["adb", "gpu"]), (4, {}, ["adb"]), (None, {"gpu": 2}, ["adb"])):
        registered: dict[str, int] = {}
        snakemake = workflow(nodes=nodes, register_resource=registered.__setitem__)
        snakemake.global_resources |= given
        session = Session.of(snakemake, ROOT, {})
        session.limit_devices()
        assert registered == dict.fromkeys(limited, 1)
        assert session.runs_here == (nodes is None)


def test_a_rule_s_inputs_are_its_script_and_the_modules_that_it_imports(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    inputs = Session.of(workflow(), ROOT, {}).program("export")
    assert inputs["script"] == "workflow/scripts/export.py"
    assert "src/qatflow/export/export.py" in inputs["modules"]
    monkeypatch.chdir(tmp_path)
    assert Session.of(workflow(), ROOT, {}).program("export")["script"] == str(ROOT / "workflow/scripts/export.py")
    sources = Session.of(workflow(), ROOT, {}).demo_sources()
    assert str(ROOT / "demo/cxx/mobile_light/CMakeLists.txt") in sources and sources == sorted(sources)


def test_at_the_end_are_warnings_the_verdict_and_the_table_or_the_comparison_of_several(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prepare.log").write_text("2 classes\nwarning: one picture\nwarning: no label\n")
    (tmp_path / "r/report").mkdir(parents=True)
    (tmp_path / "r/report/summary.txt").write_text("the table\n")
    (tmp_path / "r/summary.json").write_text('{"experiment": "a", "verdict": {"sentence": "int8 ships."}}')
    jobs = [
        job("qat_prepare_data", Path("prepare.log"), dataset="d"),
        job("qat_make_report", output=SimpleNamespace(summary="r/summary.json"), experiment="a"),
        job("make_report", output=SimpleNamespace(summary="nowhere"), experiment="of the outer workflow"),
        job("qat_prepare_data", Path("gone.log"), dataset="e"),
    ]
    run_of(Session.of(workflow(dag=SimpleNamespace(jobs=jobs)), ROOT, {})).end()
    assert capsys.readouterr().out == (
        "d: warning: one picture\nd: warning: no label\n\na: int8 ships.\n\nthe table\n\nreport: r/report/report.html\n"
    )
    (tmp_path / "c.txt").write_text("a beside b\n")
    jobs.append(job("qat_compare_experiments", output=SimpleNamespace(text="c.txt")))
    run_of(Session.of(workflow(dag=SimpleNamespace(jobs=jobs)), ROOT, {})).end()
    assert capsys.readouterr().out.partition("no label\n")[2] == (
        "\na: int8 ships.\n\nthe table\n\n\na beside b\n\nreport: r/report/report.html\ncomparison: comparison.html\n"
    )
    (tmp_path / "s").mkdir()
    (tmp_path / "s/summary.json").write_text('{"experiment": "b", "verdict": {"sentence": "it does not."}}')
    jobs.append(job("qat_make_report", output=SimpleNamespace(summary="s/summary.json"), experiment="b"))
    run_of(Session.of(workflow(dag=SimpleNamespace(jobs=jobs)), ROOT, {})).end()
    assert capsys.readouterr().out.partition("no label\n")[2] == (
        "\na: int8 ships.\n\nb: it does not.\n\na beside b\n\n"
        "report: r/report/report.html\nreport: s/report/report.html\ncomparison: comparison.html\n"
    )


def test_a_missing_tool_ends_the_run_before_the_first_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen: list[Any] = []
    monkeypatch.setattr(build, "check_build", lambda *target: seen.append(target))
    monkeypatch.setattr(registry, "check_device", lambda settings: seen.append(settings.name))
    run = run_of(Session.of(workflow(), ROOT, {}), devices=[{"name": "one"}, {"name": "two"}])
    jobs = [
        job("qat_build_mobile_light", target="android.armv8", toolchain="gcc"),
        *[job("qat_run_on_device", experiment="digits_quant", device=name) for name in ("two", "two")],
        job("qat_measure_latency", experiment="digits_quant"),
        job("run_on_device", experiment="x", device="of the outer workflow"),
    ]
    run.check_tools(jobs)
    assert seen == [("android.armv8", "gcc", None), "two", "one"]

    def missing(*_: object) -> None:
        raise UserError("no compiler")

    monkeypatch.setattr(build, "check_build", missing)
    with pytest.raises(SystemExit, match="error: no compiler"):
        run.check_tools(jobs)


def test_a_run_holds_the_lock_of_its_folder_and_notes_the_owner_of_the_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    (tmp_path / "mine.yaml").write_text("experiment: mine\n")
    handlers: dict[int, Any] = {}
    monkeypatch.setattr("signal.signal", handlers.__setitem__)
    snakemake = workflow(overwrite_configfiles=["mine.yaml"], dag=SimpleNamespace(needrun_jobs=list))
    limiter = SimpleNamespace(max_jobs=100, timespan=1)
    snakemake.scheduler = SimpleNamespace(job_rate_limiter=limiter)
    run = run_of(Session.of(snakemake, ROOT, {}))
    run.begin()
    assert snakemake.scheduler.job_rate_limiter is None
    assert run.lock.is_locked and len(handlers) == 1
    assert json.loads((tmp_path / "results/digits_quant/.configfiles.json").read_text()) == ["mine.yaml"]
    program = (
        "import sys; from filelock import FileLock, Timeout\n"
        "try: FileLock(sys.argv[1]).acquire(timeout=0)\nexcept Timeout: sys.exit(3)"
    )
    held = subprocess.run([sys.executable, "-c", program, str(tmp_path / ".snakemake/run.lock")], check=False)
    assert held.returncode == 3
    run.lock.release()


def test_an_outer_workflow_s_handlers_run_after_ours_whenever_they_are_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    order: list[str] = []

    class Outer(SimpleNamespace):
        def onstart(self, handler: Any) -> None:
            self._onstart = handler

        def onsuccess(self, handler: Any) -> None:
            self._onsuccess = handler

    modifier = workflow(module=True).modifier
    outer = Outer(modifier=modifier, _onstart=lambda log: order.append("early start"), _onsuccess=lambda log: None)
    run = run_of(Session.of(outer, ROOT, {}))
    monkeypatch.setattr(Run, "begin", lambda self: order.append("begin"))
    monkeypatch.setattr(Run, "end", lambda self: order.append("end"))
    run.join_outer_workflow()
    outer._onstart(None)
    outer.onsuccess(lambda log: order.append("late success"))
    outer._onsuccess(None)
    assert order == ["begin", "early start", "end", "late success"]


def test_running_jobs_are_named_by_rule_and_wildcards_those_of_a_group_one_by_one():
    train, plot = job("train_int8", Path("t.log"), experiment="a"), job("all")
    group = SimpleNamespace(is_group=lambda: True, jobs=[train])
    assert running_jobs([group, plot]) == {"train_int8 (a)": Path("t.log"), "all ()": None}


def test_a_limit_of_job_starts_is_dropped_only_where_it_is_snakemake_s_default_and_jobs_run_here():
    for nodes, limit, kept in ((None, (100, 1), False), (None, (10, 1), True), (4, (100, 1), True), (None, None, True)):
        limiter = limit and SimpleNamespace(max_jobs=limit[0], timespan=limit[1])
        snakemake = workflow(nodes=nodes, scheduler=SimpleNamespace(job_rate_limiter=limiter))
        Session.of(snakemake, ROOT, {}).schedule_at_events_alone()
        assert (snakemake.scheduler.job_rate_limiter is limiter) == kept
