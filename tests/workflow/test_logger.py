"""The logger `qatflow`, by real runs of Snakemake on a small Snakefile: with a terminal and without, failed, dry."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from helpers.workflow_helpers import Project
from qatflow.workflow.expected import wall_seconds
from qatflow.workflow.reasons import changed_settings, made
from snakemake_logger_plugin_qatflow import FAR_BACK
from snakemake_logger_plugin_qatflow.jobs import Job, duration, failure, message

SNAKEFILE = """\
import json
from qatflow.workflow.announcement import announce, settle
announce(workflow, 2)
onsuccess:
    settle(workflow)
    print("the verdict", flush=True)
rule all:
    input: "a.txt"
rule train:
    output: "a.txt"
    log: "logs/train.log"
    params: compress=json.dumps({"epochs": config.get("epochs", 3), "batch_size": 8, "momentum": 0.9})
    shell:
        "echo 'epoch 1, step 50/100, 50 % done, 00:07 left: loss 0.4213, top-1 87.5 %, 1,310 pictures/s' > {log};"
        " sleep 1.5; echo 'epoch 2 (int8): training loss 0.2, top-1 0.9; validation loss 0.3, top-1 0.9278' >> {log};"
        " touch {output}"
rule bad:
    output: "b.txt"
    log: "logs/bad.log"
    shell: "(echo 'reading'; printf 'error: my.yaml:3: no such thing:\\\\n  do this\\\\n') > {log}; exit 1"
rule killed:
    output: "c.txt"
    log: "logs/killed.log"
    shell: "echo 'at step 7' > {log}; kill -9 $$"
"""
RUN = ("snakemake", "--cores", "2", "--logger", "qatflow", "--logger-qatflow-every", "1", "--")
STEP = "epoch 1, step 50/100, 50 % done, 00:07 left: loss 0.4213, top-1 87.5 %, 1,310 pictures/s"

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("small")
    (folder / "Snakefile").write_text(SNAKEFILE)
    return Project(folder)


def on_a_terminal(project: Project, *command: str) -> str:
    """Return what a program writes to a terminal of 140 columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 140, 0, 0))
    process = project.start(*command, stdout=its, stderr=subprocess.STDOUT)
    os.close(its)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the program has ended
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait() == 0, written
    return written.decode()


def test_on_a_terminal_the_last_line_follows_the_log_and_the_results_come_last(project):
    written = on_a_terminal(project, *RUN, "all")
    assert f"\r[1/1] train: {STEP}\x1b[K" in written, "one line, written over"
    lines = [re.split(r"\r(?:\x1b\[K)?", line)[-1] for line in written.replace("\r\n", "\n").strip().split("\n")]
    plain = [re.sub(r"\x1b\[\d*[mK]", "", line) for line in lines]
    assert plain[0].startswith("1 job, about 2 s (an estimate")
    finished = next(line for line in plain if line.startswith("[1/1] train: ") and "validation" in line)
    assert re.fullmatch(r"\[1/1\] train: [0-9]+ s, validation top-1 92\.78 %", finished)
    assert plain[-1] == "the verdict" and re.fullmatch(r"1 job done in \d+ s", plain[-2])


def test_without_one_a_line_comes_now_and_then(project):
    answer = project.run("snakemake", "--forceall", *RUN[1:], "all")
    assert answer.returncode == 0 and answer.stdout == "the verdict\n"
    assert f"[1/1] train: {STEP}\n" in answer.stderr and "\r" not in answer.stderr and "\x1b" not in answer.stderr
    assert "about 2 s (an estimate from earlier runs)" in answer.stderr


def test_a_job_s_own_message_stands_alone_and_then_where_the_logs_are(project):
    answer = project.run(*RUN, "b.txt")
    lines = answer.stderr.splitlines()
    at = lines.index("error: my.yaml:3: no such thing:")
    assert lines[at + 1] == "  do this"
    assert re.fullmatch(r"  in bad, after \d+ s; the whole log: logs/bad.log", lines[at + 2])
    assert re.fullmatch(r"1 job failed, 0 done in \d+ s\. .* The log of the run: \S+\.snakemake\.log", lines[at + 3])
    assert answer.returncode == 1 and len(lines) == at + 4
    whole = Path(lines[at + 3].rpartition(" ")[2]).read_text()
    assert "CalledProcessError" in whole and "CalledProcessError" not in answer.stderr

    answer = project.run("snakemake", "--retries", "1", *RUN[1:], "c.txt")
    assert "\ntrying again: killed\n" in answer.stderr and "\n1 job failed, 0 done in " in answer.stderr
    assert (
        "error: killed ended with " in answer.stderr
        and "(killed, often for lack of memory)\n  | at step 7" in answer.stderr
    )


