"""Dockerfile, apptainer.def and the devcontainer install by setup.sh alone, and the same things in the same order."""

import json
import re
import subprocess
from pathlib import Path

from helpers.places import ROOT
from helpers.small_checkout import SYSTEM
from qatflow.base.system_packages import TABLE

PLACE = "/opt/qatflow"


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions: keyword and the rest of the line."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def definition() -> dict[str, list[str]]:
    """Return the lines of each section of apptainer.def; the header's are in that with an empty name."""
    sections: dict[str, list[str]] = {"": []}
    section = ""
    for line in (ROOT / "apptainer.def").read_text().splitlines():
        if line.startswith("%"):
            section = line[1:]
            sections[section] = []
        elif line.strip() and not line.startswith("#"):
            sections[section].append(line.strip())
    return sections


def copied() -> set[str]:
    """Return what the last stage of the Dockerfile copies from the checkout."""
    instructions = dockerfile()
    last = max(number for number, (word, _) in enumerate(instructions) if word == "FROM")
    words = [rest.split() for word, rest in instructions[last:] if word == "COPY" and not rest.startswith("--from")]
    return {name for *names, _ in words for name in names}


def test_both_images_run_the_same_commands_and_set_up_alone_installs():
    in_docker = [rest for word, rest in dockerfile() if word == "RUN"]
    of_docker = [line for line in in_docker if not line.startswith(("useradd ", "mkdir "))]
    assert definition()["post"] == [f"cd {PLACE}", *of_docker]
    assert of_docker[:2] == ["bash setup.sh packages", "bash setup.sh python"]
    for name in ("Dockerfile", "apptainer.def"):
        assert not re.search(r"apt-get|pip |pip3|uv ", (ROOT / name).read_text()), name


def test_both_images_begin_with_the_same_system_and_hold_the_same_files():
    (base,) = (rest.partition("=")[2] for word, rest in dockerfile() if word == "ARG")
    assert definition()[""] == ["Bootstrap: docker", f"From: {base}"]
    assert definition()["files"] == [f"{name} {PLACE}/{name}" for name in definition_names()]
    assert set(definition_names()) == copied()
    for name in copied():
        assert (ROOT / name).exists()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*" and {line[1:] for line in ignored if line.startswith("!")} == copied()


def definition_names() -> list[str]:
    return [line.split()[0] for line in definition()["files"]]


def test_an_image_has_every_folder_of_the_checkout_that_a_run_reads():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {Path(name).parts[0] for name in tracked.splitlines()}
    not_read = {"tests", "docs", "benchmarks", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "README.md"}
    not_read |= {
        "SECURITY.md",
        "mkdocs.yml",
        "requirements.in",
        "test.sh",
        "setup.py",
        "MANIFEST.in",
        "Dockerfile",
        "apptainer.def",
        ".test",
    }
    not_read |= {"setup.py", "MANIFEST.in"}  # for the wheel
    assert {name for name in top - copied() - not_read if not name.startswith(".")} == set()


def test_the_packages_are_installed_before_the_code_is_copied_so_that_edits_install_nothing():
    words = [f"{word} {rest}" for word, rest in dockerfile()]
    python = words.index("RUN bash setup.sh python")
    before = [rest for word, rest in dockerfile()[:python] if word == "COPY"]
    assert before == [
        "setup.sh ./",
        f"{TABLE.relative_to(ROOT)} {TABLE.parent.relative_to(ROOT)}/",
        "requirements.lock pyproject.toml ./",
    ]


def test_nobody_is_root_and_the_devcontainer_is_the_first_stage():
    instructions = dockerfile()
    assert [rest for word, rest in instructions if word == "USER"] == ["qatflow"]
    users = [rest for word, rest in instructions if word == "RUN" and rest.startswith("useradd")]
    stages = {rest.split()[-1] for word, rest in instructions if word == "FROM"}
    settings = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    folder = ROOT / ".devcontainer"
    assert (folder / settings["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert settings["build"]["target"] in stages
    assert users == [f"useradd --create-home --uid 1000 {settings['remoteUser']}"]


def test_set_up_as_a_program_makes_what_run_sh_then_finds(checkout):
    for program in SYSTEM:
        (checkout.bin / program).unlink()
    log = checkout.folder / "apt"
    checkout.program("apt-get", f'echo "$@" >>{log}')
    checkout.program("apt-cache", "exit 0")
    checkout.program("sudo", '[[ "$1" != -n ]] || shift\nexec "$@"')
    checkout.program("rm", f'[[ "$*" != *apt/lists* ]] || {{ echo "rm $*" >>{log}; exit; }}\nexec /bin/rm "$@"')
    answer = subprocess.run(
        ["bash", "setup.sh", "packages"], cwd=checkout.folder, env=checkout.environment, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    asked = log.read_text().splitlines()
    installed = {package for line in asked if " install " in line for package in line.partition(" install ")[2].split()}
    assert {"g++-aarch64-linux-gnu", "adb", "cmake", "openssh-client"} <= installed
    assert asked[-1].startswith("rm -rf /var/lib/apt/lists/")
    for program in SYSTEM:
        (checkout.bin / program).symlink_to("/bin/true")
    for _ in range(2):
        answer = subprocess.run(
            ["bash", "setup.sh", "python"], cwd=checkout.folder, env=checkout.environment, capture_output=True,
            text=True,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
    assert checkout.builds() == 1
    work = checkout.folder.parent / "work"
    work.mkdir()
    answer = checkout.run("data", QATFLOW_FOLDER=str(work))
    assert answer.stdout == f"snakemake 1.0 --snakefile {checkout.folder}/Snakefile --cores all data\n"
    answer = checkout.run("data", QATFLOW_FOLDER=str(work / "gone"))
    assert answer.returncode == 1 and "which cannot be entered: make that folder, or unset it" in answer.stderr


def test_set_up_as_a_program_refuses_an_unknown_step(checkout):
    answer = subprocess.run(
        ["bash", "setup.sh", "all"], cwd=checkout.folder, env=checkout.environment, capture_output=True, text=True
    )
    assert answer.returncode == 1
    assert answer.stderr == (
        "error: setup.sh is sourced by run.sh and test.sh; images call it with packages, then with python\n"
    )
