"""What Snakemake's options do to the configuration, and how a mistake looks to the user."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.workflow import precheck, snakemake_start
from qatflow.workflow.targets import asked_for, unknown_target


def snakemake(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Snakemake as the program does behind its check."""
    command = [sys.executable, snakemake_start.__file__, "start", "--cores", "1", "--dry-run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.workflow
def test_a_wrong_configuration_ends_in_the_list_of_problems_and_nothing_else(tmp_path):
    overlay, command_line = tmp_path / "my.yaml", ("--config", "seed=-1", "device={pictures: none}")
    overlay.write_text("sead: 1\ndata:\n  max_rejected: 1e-3\n  sourc: digits\n")
    profile = ("--workflow-profile", str(ROOT / "profiles/slurm"))
    answer = snakemake(*profile, "--configfile", str(overlay), *command_line)
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr + answer.stdout
    assert "Using" not in answer.stderr, "the user has named the profile"
    _, lines = answer.stderr.split("error: the configuration has 4 problems:\n")
    assert [line.split(": ")[:2] for line in lines.splitlines()] == [
        [f"{overlay}:1", "sead"],
        [f"{overlay}:4", "data.sourc"],
        ["--config", "device.pictures"],
        ["--config", "seed"],
    ]


@pytest.mark.workflow
def test_overlays_and_single_keys_reach_the_jobs(tmp_path):
    overlay = tmp_path / "my.yaml"
    overlay.write_text("experiment: mine\n")
    files = ("--configfile", "config/test.yaml", str(overlay))
    answer = snakemake("--verbose", *files, "--config", "data={name: other}")
    assert answer.returncode == 0, answer.stderr
    assert "results/mine/evaluation.json" in answer.stdout
    assert "data/other/manifest.json" in answer.stdout
    assert "pretrain/MobileNetV1_digits_pretrained" in answer.stdout


DEEP = "{a: " * 21 + "1" + "}" * 21
WRONG: list[dict[str, str]] = [
    {
        "compress={config: /dev/zero}": "compress.config: /dev/zero is not a file",
        "data={path: no/such}": "data.path: the folder no/such does not exist",
        "device={type: adb, serial: 5}": "device.serial: must be some text without { and } or null; got 5",
        "experiment=../x": "experiment: must be a name of letters, digits, - and _; got the text '../x'",
        "seed=": "seed: must be a whole number from 0, below 2,147,483,648; got nothing (null)",
    },
    {
        "compress={config: " + "x" * 300 + "}": "compress.config: the file xxx",
        "data=5": "data: must be a mapping with keys from name, source",
        "device={cpu: 1e400}": "device.cpu: the number 1e400 is too large",
        "evaluate={threads: 99999999999999999999}": "evaluate.threads: the number 999999999999999999… is too large",
        "model={": "model: must be a mapping with keys from architecture, file, function, alpha, dropout, batch_norm_m",
        f"pretrained={DEEP}": "pretrained: nested more than 20 levels deep",
    },
    {"data={a: &x [*x]}": "data: must be a mapping with keys", "model={alpah: 1}": "model.alpah: unknown key; allowed"},
]


@pytest.mark.workflow
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_values_of_the_command_line_are_told_by_snakemake_and_before_it_alike(wrong):
    with pytest.raises(UserError) as error:
        precheck.main(["-n", "--config", *wrong])
    answer = snakemake("--config", *wrong)
    assert (answer.returncode, "Traceback" in answer.stdout + answer.stderr) == (1, False)
    _, _, message = answer.stderr.partition("error: ")
    assert message == f"{error.value}\n"
    lines = sorted(message.splitlines()[1:], key=lambda line: line.split(": ")[1])
    assert [line[: len(told) + 10] for line, told in zip(lines, wrong.values(), strict=True)] == [
        f"--config: {told}" for told in wrong.values()
    ]


NO_DOTS = "Snakemake takes no key with dots"


@pytest.mark.parametrize("option", ["--config", "-C"])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("seed", "'seed' is not key=value; write seed=…"),
        ("=1", "'' in '=1' is not a key; write key=value"),
        ("{}", "'{}' is not key=value."),
        ("repport", "'repport' is not key=value; did you mean 'report'? If it is a target, put it before --config"),
        ("data.shards=2", f"data.shards: {NO_DOTS}. Write --config data='{{shards: 2}}'"),
        ("model.alpha=.25", f"model.alpha: {NO_DOTS}. Write --config model='{{alpha: 0.25}}'"),
        (
            "model.alpah=-.5",
            f"model.alpah: {NO_DOTS}; did you mean 'model.alpha'? Write --config model='{{alpha: -0.5}}'",
        ),
        ("data.preprocessing.size=64", f"{NO_DOTS}. Write --config data='{{preprocessing: {{size: 64}}}}'"),
        ("teacher.model.alpha=1", f"{NO_DOTS}. Write --config teacher='{{model: {{alpha: 1}}}}'"),
        ("compress.overrides.epoch=3", f"{NO_DOTS}. Write --config compress='{{overrides: {{epoch: 3}}}}'"),
        ("a=1", "'a' in 'a=1' is not a key; write key=value"),
    ],
)
def test_what_snakemake_itself_cannot_read_of_the_command_line_is_told_before_it(option, value, told):
    with pytest.raises(UserError) as error:
        precheck.main(["-n", option, value])
    assert str(error.value).startswith("--config: ") and told in str(error.value)


