"""Fixtures for the tests of the ssh side: real boards in namespaces, and the real ssh client with its own settings."""

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.device_fixtures import require
from helpers.device_phones import QUICK, write_conditions
from helpers.real_adbd import Unavailable
from helpers.real_sshd import Board, make_image
from qatflow.device.interface import DeviceSettings
from qatflow.device.ssh.device import SshDevice

StartBoard = Callable[..., Board]
HOST = "pi@127.0.0.1"
# The client reads the settings of the user's own folder, whatever HOME is: here it gets those of the tests instead.
SSH = '#!/bin/sh\nexec /usr/bin/ssh -F "{config}" "$@"\n'
CONFIG = (
    "Host *\n  UserKnownHostsFile {known}\n  GlobalKnownHostsFile none\n  IdentityAgent none\n  IdentityFile none\n"
)


@pytest.fixture(scope="module")
def known_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of known hosts of the ssh that the tests' programs find; the user's own stays alone."""
    require("ssh")
    folder = tmp_path_factory.mktemp("ssh")
    (folder / "bin").mkdir()
    known, config, ssh = folder / "known", folder / "config", folder / "bin/ssh"
    known.touch()
    config.write_text(CONFIG.format(known=known))
    ssh.write_text(SSH.format(config=config))
    ssh.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        yield known


@pytest.fixture(scope="module")
def board_image(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    try:
        return make_image(pytestconfig.cache.mkdir("sshd"))
    except (Unavailable, subprocess.TimeoutExpired) as reason:
        pytest.skip(f"Debian's sshd cannot be had: {reason}")


@pytest.fixture(scope="module")
def start_board(known_hosts: Path, board_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartBoard]:
    """Start a board whose key the client knows; with the same options the one that runs already is taken."""
    folder = tmp_path_factory.mktemp("boards")
    boards: list[Board] = []
    number = itertools.count()
    write_conditions(folder / "sysroot")

    def start(**options: str) -> Board:
        for board in boards:
            if board.options == options and board.runs():
                return board
        try:
            board = Board(board_image, folder / f"board{next(number)}", folder / "sysroot", **options)
        except Unavailable as reason:
            pytest.skip(f"the board cannot start: {reason}")
        boards.append(board)
        with known_hosts.open("a") as known:
            known.write(board.known)
        return board

    yield start
    for board in boards:
        board.stop()


def section_of(board: Board) -> dict[str, Any]:
    """What the section `device` says of a board."""
    return {"type": "ssh", "host": HOST, "port": board.port, "identity": str(board.key)}


def settings_of(board: Board, **other: Any) -> DeviceSettings:
    return DeviceSettings(name="test", **section_of(board), **other)


def connect(board: Board, *, answer: float = 20, waits: Sequence[float] = QUICK, **other: Any) -> SshDevice:
    return SshDevice(settings_of(board, **other), answer=answer, waits=waits)


def run_on(board: Board, command: str) -> str:
    """Run a command of the board's shell and return what it prints."""
    words = ["ssh", "-p", str(board.port), "-i", str(board.key), HOST, command]
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout


def names_on(board: Board, folder: str = "") -> list[str]:
    """What lies in a folder below the home folder of a board."""
    return sorted(run_on(board, f"ls -A {folder}").split())
