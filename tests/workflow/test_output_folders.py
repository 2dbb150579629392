"""What stands where a run writes: a file or a locked folder is told in one message, before any work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.config.sections.config import Config
from qatflow.workflow import precheck
from qatflow.workflow.output_folders import check_folders

AS_NOBODY = """
import os
from pathlib import Path
from qatflow.base.errors import UserError
from qatflow.workflow.output_folders import check_state, check_writable
outputs = [Path(name) for name in ("data/a/manifest.json", "data/b/x", "logs/prepare_data/a.log", "open/x")]
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for check, given in ((check_state, Path()), (check_state, Path("open")), (check_writable, outputs)):
    try:
        check(given)
        print("passed")
    except UserError as error:
        print(error)
"""


def test_what_is_no_folder_is_named_with_all_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config.model_validate({"experiment": "mine", "data": {"name": "a"}})
    check_folders([config])
    Path("data").write_text("")
    Path("logs").symlink_to("nowhere")
    Path("pretrain").mkdir()
    Path("results").mkdir()
    Path("results/mine").write_text("")
    with pytest.raises(UserError) as error:
        check_folders([config])
    assert [line.partition(" of this name")[0] for line in str(error.value).splitlines()] == [
        "data is a file, and runs write to a folder",
        "logs is a link to nothing, and runs write to a folder",
        "results/mine is a file, and runs write to a folder",
    ]


def test_a_folder_without_the_right_to_write_is_named(tmp_path):
    for name in ("data", "open"):
        (tmp_path / name).mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "data").chmod(0o555)
    tmp_path.chmod(0o555)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    answer = subprocess.run(
        [sys.executable, "-c", AS_NOBODY], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    tmp_path.chmod(0o755)
    (tmp_path / "data").chmod(0o755)
    assert answer.stdout.splitlines() == [
        f"the folder {tmp_path} cannot be written to: make it writable, or start in another one",
        "passed",
        f"the folder {tmp_path / 'data'} cannot be written to, and jobs need it: make it writable",
        f"the folder {tmp_path} cannot be written to, and jobs need it: make it writable",
    ], answer.stderr


def test_a_file_in_the_place_of_snakemake_s_state_is_told_before_snakemake(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(".snakemake").write_text("")
    precheck.main(["--version"])
    for argv in (["-n"], ["-n", "--directory", str(tmp_path)]):
        with pytest.raises(UserError, match=r"\.snakemake is a file, and runs write to a folder of this name"):
            precheck.main(argv)


def test_a_profile_that_cannot_be_read_is_named_before_snakemake(tmp_path):
    profile = tmp_path / "profiles/default/config.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text("cores: 1\n")
    profile.chmod(0)
    tmp_path.chmod(0o777)
    start = (
        "import os\nfrom qatflow.workflow import precheck, snakemake_start\n"
        "if os.getuid() == 0: os.setuid(65534)\nsnakemake_start.main(['check', '-n'])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    answer = subprocess.run(
        [sys.executable, "-c", start], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    reason = "profiles/default/config.yaml: Snakemake reads this profile, and it cannot be read: Permission denied"
    assert (answer.returncode, answer.stderr) == (1, f"error: {reason}\n")
