"""A user's mistakes, by the real `snakemake`: one message that names file, line and key, before any job."""

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from helpers.workflow_helpers import PROGRAMS, SMALL, Project, copy_project, jobs

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_project(tmp_path_factory.mktemp("project"))


def saving(project: Project, **folders: str) -> tuple[str, str]:
    """Write a compress YAML with these save paths, the others null; return Snakemake's arguments for it."""
    paths = {f"{kind}_model_save_path": folders.get(kind, "null") for kind in ("float", "int8", "mobile")}
    (project.folder / "paths.yaml").write_text("compress:\n  config: config/compress/paths.yaml\n")
    (project.folder / "config/compress/paths.yaml").write_text(
        "include: [quantization.yaml]\nstrategies:\n  quantization_strategy:\n"
        + "".join(f"    {key}: {value}\n" for key, value in paths.items())
    )
    return "--configfile", "paths.yaml"


def test_a_save_path_of_null_is_not_written_and_the_device_s_model_is_made_from_what_is(project):
    text = project.dry_run("all", *saving(project, int8="./mine"))
    found = {job.rule: job for job in jobs(text)}
    assert "results/mobilenet_v1_quant/mine/model" in found["optimize_int8"].inputs
    assert "results/mobilenet_v1_quant/mine/model" in found["evaluate_fake_quant"].inputs
    assert "output/float" not in text and "output/mobile" not in text


def test_without_float_and_int8_there_is_an_export_but_nothing_for_the_device(project):
    arguments = saving(project, mobile="./mine")
    assert set(project.plan("export", *arguments)) >= {"train_int8", "export_models"}
    answer = project.forked("--cores", "2", "all", *arguments)
    assert answer.returncode == 1 and "Traceback" not in answer.stderr
    (told,) = [line for line in answer.stderr.splitlines() if line.startswith("error:")]
    assert "float_model_save_path: the device's model is made from float/ or int8/" in told
    answer = project.forked("--cores", "2", "export", *saving(project))
    assert answer.returncode == 1
    assert "nothing would be exported" in answer.stderr


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("activation_quantize_type: abs_max", "'abs_max' finds new scales of the activations for each picture"),
        ("activation_bits: 4", "int8 and int16*4 bits"),
    ],
)
def test_what_no_device_runs_is_trained_and_exported_but_refused_for_the_device(project, setting, reason):
    (project.folder / "my.yaml").write_text("compress:\n  config: config/compress/my.yaml\n")
    (project.folder / "config/compress/my.yaml").write_text(
        "include: [quantization.yaml]\nstrategies:\n  quantization_strategy:\n"
        f"    {setting}\n    mobile_model_save_path: null\n"
    )
    assert set(project.plan("export", "--configfile", "my.yaml")) >= {"train_int8", "export_models"}
    answer = project.forked("--cores", "2", "all", "--configfile", "my.yaml")
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    (told,) = [line for line in answer.stderr.splitlines() if line.startswith("error:")]
    assert told.startswith("error: config/compress/my.yaml: strategies.quantization_strategy.")
    for part in (*reason.split("*"), "ask for the target `export`"):
        assert part in told


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param(
            {"my.yaml": "seed: 2\npretrained:\n  train:\n    epoch: 3\n"},
            "my.yaml:4: pretrained.train.epoch: unknown key; * did you mean 'epochs'?",
            id="misspelt key",
        ),
        pytest.param(
            {"my.yaml": "data:\n  source: folder\n  path: no/such/folder\n"},
            "my.yaml:3: data.path: the folder no/such/folder does not exist*",
            id="missing data folder",
        ),
        pytest.param(
            {"my.yaml": "data:\n  validation: many\n"},
            "my.yaml:2: data.validation: must be a whole number from 1 to 100,000,000; got the text 'many'",
            id="wrong type",
        ),
        pytest.param(
            {
                "my.yaml": "compress:\n  config: config/compress/my.yaml\n",
                "config/compress/my.yaml": "compressor:\n  epoch: 2\n  strategies: [pruning_strategy]\n",
            },
            "config/compress/my.yaml:3: compressor.strategies[0]: 'pruning_strategy' is not defined*",
            id="unknown strategy",
        ),
        pytest.param(
            {
                "my.yaml": "compress:\n  config: config/compress/my.yaml\n",
                "config/compress/my.yaml": "include: [quantization.yaml]\ncompressor:\n  epoch: 1\n",
            },
            "config/compress/my.yaml:3: strategies.quantization_strategy.end_epoch: epoch 1 is never reached*",
            id="end_epoch not below epoch",
        ),
        pytest.param(
            {
                "my.yaml": "pretrained:\n  source: file\n  path: weights.h5\n  sha256: " + 64 * "0" + "\n",
                "weights.h5": "some weights",
            },
            # echo -n 'some weights' | sha256sum
            "my.yaml:4: pretrained.sha256: is 0000*, but the sha256 of weights.h5 is "
            "a0c76a31f14d6cbed530bfac73778a5bb84861b795e8bd5d4c8eee29784fb766*",
            id="wrong sha256",
        ),
    ],
)
def test_a_mistake_is_told_in_one_message_before_any_job(project, files, message):
    for name, text in files.items():
        (project.folder / name).write_text(text)
    before = project.files()
    answer = project.snakemake("--cores", "2", "all", "--configfile", "my.yaml")
    assert answer.returncode == 1
    told = answer.stderr.split("error: the configuration has 1 problem:\n")
    assert len(told) == 2, answer.stderr
    (line,) = told[1].splitlines()
    start, *rest = message.split("*")
    assert line.startswith(start)
    assert all(part in line for part in rest)
    assert "Traceback" not in answer.stdout + answer.stderr
    assert project.files() == before