def test_a_dry_run_names_the_settings_that_changed_and_verbose_shows_all(project):
    (project.folder / "a.txt").touch()
    said = project.run(*RUN[:-1], "-n", "--config", "epochs=4", "--", "all")
    assert re.search(r"^train +\d s +a\.txt +settings changed: compress\.epochs$", said.stdout, re.MULTILINE), said
    assert "momentum" not in said.stdout and "\ntotal 1 job, about " in said.stdout
    said = project.run(*RUN[:-1], "-n", "--verbose", "--config", "epochs=4", "--", "all")
    assert "rule train:\n    output: a.txt" in said.stdout and '"momentum": 0.9' in said.stdout


def test_settings_are_compared_key_by_key_with_the_likest_of_before():
    params = {"compress": '{"a": {"b": 1, "c": 2}, "d": 3}', "seed": 2, "config": '{"x": 1, "y": 2}'}
    before = [repr('{"a": {"b": 1, "c": 9}, "e": 0}'), "1", repr('{"x": 5, "y": 2}')]
    now = [repr(params["compress"]), "2", repr(params["config"])]
    assert changed_settings(params, before, now) == ["compress.a.c", "compress.d", "compress.e", "seed", "x"]
    assert changed_settings({"seed": 2}, [], ["2"]) == ["seed"]
    params = {
        "keep_in_float": '{"keep_in_float": ["logits"]}',
        "settings": """--quantization '{"weight_bits": 4}' --ptq '{"rounding": "adaround", "tool": "qatflow"}'""",
        "latency": "--latency table.json",
    }
    before = [
        repr('{"keep_in_float": []}'),
        repr("""--quantization '{"weight_bits": 3}' --ptq '{"rounding": "nearest", "tool": "qatflow"}'"""),
    ]
    now = [repr(value) for value in params.values()]
    assert changed_settings(params, before, now) == [
        "latency", "model.keep_in_float", "ptq.rounding", "quantization.weight_bits",
    ]  # fmt: skip


def test_a_time_is_that_of_the_longest_chain_or_of_all_the_work_on_the_cores():
    jobs = {"a": [], "b": ["a"], "c": [], "d": []}
    seconds = {"a": 10.0, "b": 5.0, "c": 20.0, "d": 20.0}
    assert wall_seconds(jobs, seconds, dict.fromkeys(jobs, 1), None) == 20.0
    assert wall_seconds(jobs, seconds, dict.fromkeys(jobs, 1), 2) == 27.5  # 55 core seconds on two cores
    assert wall_seconds(jobs, seconds, {"a": 8, "b": 2, "c": 1, "d": 1}, 2) == 35.0  # (20 + 10 + 20 + 20) / 2


def test_words(tmp_path):
    assert [duration(seconds) for seconds in (0.2, 59.4, 60, 200, 3599, 4000)] == [
        "1 s", "59 s", "1 min", "3 min 20 s", "1 h 0 min", "1 h 7 min",
    ]  # fmt: skip
    assert made(["r/a/x", "r/a/y/z", "r/a/w"]) == "r/a/ (3 files)" and made(["x"]) == "x"
    log = tmp_path / "log"
    log.write_text("error: the first\nmore\nerror: the last\n  of it\n")
    assert message(["nowhere", str(log)]) == "error: the last\n  of it"
    assert failure(Job("j", []), [], "died with <Signals.SIGSEGV: 11>.").startswith(
        "error: j ended with SIGSEGV (crashed)"
    )


def test_a_job_of_a_cluster_waits_until_its_own_log_is_there(tmp_path):
    """What an earlier run has left is not its progress."""
    log = tmp_path / "train.log"
    log.write_text("epoch 7, step 3/9, 33 % done\n")
    os.utime(log, (1000, 1000))
    job = Job("train", [str(log)], queue="Slurm's job 12")
    job.look()
    assert job.status() == "train: Slurm's job 12 waits, 1 s"
    log.write_text("reading\nepoch 0, step 1/9, 11 % done\n")
    job.look()
    assert job.status() == "train: epoch 0, step 1/9, 11 % done" and job.queue == ""


GOES_ON = """\
rule all:
    input: expand("{number}.txt", number=range(config["more"]))
rule bad:
    output: "b.txt"
    log: "logs/bad.log"
    shell: "echo 'error: the gate is closed' > {log}; exit 1"
rule good:
    output: "{number}.txt"
    shell: "until [ -s logs/bad.log ]; do sleep 0.1; done; sleep 1; touch {output}"
"""


@pytest.mark.parametrize(("more", "said"), [(FAR_BACK, 1), (FAR_BACK + 1, 2)])
def test_an_error_is_said_again_at_the_end_only_where_it_is_far_back(tmp_path, more, said):
    (tmp_path / "Snakefile").write_text(GOES_ON)
    cores = str(more + 1)  # all at once: Snakemake starts nothing behind an error
    run = ("snakemake", "--cores", cores, "--logger", "qatflow", "--config", f"more={more}", "--", "b.txt", "all")
    answer = Project(tmp_path).run(*run)
    assert answer.returncode == 1 and answer.stderr.count("error: the gate is closed\n") == said
    assert f"\n1 job failed, {more} done in " in answer.stderr