def test_the_form_that_is_named_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config").symlink_to(ROOT / "config")
    with pytest.raises(UserError) as error:
        precheck.main(["--config", "model.alpha=.25"])
    precheck.main(shlex.split(str(error.value).partition("Write ")[2]))
    with pytest.raises(UserError, match=r"--config: model\.alpha: must be a number"):
        precheck.main(["--config", "model={alpha: .001}"])


FIRST = "is a target, and what stands behind"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-n", "--configfile", "good.yaml", "run_demo"], f"--configfile: 'run_demo' {FIRST} --configfile is read as"),
        (["--configfile", "good.yaml", "data"], f"--configfile: 'data' {FIRST} --configfile"),  # there is such a folder
        (["--configfile", "good.yaml", "report"], "If you mean a file of this name, write ./report"),
        (["--configfile", "good.yaml", "prepare_data"], f"--configfile: 'prepare_data' {FIRST}"),
        (["--configfile", "good.yaml", "--config", "only=base", "compare"], f"--config: 'compare' {FIRST} --config is"),
        (["--configfile", "good.yaml", "run_dem"], "there is no file 'run_dem'; did you mean 'run_demo'? Put a target"),
        (
            ["--configfile", "good.yaml", "seed=2"],
            "there is no file 'seed=2'; write values after --config: --config s",
        ),
        (["--config", "seed=2", "--config", "method=ptq"], "--config is given twice, and Snakemake takes the last one"),
        (
            ["--configfile", "good.yaml", "-n", "--configfile", "good.yaml"],
            "--configfile is given twice, and Snakemake",
        ),
    ],
)
def test_a_target_or_a_value_that_an_option_takes_for_its_own_is_told(arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config").symlink_to(ROOT / "config")
    Path("data").mkdir()
    Path("good.yaml").write_text("seed: 1\n")
    Path("report").write_text("seed: 1\n")
    with pytest.raises(UserError) as error:
        precheck.main(arguments)
    assert told in str(error.value)
    if FIRST in told:  # the command that is named has the target first, and passes
        command = shlex.split(str(error.value).splitlines()[1])
        assert command[:2] == ["snakemake", arguments[-1]] and sorted(command[1:]) == sorted(arguments)


def test_a_file_that_is_called_like_a_target_is_read_where_it_is_written_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config").symlink_to(ROOT / "config")
    Path("report").write_text("sead: 1\n")
    with pytest.raises(UserError, match="report:1: sead: unknown key"):
        precheck.main(["--configfile", "./report"])


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("target", "told"),
    [
        (
            "repport",
            "error: there is no target 'repport', and no rule makes such a file; did you mean 'report'?\nTargets: ",
        ),
        (
            "results/digits_qant/summary.json",
            "error: nothing makes 'results/digits_qant/summary.json': there is no experiment 'digits_qant'; there are "
            "digits_quant; did you mean 'digits_quant'?\n",
        ),
    ],
)
def test_an_unknown_target_ends_in_one_message_with_the_nearest(target, told):
    answer = snakemake(target, "--configfile", "config/test.yaml")
    assert answer.returncode == 1 and "job" not in answer.stdout
    assert told in answer.stderr and "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("seed=2", "'seed=2' is not a target; give values after --config: snakemake --config seed=2"),
        (
            "my.yaml",
            "'my.yaml' is not a target; give a configuration after --configfile: snakemake --configfile my.yaml",
        ),
        (
            "results/comparison/x",
            "there is no target 'results/comparison/x', and no rule makes such a file\nTargets: a",
        ),
        ("results/one/x", "there is no target 'results/one/x', and no rule"),
        (
            "evalute",
            "there is no target 'evalute', and no rule makes such a file; did you mean 'evaluate'?\nTargets: a",
        ),
    ],
)
def test_what_is_said_of_a_target_names_what_was_meant(target, told):
    assert unknown_target(target, ["all", "evaluate", "compare"], ["one", "two"]).startswith(told)