def without(project: Project, programs: str, folder: Path) -> Project:
    """Return the project with a PATH that has the rest of what the demo is built with and the emulator, not these."""
    needed = [
        "bash",
        "sh",
        "env",
        "git",
        "make",
        "cmake",
        "readelf",
        "which",  # a plugin of Snakemake's calls it
        "g++",
        "aarch64-linux-gnu-g++",
        "qemu-aarch64-static",
    ]
    places = os.pathsep.join(place for place in os.environ["PATH"].split(os.pathsep) if "ccache" not in place)
    for program in set(needed) - set(programs.split()):
        (folder / program).symlink_to(shutil.which(program, path=places) or program)
    return Project(project.folder, {"PATH": f"{PROGRAMS}{os.pathsep}{folder}"})


@pytest.mark.parametrize(
    ("target", "missing", "message"),
    [
        (
            "build_demo",
            "aarch64-linux-gnu-g++ cmake",
            "building for android.armv8 needs aarch64-linux-gnu-g++ cmake: "
            "run `apt-get install g++-aarch64-linux-gnu cmake`",
        ),
        (
            "all",
            "qemu-aarch64-static",
            "the emulator needs qemu-aarch64-static: run `apt-get install qemu-user-static`",
        ),
    ],
)
def test_a_missing_tool_is_told_in_one_message_before_any_job(project, tmp_path, target, missing, message):
    answer = without(project, missing, tmp_path).snakemake("--cores", "2", target, *SMALL)
    assert answer.returncode == 1
    assert f"\nerror: {message}\n" in answer.stderr
    assert "Traceback" not in answer.stdout + answer.stderr
    assert answer.stderr.count("error") == 1
    assert not [name for name in ("data", "resources", "pretrain", "logs") if (project.folder / name).exists()]


def test_a_second_run_in_the_same_folder_is_refused_until_the_first_ends(project):
    (project.folder / ".snakemake").mkdir(exist_ok=True)
    with FileLock(project.folder / ".snakemake/run.lock"):
        answer = project.snakemake("--cores", "1", "data", *SMALL)
        assert project.plan("data", *SMALL) == {"prepare_data": 1, "data": 1}  # a dry run works beside it
    assert answer.returncode == 1
    assert f"error: another run works in {project.folder}: wait for it, or end it\n" in answer.stderr
    assert "Traceback" not in answer.stdout + answer.stderr
    assert not (project.folder / "data").exists()


def test_a_target_that_does_not_need_the_missing_tool_runs(project, tmp_path):
    answer = without(project, "aarch64-linux-gnu-g++ qemu-aarch64-static", tmp_path).snakemake(
        "--cores", "1", "data", *SMALL
    )
    assert answer.returncode == 0, answer.stderr
    assert (project.folder / "data/digits/manifest.json").exists()
