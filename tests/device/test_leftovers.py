"""What a run that is killed leaves on a device: the next run removes it, and nothing that is or may be in use."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from helpers import device_boards
from helpers.device_boards import board_image, known_hosts, start_board  # noqa: F401
from helpers.device_fixtures import ROOT, require
from helpers.device_phones import StartFake, StartPhone, adb, connect, image, names_on, server, start_fake, start_phone  # noqa: F401
from helpers.device_programs import make_demo  # noqa: F401
from helpers.section_options import option
from helpers.small_data import prepared_digits
from helpers.tiny_model import write_model
from qatflow.device import lifetime
from qatflow.device.emulator import local as emulator
from qatflow.device.interface import DeviceSettings
from qatflow.device.run.registry import open_device
from qatflow.device.shell.scripts import RUN

SCRIPT = ROOT / "workflow" / "scripts" / "run_demo.py"
DAY = 86_400


def parts(marked: str) -> list[str]:
    return marked.split("-")


def marked(machine: str | None = None, process: int | None = None, begun: int | None = None, age: int = 0) -> str:
    """What `mark` gives to a run like this process's own, but for what is given."""
    own = parts(lifetime.mark("0a1b2c"))
    given = [machine, process, begun, int(own[3]) - age, None]
    return "-".join(str(other) if other is not None else mine for mine, other in zip(own, given, strict=True))


def ended_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_run_is_over_when_its_process_is_gone() -> None:
    assert not lifetime.is_over(lifetime.mark("0a1b2c"))
    assert not lifetime.is_over(marked(age=400 * DAY))  # that long, but it is there
    assert lifetime.is_over(marked(process=ended_process()))
    assert lifetime.is_over(marked(process=10**30))
    assert lifetime.is_over(marked(begun=int(parts(lifetime.mark("0"))[2]) - 1))  # another process got its number


def test_a_process_that_ended_and_was_not_waited_for_is_gone() -> None:
    process = subprocess.Popen(["sleep", "100"])
    begun = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    name = marked(process=process.pid, begun=int(begun))
    assert not lifetime.is_over(name)
    process.kill()
    while state(process.pid) != "Z":
        time.sleep(0.01)
    assert lifetime.is_over(name)
    process.wait()


def test_of_another_machine_only_what_is_old_is_over() -> None:
    for process in (os.getpid(), ended_process()):  # its numbers say nothing here
        assert not lifetime.is_over(marked("0123456789ab", process))
        assert not lifetime.is_over(marked("0123456789ab", process, age=6 * DAY))
        assert lifetime.is_over(marked("0123456789ab", process, age=8 * DAY))
        assert not lifetime.is_over(marked("0123456789ab", process, age=-400 * DAY))  # a clock that is wrong


def test_another_namespace_of_processes_is_another_machine() -> None:
    code = "from qatflow.device import lifetime; print(lifetime.mark('0'))"
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert parts(told)[0] == parts(lifetime.mark("0"))[0] and lifetime.is_over(told)
    apart = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", *command],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if apart.returncode != 0:
        pytest.skip(f"no namespaces: {apart.stderr.strip()}")
    told = apart.stdout.strip()
    assert parts(told)[0] != parts(lifetime.mark("0"))[0] and not lifetime.is_over(told)


# Judges a process that goes on.
BESIDE_ANOTHER = """
import os, signal, time
from qatflow.device import lifetime
reading, writing = os.pipe()
other = os.fork()
if not other:
    os.write(writing, lifetime.mark("0").encode() + b" ")
    time.sleep(100)
print(lifetime.mark("0"), lifetime.is_over(os.read(reading, 200).decode().strip()))
os.kill(other, signal.SIGKILL)
"""


