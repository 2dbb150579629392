"""A throw-away board for tests: Debian's real sshd in namespaces of its own, with an aarch64 root.

As in real_adbd.py nothing is installed, and programs for aarch64 run by qemu. sshd runs as the board's user, whose home
folder is the only place to write. It listens on loopback alone, and knows one key.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import zlib
from pathlib import Path

from filelock import FileLock

from helpers.real_adbd import BINFMT, Unavailable, download, processes, run

LOGIN_SHELLS = {"tcsh": "bin/tcsh", "fish": "usr/bin/fish"}
"""Other shells that the board's user may log in with, by their packages."""
PACKAGES = (
    *("openssh-server:amd64", "libwrap0:amd64", "busybox-static:arm64", "libpcre2-32-0:amd64"),
    *(f"{name}:amd64" for name in LOGIN_SHELLS),
)
APPLETS = "cat chmod cp df echo env false grep head id ls mkdir mv nproc ps rm sha256sum sleep touch tr true uname wc"
PASSWD = "root:x:0:0::/:/bin/sh\nsshd:x:101:65534::/:/bin/false\npi:x:1000:1000::{home}:/bin/{shell}\n"
CONFIG = """\
HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
SetEnv QEMU_CPU=cortex-a76 QEMU_LD_PREFIX=/sysroot
"""
# busybox starts its own program under the name of an applet: qemu must see that name, hence P (preserve argv[0]).
# $1 mount point, $2 image, $3 options of the home folder, $4 binfmt line, $5 sysroot, $6 etc, $7 port.
INSIDE = """set -e
mount -t tmpfs -o mode=755,size=96m board "$1"; cp -dR "$2/." "$1/"; cp -R "$6/." "$1/etc/"
mount -t tmpfs -o "mode=777,$3" home "$1/home/pi"
mount -t proc proc "$1/proc"
for name in null zero urandom; do : > "$1/dev/$name"; mount --bind "/dev/$name" "$1/dev/$name"; done
mount --bind "$5" "$1/sysroot"
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
printf '%s' "$4" > /proc/sys/fs/binfmt_misc/register
[ ! -e "$1/etc/sh" ] || ln -sf "$(cat "$1/etc/sh")" "$1/bin/sh"
[ ! -e "$1/etc/without" ] || rm "$1/bin/$(cat "$1/etc/without")"
mount -o remount,bind,ro "$1"
exec unshare --user --map-user=1000 --map-group=1000 --root="$1" --wd=/ \
  /usr/sbin/sshd -D -e -f /etc/ssh/config -p "$7" -o ListenAddress=127.0.0.1
"""


def make_image(cache: Path) -> Path:
    """Return the board's root file system, which the first call downloads and assembles."""
    with FileLock(cache / "image.lock"):
        image = cache / f"image-{zlib.crc32(' '.join(PACKAGES).encode()):08x}"
        if image.is_dir():
            return image
        for command in ("apt-get", "dpkg-deb", "unshare", "qemu-aarch64-static", "ssh", "ssh-keygen"):
            if shutil.which(command) is None:
                raise Unavailable(f"no {command}")
        work = cache / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        download(work, PACKAGES)
        _assemble(work, work / "image")
        (work / "image").rename(image)
        shutil.rmtree(work)
        return image


def _assemble(work: Path, image: Path) -> None:
    for folder in ("bin", "usr/sbin", "etc", "proc", "dev", "home/pi", "sysroot", "lib64", "lib/x86_64-linux-gnu"):
        (image / folder).mkdir(parents=True)
    root = work / "root"
    shutil.copy(root / "bin/busybox", image / "bin/busybox")
    (image / "bin/sh").symlink_to("busybox")
    for applet in APPLETS.split():
        (image / "bin" / applet).symlink_to("busybox")
    shutil.copy("/bin/dash", image / "bin/dash")
    shutil.copy(root / "usr/sbin/sshd", image / "usr/sbin/sshd")
    for name, place in LOGIN_SHELLS.items():
        shutil.copy(root / place, image / "bin" / name)
    path = f"LD_LIBRARY_PATH={root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu"
    programs = ("usr/sbin/sshd", *(f"bin/{name}" for name in LOGIN_SHELLS))
    needed = run("env", path, "ldd", *(str(image / name) for name in programs), cwd=work)
    for word in needed.split():
        if word.startswith("/") and not word.endswith(":"):  # which ends the name of a program
            shutil.copy(word, image / ("lib64" if "ld-linux" in word else "lib/x86_64-linux-gnu") / Path(word).name)


class Board:
    """A running board; `port` is its sshd's on loopback, `key` the private key that it accepts."""

    def __init__(self, image: Path, work: Path, sysroot: Path, **options: str) -> None:
        """Start it.

        Args:
            image: root file system of make_image.
            work: a new folder.
            sysroot: the files that tell programs of the CPU.
            options: size: of the home folder; mount: its other mount options; home: of its user; shell: that its user
                logs in with; sh: which program is its sh; without: a program that it does not have; rc: what sshd runs
                before each command.
        """
        self.options = options
        etc = work / "etc"
        (etc / "ssh").mkdir(parents=True)
        self.key = work / "key"
        for key in (self.key, etc / "ssh/host_key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key), cwd=work)
        shutil.copy(work / "key.pub", etc / "ssh/authorized_keys")
        (etc / "ssh/config").write_text(CONFIG)
        (etc / "passwd").write_text(
            PASSWD.format(home=options.get("home", "/home/pi"), shell=options.get("shell", "sh"))
        )
        for option in ("sh", "without"):
            if option in options:
                (etc / option).write_text(options[option])
        if "rc" in options:
            (etc / "ssh/sshrc").write_text(options["rc"])
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.known = f"[127.0.0.1]:{self.port} {(etc / 'ssh/host_key.pub').read_text()}"
        mount = work / "root"
        mount.mkdir()
        self._log = work / "log"
        home = ",".join(filter(None, (f"size={options.get('size', '64m')}", options.get("mount"))))
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c",
                 INSIDE, "board", str(mount), str(image), home, f"{BINFMT}P", str(sysroot), str(etc), str(self.port)],
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        until = time.monotonic() + 30
        while not self._listens():
            if not self.runs() or time.monotonic() > until:
                raise Unavailable(f"sshd did not start: {self._log.read_text().strip()[-300:]}")
            time.sleep(0.02)

    def runs(self) -> bool:
        """Whether it was not stopped."""
        return self._process.poll() is None

    def drop(self) -> None:
        """End all connections, as when the network goes away for a moment; sshd goes on."""
        for process in self.processes()[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def hang(self) -> None:
        """Make it answer nothing any more, with its connections open."""
        for process in self.processes():
            os.kill(process, signal.SIGSTOP)

    def stop(self) -> None:
        """End it and all that runs in it, as when its power is cut."""
        self._process.kill()
        self._process.wait(timeout=30)

    def processes(self) -> list[int]:
        """Return the numbers of all processes in it, as this machine has them."""
        return processes(self._process.pid)

    def _listens(self) -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.port)) == 0
