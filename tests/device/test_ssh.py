"""Boards with ssh: the real client against Debian's real sshd (real_sshd.py), and each way in which that fails."""

import os
import shlex
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.device_boards import StartBoard, board_image, connect, known_hosts, names_on, settings_of, start_board  # noqa: F401
from helpers.device_programs import behave  # noqa: F401
from helpers.real_sshd import Board
from qatflow.device.interface import DeviceError, DeviceSettings
from qatflow.device.run.registry import open_device
from qatflow.device.ssh import client

pytestmark = pytest.mark.device


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No connection of this process is left, whatever happened."""
    yield
    assert not [path for path in client.SOCKETS.glob(f"{client.FOLDER}-*") if f"-{os.getpid()}-" in path.name]


@pytest.fixture
def board(start_board: StartBoard) -> Iterator[Board]:  # noqa: F811
    board = start_board()
    yield board
    assert names_on(board) == []


def refusal(settings: DeviceSettings) -> str:
    with pytest.raises(DeviceError) as caught, open_device(settings):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def running(board: Board, name: str) -> list[str]:
    """The command lines of a board's processes that contain `name`."""
    lines = []
    for process in board.processes():
        words = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        lines += [words] if name in words and "sh -c" not in words else []
    return lines


def wait_for(board: Board, name: str, count: int) -> None:
    until = time.monotonic() + 30
    while len(running(board, name)) != count:
        assert time.monotonic() < until, running(board, name)
        time.sleep(0.05)


def drop_while_it_runs(board: Board, name: str) -> None:
    wait_for(board, name, 1)
    board.drop()


def test_host_is_required() -> None:
    assert "device.host is missing: give what you type after ssh" in refusal(DeviceSettings("ssh", "board"))


def test_missing_client_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install openssh-client" in refusal(DeviceSettings("ssh", "board", host="x"))


def test_refused(known_hosts: Path) -> None:  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    message = refusal(DeviceSettings("ssh", "board", host="127.0.0.1", port=port))
    assert "Connection refused: start the board's ssh server, and check device.host and device.port" in message


def test_unknown_name(known_hosts: Path) -> None:  # noqa: F811
    message = refusal(DeviceSettings("ssh", "board", host="nowhere.invalid"))
    assert "Could not resolve hostname" in message and "check device.host" in message


def test_key_of_the_board_is_unknown_or_another(board: Board, known_hosts: Path) -> None:  # noqa: F811
    known = known_hosts.read_text()
    try:
        known_hosts.write_text("")
        message = refusal(settings_of(board))
        assert "Host key verification failed: ssh does not know this board's key: log in once by hand" in message
        assert known_hosts.read_text() == ""  # nothing was taken for known
        other = (board.key.with_suffix(".pub")).read_text()
        known_hosts.write_text(f"[127.0.0.1]:{board.port} {other}")
        assert "another machine has this address, or the board was set up again" in refusal(settings_of(board))
    finally:
        known_hosts.write_text(known)


def test_key_that_the_board_does_not_accept(board: Board, start_board: StartBoard) -> None:  # noqa: F811
    other = start_board(size="63m")
    settings = settings_of(board)
    message = refusal(DeviceSettings("ssh", "test", host=settings.host, port=settings.port, identity=str(other.key)))
    assert (
        "device pi@127.0.0.1: Permission denied (publickey): the board does not accept this key: copy it there with"
        in message
    )


def test_what_is_dropped_is_done_again(board: Board, tmp_path: Path, behave: Path) -> None:  # noqa: F811
    device = connect(board)
    device.push(behave, "behave")
    board.drop()
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    device.push(tmp_path / "file", "file")
    dropping = threading.Thread(target=drop_while_it_runs, args=(board, "behave sleep"))
    dropping.start()
    assert device.run(["./behave", "sleep", "1"], timeout=30).status == 0
    dropping.join()
    assert len(names_on(board)) == 1
    device.cleanup()


