"""The device side of the adb protocol, small, for the states that a real adbd cannot be put into.

It listens on loopback, on a port that the kernel chose unless one is given. A folder of this machine stands for
/data/local/tmp; commands are run by this machine's own shell with that path put in. Losses, damage and refusals are set
as attributes, and can be changed while it runs. Protocol: adb's OVERVIEW.TXT, protocol.txt and SYNC.TXT, packets CNXN
AUTH OPEN OKAY WRTE CLSE.
"""

import contextlib
import os
import re
import socket
import struct
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

HOME = "/data/local/tmp"
VERSION, MAX_DATA = 0x01000000, 64 * 1024
COMMANDS = {
    int.from_bytes(name, "little"): name.decode() for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
}
NUMBERS = {name: number for number, name in COMMANDS.items()}
STDOUT, STDERR, EXIT = 1, 2, 3  # shell protocol


class Lost(Exception):  # noqa: N818 - the wanted end of a connection
    """The connection is over."""


@dataclass
class Faults:
    """What goes wrong; counts are of times, after which it goes right.

    Attributes:
        silent: accept connections and never answer.
        unauthorized: ask for a key and accept none.
        state: what it says that it is: device, recovery, …
        shell_v2: whether exit status and stderr come back apart (Android 7 and later).
        lose_in_push: connections that end in the middle of a file that is received.
        hang_in_push: take files and never say that they are there.
        lose_in_run: commands during which the connection ends, of those that contain `lose_at`.
        lose_at: part of the command.
        damage: received files of which a byte is changed.
        damage_pulled: sent files of which a byte is changed.
        send_error: what receiving a file ends in.
    """

    silent: bool = False
    unauthorized: bool = False
    state: str = "device"
    shell_v2: bool = True
    lose_in_push: int = 0
    hang_in_push: bool = False
    lose_in_run: int = 0
    lose_at: str = "sleep"
    damage: int = 0
    damage_pulled: int = 0
    send_error: str = ""

    def take(self, name: str) -> bool:
        """Count one down; whether there was one."""
        left = getattr(self, name)
        setattr(self, name, max(0, left - 1))
        return bool(left > 0)