def test_targets_are_told_from_the_values_of_options_as_snakemake_does():
    command = "snakemake all results/x/summary.json -n --cores 4 -R train_int8 --config seed=2 --executor local"
    assert sorted(asked_for(command.split())) == ["all", "results/x/summary.json"]
    assert asked_for(["/x/snakemake/__main__.py", "-n", "--quiet", "all"]) == []
    assert asked_for(["pytest", "all"]) == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-n"],
        ["--config", "seed=2", "data={shards: 8}"],
        ["all", "--configfile", "good.yaml"],
        ["--configfiles=good.yaml", "--cores", "2", "-n"],
        ["--configfile", "adb.yaml", "--config", "device={serial: x}"],
    ],
)
def test_what_is_right_passes_the_check_before_snakemake(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config").symlink_to(ROOT / "config")
    Path("good.yaml").write_text("seed: 1\n")
    Path("adb.yaml").write_text("device: {type: adb}\n")
    precheck.main(arguments)


@pytest.mark.parametrize("option", ["--configfile", "--configfiles"])
def test_all_problems_of_all_files_are_named_before_snakemake(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("date.yaml").write_text("data: {path: 2020-13-45}\n")  # Snakemake's own reader ends in a traceback
    Path("twice.yaml").write_text("seed: 1\nseed: -2\n")
    with pytest.raises(UserError) as error:
        precheck.main(["-n", option, "date.yaml", "no.yaml", "twice.yaml", "pipe", ".", "--config", "sead=2"])
    assert [line.split("; ")[0] for line in str(error.value).splitlines()] == [
        "the configuration has 7 problems:",
        "no.yaml: cannot be read: No such file or directory",
        "pipe: cannot be read: it is a device or a pipe",
        ".: cannot be read: Is a directory",
        "date.yaml:1: data.path: '2020-13-45' means something else in YAML 1.1",
        "twice.yaml:2: seed: duplicate key",
        "twice.yaml:2: seed: must be a whole number from 0, below 2,147,483,648",
        "--config: sead: unknown key",
    ]


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--configfile", "no.yaml"], "no.yaml: cannot be read: No such file or directory"),
        (["--configfile", "folder"], "folder: cannot be read: Is a directory"),
        (["--configfile", "tab.yaml"], "tab.yaml:1: seed: a tab character; indent and separate with spaces"),
        (["--configfile", "latin.yaml"], "latin.yaml:2: method: the byte 0xe4 is not UTF-8; save the file as UTF-8"),
        (["--configfile", "open.yaml"], "open.yaml:2: data: not valid YAML"),
        (["--configfiles", "list.yaml"], "list.yaml:1: must hold keys with values"),
        (["--configfile", "huge.yaml", "pipe"], "pipe: cannot be read: it is a device or a pipe; give a file"),
        (
            ["--config", "seed"],
            "error: --config: 'seed' is not key=value; write seed=",
        ),
    ],
)
def test_what_snakemake_meets_before_the_snakefile_ends_in_one_message(arguments, told, tmp_path):
    """The program `snakemake` of .venv, as a user calls it."""
    for link in ("Snakefile", "config", "workflow", "src", "profiles", "demo"):
        (tmp_path / link).symlink_to(ROOT / link)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "tab.yaml").write_text("seed:\t1\n")
    (tmp_path / "latin.yaml").write_bytes(b"seed: 1\nmethod: \xe4\n")
    (tmp_path / "open.yaml").write_text("data: {\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(10**8)
    program = str(Path(sys.executable).parent / "snakemake")
    answer = subprocess.run([program, "-n", *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("error: ")
    assert told in answer.stderr
    assert "Traceback" not in answer.stderr


PROGRAM = str(Path(sys.executable).parent / "snakemake")


@pytest.mark.workflow
@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_the_checkout_of_a_snakefile_elsewhere_checks_with_its_own_library(snakefile, tmp_path):
    checkout, here = tmp_path / "checkout", tmp_path / "here"
    here.mkdir()
    library = checkout / "src/qatflow"
    for name in (
        "__init__",
        "base/__init__",
        "base/cli",
        "base/errors",
        "workflow/__init__",
        "workflow/snakemake_start",
    ):
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / f"src/qatflow/{name}.py", library / f"{name}.py")
    (library / "workflow/precheck.py").write_text("def main(argv):\n    print(__file__, argv)\n    return 3")
    (checkout / "workflow").mkdir()
    (checkout / snakefile).write_text("")
    for option in (["-s", f"../checkout/{snakefile}"], [f"--snakefile={checkout / snakefile}"]):
        arguments = ["-n", *option, "--config", "seed=1"]
        answer = subprocess.run([PROGRAM, *arguments], cwd=here, capture_output=True, text=True)
        assert answer.returncode == 3, answer.stderr
        assert answer.stdout == f"{library / 'workflow/precheck.py'} {arguments}\n"


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--configfile", "nosuch.yaml"], "nosuch.yaml: cannot be read: No such file"),
        (["--configfile", "tab.yaml", "--config", "seed=2"], "tab.yaml:2: experiment.data: a tab character"),
        (["--config", "model.alpha=0.25"], "Write --config model='{alpha: 0.25}'"),
    ],
)
def test_what_snakemake_meets_before_a_snakefile_elsewhere_ends_in_one_message(arguments, told, tmp_path):
    (tmp_path / "tab.yaml").write_text("experiment: a\n\tdata: x\n")
    command = [PROGRAM, "-n", "-s", str(ROOT / "Snakefile"), *arguments]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("error: ") and told in answer.stderr and "Traceback" not in answer.stderr


