"""The set-up's system packages: installed by apt where that is allowed, else listed.

apt-get is a stand-in that notes its arguments and makes the programs: the real one would change this machine.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from helpers.places import ROOT
from helpers.small_checkout import DEBIAN, SYSTEM
from qatflow.base.system_packages import INSTALL, system_packages

FOR_SHOW = r'[[ "$*" != *version_info* ]] || printf "3.12\t%s\t\n" "$0"'


def open_to_others(folder: Path) -> None:
    """Let other users into a folder of this test."""
    base = Path(tempfile.gettempdir())
    if not folder.is_relative_to(base):
        pytest.skip("the tests' folder is not under the system's temporary folder")
    while folder != base:
        folder.chmod(folder.stat().st_mode | 0o055)
        folder = folder.parent


@pytest.fixture
def bare(checkout):
    for program in SYSTEM:
        (checkout.bin / program).unlink()
    return checkout


@pytest.fixture
def apt(bare):
    """Stand-ins for apt-get and apt-cache; `known` holds the packages that the lists name."""
    log, known = bare.folder / "apt", bare.folder / "known"
    known.write_text("\n".join(DEBIAN))
    pairs = " ".join(f"[{package}]={program}" for package, program in zip(DEBIAN, SYSTEM, strict=True))
    bare.program(
        "apt-get",
        f'declare -A programs=({pairs})\necho "$DEBIAN_FRONTEND" "$@" >>{log}\n'
        'for word in "$@"; do\n'
        f'    [[ "$word" != update ]] || printf "%s\\n" {" ".join(DEBIAN)} >{known}\n'
        f'    [[ -z "${{programs[$word]:-}}" ]] || ln -s /bin/true {bare.bin}/"${{programs[$word]}}"\n'
        "done",
    )
    bare.program("apt-cache", f'grep -qx -- "$2" {known}')
    return log


@pytest.fixture
def refused(bare):
    """Check that the start is refused with the list and that nothing was made; return the message."""

    def refused(*command: str) -> str:
        answer = subprocess.run(
            [*command, "./run.sh"], cwd=bare.folder, env=bare.environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert answer.returncode == 1
        assert answer.stdout == ""
        for package in DEBIAN:
            assert f"\n    {package}\n" in answer.stderr
        assert f"apt-get install {' '.join(DEBIAN)}" in answer.stderr
        assert not (bare.folder / ".venv").exists()
        return answer.stderr

    return refused


def test_without_apt_they_are_listed(refused):
    assert "error: these Debian packages are missing, and there is no apt-get here:" in refused()


OTHERS = {
    "dnf": (
        "qemu-user-static-aarch64 android-tools cmake make gcc-c++",
        ["aarch64-linux-gnu-g++: building for arm64"],
        "dnf install",
    ),
    "pacman": ("aarch64-linux-gnu-gcc qemu-user-static android-tools cmake make gcc", [], "pacman -S"),
    "zypper": (
        "qemu-linux-user android-tools cmake make gcc-c++",
        ["aarch64-linux-gnu-g++: building for arm64"],
        "zypper install",
    ),
    "brew": (
        "android-platform-tools cmake make gcc",
        ["aarch64-linux-gnu-g++: building for arm64", "qemu-aarch64-static: the emulator"],
        "brew install",
    ),
}
"""By package manager: the packages for what `bare` lacks, in the order of the table, what has none, and the command."""


@pytest.mark.parametrize("manager", OTHERS)
def test_other_package_managers_get_their_own_names_and_what_they_lack_is_told(bare, manager):
    packages, lacking, command = OTHERS[manager]
    bare.program(manager, f"touch {bare.folder}/called")
    answer = bare.run()
    assert (answer.returncode, answer.stdout) == (1, "")
    assert f"\nInstall them: {command} {packages}\n" in answer.stderr
    for package in packages.split():
        assert f"\n    {package}\n" in answer.stderr
    assert (f"error: {manager} has no package" in answer.stderr) == bool(lacking)
    for what in lacking:
        assert f"\n    {what}" in answer.stderr
    assert "none" not in answer.stderr.split() and "apt-get" not in answer.stderr
    assert answer.stderr.endswith("or continue without them: QATFLOW_NO_APT=1 ./run.sh\n")
    assert not (bare.folder / ".venv").exists() and not (bare.folder / "called").exists()
    assert bare.run("data", QATFLOW_NO_APT="1").stdout == "snakemake 1.0 --cores all data\n"


def test_a_system_that_lacks_only_what_it_has_no_package_of_is_told_so_alone(bare):
    for program in SYSTEM[1:]:
        (bare.bin / program).symlink_to("/bin/true")
    bare.program("dnf", "exit 1")
    answer = bare.run()
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: dnf has no package with what is needed for:\n    aarch64-linux-gnu-g++: ")
    assert "Install them" not in answer.stderr


def test_qemu_under_its_other_name_is_enough(bare):
    for program in ("qemu-aarch64", *SYSTEM[2:]):
        (bare.bin / program).symlink_to("/bin/true")
    bare.program("zypper", "exit 1")
    answer = bare.run()
    assert "aarch64-linux-gnu-g++: " in answer.stderr and "qemu" not in answer.stderr


def test_an_arm64_machine_is_asked_for_no_cross_compiler_and_no_emulator(bare):
    bare.program("uname", "echo aarch64")
    for program in SYSTEM[2:]:
        (bare.bin / program).symlink_to("/bin/true")
    answer = bare.run()
    assert (answer.returncode, answer.stdout) == (0, "snakemake 1.0 --cores all all\n")


def test_the_table_has_a_name_for_each_package_manager_and_messages_use_the_commands_of_set_up():
    setup = (ROOT / "setup.sh").read_text()
    for manager, command in INSTALL.items():
        assert manager == "apt" or f"{manager}) printf '{command}\\n' ;;" in setup
    table = system_packages()
    assert {package.when for package in table} == {"setup", "cross", "extra", "image", "ask"}
    for package in table:
        assert package.names["apt"] != "none", package


def test_they_can_be_done_without(bare):
    assert bare.run("data", QATFLOW_NO_APT="1").stdout == "snakemake 1.0 --cores all data\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
@pytest.mark.parametrize("sudo", ["absent", "refusing"])
def test_another_user_without_sudo_gets_the_list(bare, apt, refused, sudo):
    open_to_others(bare.folder.parent)
    os.chown(bare.folder, 65534, 65534)
    bare.program("python3", FOR_SHOW)  # the real one may lie in root's home
    if sudo == "refusing":
        bare.program("sudo", "exit 1")
    setpriv = shutil.which("setpriv") or "setpriv"
    message = refused(setpriv, "--reuid=65534", "--regid=65534", "--clear-groups")
    assert ("there is no sudo" if sudo == "absent" else "sudo does not let this user install them") in message
    assert not apt.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_another_user_with_sudo_installs_by_it(bare, apt):
    open_to_others(bare.folder.parent)
    for folder in (bare.folder, bare.bin):
        os.chown(folder, 65534, 65534)
    bare.program("python3", FOR_SHOW)
    bare.program("sudo", f'echo "sudo $*" >>{bare.folder}/sudo\n[[ "$1" != -n ]] || shift\nexec "$@"')
    (bare.bin / "true").symlink_to("/bin/true")
    (bare.folder / "known").chmod(0o666)
    subprocess.run(
        [shutil.which("setpriv") or "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "./run.sh"],
        cwd=bare.folder, env=bare.environment, capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    asked, installed = (bare.folder / "sudo").read_text().splitlines()[:2]
    assert asked == "sudo -n true"
    assert installed.startswith("sudo env DEBIAN_FRONTEND=noninteractive apt-get ")
    assert installed.endswith(" install " + " ".join(DEBIAN))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as apt does")
@pytest.mark.parametrize("lists", ["present", "absent"])
def test_root_installs_them_and_reads_the_lists_only_where_they_lack(bare, apt, lists):
    if lists == "absent":
        (bare.folder / "known").write_text("")
    answer = bare.run()
    assert answer.stdout == "snakemake 1.0 --cores all all\n"
    calls = [line for line in apt.read_text().splitlines() if "dataset-fashion-mnist" not in line]
    installs = [call for call in calls if " install " in call]
    assert len(installs) == 1
    assert installs[0].startswith("noninteractive ")
    assert installs[0].endswith("--yes --no-install-recommends install " + " ".join(DEBIAN))
    if lists == "absent":
        assert calls[0].endswith(" update")
    elif Path("/usr/share/datasets/fashion-mnist").exists():
        assert calls == installs
    before = apt.read_text()
    assert bare.run().stderr == ""
    assert apt.read_text() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as apt does")
@pytest.mark.parametrize(
    ("about", "package"),
    [("3.12.3 ensurepip", "python3.12-venv"), ("3.10.9 ensurepip pip", "python3-venv"), ("", "python3-venv")],
)
def test_a_python_that_can_make_environments_comes_from_apt(checkout, about, package):
    log = checkout.folder / "apt"
    checkout.python_program("whole", "3.12.3")
    checkout.program(
        "apt-get", f'echo "$@" >>{log}\n[[ "$*" != *" {package}" ]] || cp {checkout.bin}/whole {checkout.bin}/python3'
    )
    checkout.program("apt-cache", "true")
    (checkout.bin / "python3").unlink()
    if about:
        checkout.python_program("python3", *about.split(maxsplit=1))
    without = checkout.run(QATFLOW_NO_APT="1")
    assert without.returncode == 1 and not log.exists()
    assert "Debian and Ubuntu: apt-get install python3-venv), or give its path: PYTHON=" in without.stderr

    answer = checkout.run()
    assert answer.stdout == "snakemake 1.0 --cores all all\n", answer.stderr
    assert f"--yes --no-install-recommends install {package}\n" in log.read_text()
    assert "with Python 3.12 " in answer.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as apt does")
@pytest.mark.parametrize("works", [True, False])
def test_slurm_is_installed_for_the_tests_alone_and_they_go_on_without_it(checkout, works):
    log = checkout.folder / "apt"
    checkout.program("apt-get", f'echo "$@" >>{log}\necho "E: words of apt"\n{"true" if works else "exit 100"}')
    checkout.program("apt-cache", "true")
    assert checkout.run().returncode == 0
    assert not log.exists() or "slurm" not in log.read_text()

    (checkout.folder / ".venv/bin/pytest").symlink_to("/bin/true")
    answer = checkout.run("tests/test_x.py", script="test.sh")
    assert answer.returncode == 0, answer.stderr
    packages = "munge slurmctld slurmd slurm-client ccache chromium"
    assert log.read_text().endswith(f"--yes --no-install-recommends install {packages}\n")
    assert ("without Slurm and Chromium their tests are skipped" in answer.stderr) == (not works)
    assert ("E: words of apt" in answer.stdout + answer.stderr) == (not works), "apt is quiet unless it fails"
    assert "slurm" not in checkout.run("tests/test_x.py", script="test.sh", QATFLOW_NO_APT="1").stderr