def test_where_proc_shows_other_processes_nothing_is_taken_for_over() -> None:
    apart = subprocess.run(  # process numbers of its own, but /proc as it is here
        ["unshare", "--user", "--map-root-user", "--pid", "--fork", sys.executable, "-c", BESIDE_ANOTHER],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if apart.returncode != 0 and "Traceback" not in apart.stderr:
        pytest.skip(f"no namespaces: {apart.stderr.strip()}")
    told, over = apart.stdout.split()
    assert over == "False" and not lifetime.is_over(told)
    assert len({parts(told)[0], parts(lifetime.mark("0"))[0], "000000000000"}) == 3


NO_MARKS = {
    "empty": "",
    "one part": "0a1b2c3d4e5f",
    "no machine": "x-1-2-3-4",
    "a part too many": f"{lifetime.mark('0')}-x",
    "no number": "0123456789ab-1-2-x-0",
}


@pytest.mark.parametrize("name", NO_MARKS.values(), ids=NO_MARKS)
def test_what_has_another_kind_of_name_is_not_over(name: str) -> None:
    assert not lifetime.is_over(name)


# Real kills of the real program.


@dataclass(frozen=True)
class Place:
    """Where a device has the folders of its runs.

    Attributes:
        section: what the section `device` says of it.
        prefix: how the names of the folders begin.
        names: what lies there.
        make: make a folder of that name there.
    """

    section: dict[str, Any]
    prefix: str
    names: Callable[[], list[str]]
    make: Callable[[str], object]


@pytest.fixture(params=["emulator", "adb", "ssh"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    require("qemu-aarch64-static")
    room = tmp_path / "room"
    room.mkdir()
    if request.param == "emulator":
        monkeypatch.setenv("TMPDIR", str(room))
        names = lambda: sorted(path.name for path in room.iterdir() if path.name.startswith("qatflow"))  # noqa: E731
        yield Place({"type": "emulator"}, emulator.RUN, names, lambda name: (room / name).mkdir())
        return
    if request.param == "ssh":
        board = request.getfixturevalue("start_board")(size="65m")

        def make_there(name: str) -> None:
            device_boards.run_on(board, f"mkdir {name}")

        yield Place(device_boards.section_of(board), RUN, lambda: device_boards.names_on(board), make_there)
        return
    address, phone = request.getfixturevalue("server"), request.getfixturevalue("start_phone")(size="65m")

    def make(name: str) -> None:
        adb(address, "-s", phone.serial, "shell", f"mkdir /data/local/tmp/{name}")

    yield Place({"type": "adb", "serial": phone.serial}, RUN, lambda: names_on(phone, address), make)
    adb(address, "-s", phone.serial, "shell", "rm -rf /data/local/tmp/*")


@pytest.mark.device
def test_the_next_run_removes_what_a_killed_one_left(
    place: Place, make_demo: Callable[..., Path], tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    prepared_digits(tmp_path / "data")

    def command(demo: str) -> list[str]:
        return [
            *(sys.executable, str(SCRIPT), *option("device", **place.section, name="device", pictures=2)),
            f"--manifest={tmp_path}/data/manifest.json",
            *(f"--model-dir={write_model(tmp_path / 'model')}", f"--library={make_demo(demo)}"),
            f"--output-dir={tmp_path}/output",
        ]

    process = subprocess.Popen(command("endless"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not any("mobilenetv1_light_api" in line and "--model_dir" in line for line in descendants(process.pid)):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    (left,) = place.names()
    children = list(children_of(process.pid))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert place.names() == [left]

    used = [
        f"{place.prefix}-{lifetime.mark('0a')}",  # of a run that goes on
        f"{place.prefix}-{marked('0123456789ab')}",  # of another machine, perhaps
        f"{place.prefix}-abc",  # of another version of this program
        "qatflow-kept-0a1b2c",
    ]
    for name in used:
        place.make(name)
    place.make(f"{place.prefix}-{marked('0123456789ab', age=8 * DAY)}")
    answer = subprocess.run(command("silent"), capture_output=True, text=True, timeout=60, check=False)
    assert "printed '' where its outputs were expected" in answer.stderr  # it came as far as its own run
    kept_over = [name for name in used if place.prefix == emulator.RUN or not name.startswith("qatflow-kept")]
    assert place.names() == sorted(kept_over)
    # what the killed run had started ended with it
    assert children and not any(state(child) not in "XZ" for child in children)


def state(process: int) -> str:
    """R, S … as proc(5) has them; X for none: of what was ended the system's first process takes note when it may."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def children_of(process: int) -> Iterator[int]:
    for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        yield int(child)


def descendants(process: int) -> Iterator[str]:
    """The command lines of what a process started."""
    for child in children_of(process):
        yield Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


@pytest.mark.device
def test_two_runs_of_one_machine_leave_each_other_alone(start_fake: StartFake) -> None:  # noqa: F811
    fake = start_fake()
    first, second = connect(fake), connect(fake)
    assert len(fake.names()) == 2
    first.cleanup()
    connect(fake).cleanup()
    assert len(fake.names()) == 1
    second.cleanup()
    assert fake.names() == []


@pytest.mark.device
def test_what_the_emulator_is_asked_to_keep_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require("qemu-aarch64-static")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_device(DeviceSettings("emulator", "test", keep=True)):
        pass
    (kept,) = tmp_path.iterdir()
    with open_device(DeviceSettings("emulator", "test")):
        assert kept.is_dir()
    assert list(tmp_path.iterdir()) == [kept]