def test_of_a_snakefile_elsewhere_the_project_s_own_alone_is_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty.yaml").write_text("")
    for own in ("Snakefile", "workflow/Snakefile"):
        with pytest.raises(UserError, match=r"empty\.yaml:1: no keys: the file is empty"):
            precheck.main(["-s", str(ROOT / own), "--configfile", "empty.yaml"])
    Path("Snakefile").write_text("")
    precheck.main(["-s", "Snakefile", "--configfile", "empty.yaml"])


@pytest.mark.workflow
def test_the_program_loads_what_other_executors_need_for_no_run_that_has_none():
    """Pandas and the client of Kubernetes: a third of Snakemake's start. With `-e` all are there."""
    loaded = []
    for executor, command in (("local", "-n"), ("slurm", "-ne slurm --jobs 1")):
        answer = subprocess.run(
            [PROGRAM, "data", *shlex.split(command), "--configfile", "config/test.yaml"],
            cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONPROFILEIMPORTTIME": "1"},
        )  # fmt: skip
        assert answer.returncode == 0 and "prepare_data" in answer.stdout, (executor, answer.stderr)
        loaded.append({line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()})
    others = {"pandas", "kubernetes", "snakemake_executor_plugin_kubernetes"}
    assert loaded[0] & others == set() and others <= loaded[1]
    assert "qatflow.workflow.precheck" in loaded[0], "in the process that is Snakemake"


@pytest.mark.parametrize(
    ("arguments", "profile", "may"),
    [
        ("-n --cores 2 --configfile config/test.yaml", "cores: 2", False),
        ("all -np", "# nothing", False),
        ("--executor slurm", "", True),
        ("--exec=slurm", "", True),
        ("-e slurm", "", True),
        ("-ne slurm", "", True),
        ("--profile mine", "", True),
        ("--workflow-profile profiles/slurm", "", True),
        ("--help", "", True),
        ("-h", "", True),
        ("--slurm-logdir x", "", True),
        ("--cluster-generic-submit-cmd x", "", True),
        ("-n", "executor: slurm", True),
        ("-n", "slurm-logdir: x", True),
        ("-n -s elsewhere/flow.smk", "executor: slurm", True),
        (f"-n --config x={'9' * 5000}", "cores: 2", False),
    ],
)
def test_an_executor_of_a_package_is_known_wherever_one_may_be_named(arguments, profile, may, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("elsewhere" if "elsewhere" in arguments else "", "profiles/default")
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(profile)
    (folder.parents[1] / "flow.smk").touch()
    assert snakemake_start.may_use_other_executor(shlex.split(arguments)) == may
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "mine")
    assert snakemake_start.may_use_other_executor(shlex.split(arguments))


@pytest.mark.skipif(os.getuid() != 0, reason="another user's number is root's to take")
@pytest.mark.parametrize(("number", "name"), [(54321, "54321"), (0, "root")])
def test_a_user_without_a_name_as_in_a_container_has_a_number_for_snakemake(number, name):
    asks = (
        "import getpass, os\nfrom qatflow.workflow import snakemake_start\n"
        f"os.setuid({number})\nsnakemake_start.name_the_user()\nprint(getpass.getuser())"
    )
    nameless = {key: value for key, value in os.environ.items() if key not in ("LOGNAME", "USER", "LNAME", "USERNAME")}
    answer = subprocess.run(
        [sys.executable, "-c", asks], env=nameless | {"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True
    )
    assert (answer.stdout, answer.stderr) == (f"{name}\n", "")


@pytest.mark.workflow
def test_the_program_snakemake_is_snakemake():
    program = str(Path(sys.executable).parent / "snakemake")
    answers = [
        subprocess.run([*start, "--version"], capture_output=True, text=True, check=True)
        for start in ([program], [sys.executable, "-m", "snakemake"])
    ]
    assert answers[0].stdout == answers[1].stdout