class FakeAdbd:
    """A running device; `serial` is its address, `home` the folder that stands for /data/local/tmp."""

    def __init__(self, folder: Path, abi: str = "arm64-v8a", faults: Faults | None = None, port: int = 0) -> None:
        self.faults = faults or Faults()
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.received: list[str] = []
        tools = folder / "tools"
        tools.mkdir()
        (tools / "getprop").write_text(
            f'#!/bin/sh\ncase "$1" in *abilist|*abi) echo {abi};; *model) echo Fake;; *qemu) echo $VIRTUAL;; esac\n'
        )
        (tools / "getprop").chmod(0o755)
        self.environment = {"PATH": f"{tools}:{os.environ['PATH']}", "LC_ALL": "C"}
        self._listening = socket.create_server(("127.0.0.1", port))
        self.serial = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """End it, as when the cable is pulled."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._connections:
            hang_up(connection)

    def names(self) -> list[str]:
        """Everything that lies on the device, by its path from /data/local/tmp."""
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*"))

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections.append(connection)
                threading.Thread(target=Connection(self, connection).serve, daemon=True).start()


def hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class Connection:
    """One connection from an adb server, with its streams."""

    def __init__(self, device: FakeAdbd, connection: socket.socket) -> None:
        self.device, self._connection = device, connection
        self._lock = threading.Lock()
        self._streams: dict[int, Stream] = {}

    def serve(self) -> None:
        try:
            while True:
                command, first, second, size, _, _ = struct.unpack("<6I", self._read(24))
                self._packet(COMMANDS[command], first, second, self._read(size))
        except (Lost, OSError, KeyError):
            pass
        finally:
            hang_up(self._connection)
            for stream in list(self._streams.values()):
                stream.end()

    def lose(self) -> None:
        hang_up(self._connection)

    def send(self, command: str, first: int, second: int, data: bytes = b"") -> None:
        number = NUMBERS[command]
        head = struct.pack("<6I", number, first, second, len(data), sum(data) & 0xFFFFFFFF, number ^ 0xFFFFFFFF)
        with self._lock:
            self._connection.sendall(head + data)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._connection.recv(size - len(data))
            if not part:
                raise Lost
            data += part
        return data

    def _packet(self, command: str, first: int, second: int, data: bytes) -> None:
        faults = self.device.faults
        if faults.silent:
            return
        if command in ("CNXN", "AUTH"):
            if not faults.unauthorized:
                features = "shell_v2,cmd" if faults.shell_v2 else "cmd"
                names = "ro.product.name=fake;ro.product.model=Fake;ro.product.device=fake"
                banner = f"{faults.state}::{names};features={features}"
                self.send("CNXN", VERSION, MAX_DATA, banner.encode())
            elif command == "CNXN" or first == 2:  # a signature is refused; the public key (3) is never confirmed
                self.send("AUTH", 1, 0, os.urandom(20))
        elif command == "OPEN":
            stream = Stream(self, len(self._streams) + 1, first)
            self._streams[stream.local] = stream
            service = data.rstrip(b"\0").decode()
            shell = re.match(r"shell(,[^:]*)?:(.*)", service, re.DOTALL)
            if shell is None and service != "sync:":
                self.send("CLSE", 0, first)
                return
            self.send("OKAY", stream.local, first)
            target = (lambda: stream.shell(shell[2], "v2" in (shell[1] or ""))) if shell else stream.sync
            threading.Thread(target=stream.guard, args=(target,), daemon=True).start()
        elif second in self._streams:
            stream = self._streams[second]
            if command == "WRTE":
                stream.feed(data)
                self.send("OKAY", stream.local, stream.remote)
            elif command == "OKAY":
                stream.acknowledged.release()
            else:
                stream.end()


class Stream:
    """One service that the adb server opened."""

    def __init__(self, connection: Connection, local: int, remote: int) -> None:
        self.local, self.remote = local, remote
        self.acknowledged = threading.Semaphore(0)
        self._connection, self._device = connection, connection.device
        self._alive = True
        self._process: subprocess.Popen[bytes] | None = None
        self._reading, self._writing = os.pipe()

    def guard(self, target: object) -> None:
        with contextlib.suppress(Lost, OSError):
            target()  # type: ignore[operator]
        with contextlib.suppress(OSError):
            self._connection.send("CLSE", self.local, self.remote)
        self.end()

    def feed(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._writing, data)

    def end(self) -> None:
        if self._alive:
            self._alive = False
            os.close(self._writing)
            self.acknowledged.release()
            if self._process is not None:
                self._process.kill()

    def shell(self, command: str, separate: bool) -> None:
        faults = self._device.faults
        lost = faults.lose_at in command and faults.take("lose_in_run")
        process = self._process = subprocess.Popen(
            ["sh", "-c", command.replace(HOME, str(self._device.home))],
            env=self._device.environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if separate else subprocess.STDOUT,
        )  # fmt: skip
        if lost:
            self._write(struct.pack("<BI", STDOUT, 5) + b"begun" if separate else b"begun")
            self._connection.lose()
            process.kill()
            return
        stdout, stderr = process.communicate()
        if not separate:  # the terminal of old devices ends lines so
            self._write(stdout.replace(b"\n", b"\r\n"))
            return
        for number, text in ((STDOUT, stdout), (STDERR, stderr)):
            for start in range(0, len(text), MAX_DATA // 2):
                part = text[start : start + MAX_DATA // 2]
                self._write(struct.pack("<BI", number, len(part)) + part)
        self._write(struct.pack("<BIB", EXIT, 1, process.returncode & 255))

    def sync(self) -> None:
        while True:
            request, size = struct.unpack("<4sI", self._read(8))
            if request == b"QUIT":
                return
            name = self._read(size).decode()
            if request == b"STAT":
                self._stat(self._here(name))
            elif request == b"SEND":
                self._receive(name.rpartition(",")[0])
            elif request == b"RECV":
                self._transmit(self._here(name))

    def _stat(self, path: Path) -> None:
        found = path.stat() if path.exists() else None
        values = (found.st_mode, found.st_size, int(found.st_mtime)) if found else (0, 0, 0)
        self._write(struct.pack("<4s3I", b"STAT", *values))

    def _receive(self, name: str) -> None:
        faults, path, content = self._device.faults, self._here(name), b""
        lost = faults.take("lose_in_push")
        while True:
            kind, size = struct.unpack("<4sI", self._read(8))
            if kind == b"DONE":
                break
            content += self._read(size)
            path.write_bytes(content)  # as it comes: what is cut off stays
            if lost:
                self._connection.lose()
                raise Lost
        if faults.hang_in_push:
            self._read(1)
        if faults.send_error:
            text = faults.send_error.encode()
            self._write(b"FAIL" + struct.pack("<I", len(text)) + text)
            return
        if faults.take("damage"):
            path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        self._device.received.append(name)
        self._write(b"OKAY" + bytes(4))

    def _transmit(self, path: Path) -> None:
        content = path.read_bytes()
        if self._device.faults.take("damage_pulled"):
            content = content[:-1] + bytes([content[-1] ^ 1])
        for start in range(0, len(content), MAX_DATA):
            part = content[start : start + MAX_DATA]
            self._write(b"DATA" + struct.pack("<I", len(part)) + part)
        self._write(b"DONE" + bytes(4))

    def _here(self, name: str) -> Path:
        return Path(name.replace(HOME, str(self._device.home), 1))

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = os.read(self._reading, size - len(data))
            if not part:
                raise Lost
            data += part
        return data

    def _write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_DATA):
            self._connection.send("WRTE", self.local, self.remote, data[start : start + MAX_DATA])
            self.acknowledged.acquire()
            if not self._alive:
                raise Lost