def test_a_board_that_goes_away_is_one_message(start_board: StartBoard, behave: Path) -> None:  # noqa: F811
    board = start_board(size="62m")
    device = connect(board, waits=(0.1,))
    device.push(behave, "behave")
    board.stop()
    with pytest.raises(DeviceError, match=r"device pi@127\.0\.0\.1: .*(power and network|ssh server)"):
        device.run(["./behave", "exit", "0"], timeout=30)
    with pytest.raises(DeviceError):
        device.cleanup()


def test_a_board_that_hangs_is_waited_for_no_longer_than_said(start_board: StartBoard) -> None:  # noqa: F811
    board = start_board(size="61m")
    device = connect(board, answer=1, waits=())
    board.hang()
    with pytest.raises(DeviceError, match=r"no answer within 1 s: check that `ssh -p \d+ -i \S+ .* works"):
        device.temperatures()
    board.stop()
    with pytest.raises(DeviceError):
        device.cleanup()


def test_what_a_call_started_ends_with_it(board: Board, behave: Path) -> None:  # noqa: F811
    device = connect(board)
    device.push(behave, "behave")
    with pytest.raises(DeviceError, match="no answer within 1 s"):
        device.run(["./behave", "sleep", "300"], timeout=1)
    wait_for(board, "behave sleep", 0)
    device.cleanup()


def test_full_disk(start_board: StartBoard, tmp_path: Path) -> None:  # noqa: F811
    device = connect(start_board(size="100k"))
    (tmp_path / "file").write_bytes(b"x" * 200_000)
    with pytest.raises(DeviceError, match=r"file needs 0\.2 MB and /home/pi has 0\.1 MB free: free some space"):
        device.push(tmp_path / "file", "file")
    with pytest.raises(DeviceError, match="No space left on device: free some space"):
        device._connection.send(tmp_path / "file", f"{device._folder}/file", 20)
    device.cleanup()


def test_home_that_starts_no_programs(start_board: StartBoard) -> None:  # noqa: F811
    message = refusal(settings_of(start_board(mount="noexec")))
    assert "/home/pi is mounted noexec, so no program can be started there" in message


def test_no_sha256sum(start_board: StartBoard, tmp_path: Path) -> None:  # noqa: F811
    device = connect(start_board(without="sha256sum", sh="dash"))
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DeviceError, match="sha256sum: not found: install it on the device: coreutils and busybox"):
        device.push(tmp_path / "file", "file")
    device.cleanup()


def test_dash(start_board: StartBoard, tmp_path: Path, behave: Path) -> None:  # noqa: F811
    board = start_board(sh="dash")
    device = connect(board)
    device.push(behave, "it's")
    assert device.run(["./it's", "exit", "42"], timeout=30).status == 42
    assert device.run(["./it's", "crash"], timeout=30).status == 139
    assert device.describe().model == "unknown" and device.describe().system.startswith("Linux ")
    device.cleanup()
    assert names_on(board) == []


def test_a_user_without_a_home_folder(start_board: StartBoard) -> None:  # noqa: F811
    message = refusal(settings_of(start_board(home="/gone")))
    assert "its user has no home folder that can be entered" in message


def test_a_board_that_greets_each_command(start_board: StartBoard) -> None:  # noqa: F811
    message = refusal(settings_of(start_board(rc="echo Welcome to pi")))
    assert "it prints 'Welcome to pi' before what a command prints: let .bashrc, .profile or .ssh/rc" in message


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "tcsh", "fish"])
def test_a_script_arrives_as_it_is_whatever_shell_passes_it_on(shell: str, tmp_path: Path) -> None:
    """All characters that a shell may take for its own, each shell as this machine or the board's packages have it."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here; tests/device/test_contract.py has a board of it")
    every = "".join(map(chr, range(1, 127))) + "äö€\u2028"
    script = f"printf %s {shlex.quote(every)}; echo \"$(printf '%s' '!!' \\!a)\" ${{HOME:+x}} `echo b` \\\\ 'c\nd'"
    answers = [
        subprocess.run(command, capture_output=True, check=False, env=os.environ | {"HOME": str(tmp_path)}).stdout
        for command in (["sh", "-c", script], [shell, "-c", client.command_line(script)])
    ]
    assert answers[0] == answers[1] and answers[0].startswith(every.encode())
    assert client.command_line(script).isascii() and "\n" not in client.command_line(script)
