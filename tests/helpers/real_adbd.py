"""A throw-away phone for tests: Debian's real adbd in namespaces of its own, with an aarch64 Android-shaped root.

Nothing is installed: packages are downloaded with apt into a private folder and unpacked. adbd serves one socket on
loopback whose port the kernel chose. Programs for aarch64 run by qemu through a binfmt_misc of the namespace's own
(Linux 6.7), as user 2000 like Android's shell; /data/local/tmp is the only place to write.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).parent
SUITE = "bookworm-backports"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
BACKPORTS = ("adbd", "android-libbase", "android-liblog", "android-libcutils", "android-libboringssl")
STABLE = ("libprotobuf32:amd64", "mksh:arm64", "busybox-static:arm64")
APPLETS = (
    "cat chmod cp df echo env false grep head id ls mkdir mount mv nproc ps rm sha256sum sleep touch true uname wc"
)
QEMU = "/usr/bin/qemu-aarch64-static"
# The kernel's registration line: 64-bit little-endian ELF executables for machine 183 (EM_AARCH64).
ELF_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
ELF_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
BINFMT = f":aarch64:M::{ELF_MAGIC}:{ELF_MASK}:{QEMU}:F"
PROPERTIES = {
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.product.cpu.abilist": "arm64-v8a",
    "ro.product.manufacturer": "qatflow",
    "ro.product.model": "Phone",
    "ro.build.version.release": "11",
}
GETPROP = """#!/system/bin/sh
while IFS='=' read -r name value; do [ "$name" = "$1" ] && echo "$value"; done < /system/build.prop
"""
# $1 mount point, $2 image, $3 size of /data, $4 binfmt line, $5 options of /data, $6 sysroot, $7 ABI if another.
INSIDE = """set -e
mount -t tmpfs -o mode=755,size=96m phone "$1"; cp -dR "$2/." "$1/"
mount -t tmpfs -o "mode=777,size=$3$5" data "$1/data/local/tmp"
mount -t proc proc "$1/proc"
[ -z "$7" ] || sed -i "s/arm64-v8a/$7/" "$1/system/build.prop"
for name in null zero urandom; do : > "$1/dev/$name"; mount --bind "/dev/$name" "$1/dev/$name"; done
mount -t devpts -o newinstance,ptmxmode=666 devpts "$1/dev/pts"; ln -s pts/ptmx "$1/dev/ptmx"
mount --bind "$6" "$1/system/sysroot"
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
printf '%s' "$4" > /proc/sys/fs/binfmt_misc/register
mount -o remount,bind,ro "$1"
exec unshare --user --map-user=2000 --map-group=2000 --root="$1" --wd=/ \
  /adbd/ld-linux-x86-64.so.2 --library-path /adbd --preload /adbd/properties.so /adbd/adbd
"""


class Unavailable(Exception):  # noqa: N818 - not an error of the code under test
    """The phone cannot be had on this machine; the text says why."""


def make_image(cache: Path) -> Path:
    """Return the phone's root file system, downloading and assembling it on first use."""
    with FileLock(cache / "image.lock"):
        return _image(cache)


def _image(cache: Path) -> Path:
    image = cache / "image"
    if image.is_dir():
        return image
    for command in ("apt-get", "dpkg-deb", "gcc", "unshare", "qemu-aarch64-static"):
        if shutil.which(command) is None:
            raise Unavailable(f"no {command}")
    work = cache / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    download(work, (*(f"{name}:amd64/{SUITE}" for name in BACKPORTS), *STABLE), ("bookworm", SUITE))
    _assemble(work, work / "image")
    (work / "image").rename(image)
    shutil.rmtree(work)
    return image


def run(*command: str, cwd: Path, config: Path | None = None) -> str:
    environment = os.environ | {"LC_ALL": "C"} | ({"APT_CONFIG": str(config)} if config else {})
    answer = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if answer.returncode != 0:
        raise Unavailable(f"{command[0]} {command[1]}: {(answer.stderr or answer.stdout).strip()[-300:]}")
    return answer.stdout


def download(work: Path, packages: Sequence[str], suites: Sequence[str] = ("bookworm",)) -> None:
    """Unpack packages of the system's own Debian mirror below `work`/root; the system's package lists stay alone."""
    targets = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", cwd=work)
    mirror = next((line.split()[0] for line in targets.splitlines() if line.split()[1:] == ["bookworm", "main"]), None)
    if mirror is None:
        raise Unavailable("this system's package sources do not have Debian bookworm")
    for folder in ("lists/partial", "cache/archives/partial", "state"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    lines = [f"deb [signed-by={KEYRING}] {mirror} {suite} main\n" for suite in suites]
    (work / "sources.list").write_text("".join(lines))
    config = work / "apt.conf"
    config.write_text(
        f'Dir::State "{work}/state"; Dir::State::Lists "{work}/lists"; Dir::State::status "{work}/status";'
        f'Dir::Cache "{work}/cache"; Dir::Etc::sourcelist "{work}/sources.list"; Dir::Etc::sourceparts "-";'
        'APT::Architectures {"amd64"; "arm64";}; Acquire::Languages "none"; Debug::NoLocking "true";'
        f'APT::Sandbox::User "";'
    )
    run("apt-get", "update", "--quiet", cwd=work, config=config)
    run("apt-get", "download", *packages, cwd=work, config=config)
    for package in work.glob("*.deb"):
        run("dpkg-deb", "--extract", str(package), "root", cwd=work)


def _assemble(work: Path, image: Path) -> None:
    for folder in ("system/bin", "system/sysroot", "adbd", "proc", "dev/pts", "data/local/tmp"):
        (image / folder).mkdir(parents=True)
    (image / "bin").symlink_to("system/bin")
    root = work / "root"
    shutil.copy(root / "usr/lib/aarch64-linux-musl/bin/mksh", image / "system/bin/sh")
    shutil.copy(root / "bin/busybox", image / "system/bin/busybox")
    for applet in APPLETS.split():
        (image / "system/bin" / applet).symlink_to("busybox")
    (image / "system/bin/getprop").write_text(GETPROP)
    (image / "system/bin/getprop").chmod(0o755)
    (image / "system/build.prop").write_text("".join(f"{name}={value}\n" for name, value in PROPERTIES.items()))

    adbd = root / "usr/lib/android-sdk/platform-tools/adbd"
    libraries = root / "usr/lib/x86_64-linux-gnu"
    shutil.copy(adbd, image / "adbd/adbd")
    path = f"{libraries}/android:{libraries}"
    needed = run("env", f"LD_LIBRARY_PATH={path}", "ldd", str(adbd), cwd=work)
    for word in needed.split():
        if word.startswith("/"):
            shutil.copy(word, image / "adbd" / Path(word).name)
    run(
        "gcc", "-shared", "-fPIC", "-O2", "-o", str(image / "adbd/properties.so"), str(HERE / "adbd_properties.c"),
        "-Wl,--no-as-needed", f"-L{libraries}/android", "-l:libbase.so.0", "-Wl,--allow-shlib-undefined", cwd=work,
    )  # fmt: skip


class Phone:
    """A running phone; `serial` is its address for `adb connect`."""

    def __init__(self, image: Path, work: Path, sysroot: Path, **options: str) -> None:
        """Start it.

        Args:
            image: root file system of make_image.
            work: a new folder.
            sysroot: the files that tell programs of the CPU.
            options: size: of /data/local/tmp; mount: its mount options; abi: what it says that it runs.
        """
        self.options = options
        size = options.get("size", "64m")
        mounted = f",{options['mount']}" if "mount" in options else ""
        work.mkdir(parents=True)
        listening = socket.create_server(("127.0.0.1", 0))
        listening.set_inheritable(True)
        self._log = work / "log"
        mount = work / "root"
        mount.mkdir()
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                ["unshare", "--user", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--kill-child",
                 "bash", "-c", INSIDE, "phone", str(mount), str(image), size, BINFMT, mounted, str(sysroot),
                 options.get("abi", "")],
                env={"PATH": "/system/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "QEMU_CPU": "cortex-a76",
                     "QEMU_LD_PREFIX": "/system/sysroot",
                     "PHONE_PROPERTIES": f"service.adb.listen_addrs=acceptfd:{listening.fileno()}\n"
                     "ro.product.name=phone\nro.product.model=Phone\nro.product.device=phone"},
                pass_fds=[listening.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.serial = f"127.0.0.1:{listening.getsockname()[1]}"
        listening.close()
        time.sleep(0.2)
        if not self.runs():
            raise Unavailable(self.why_not())

    def why_not(self) -> str:
        """Return what was said as it ended."""
        return f"no namespaces to run it in: {self._log.read_text().strip()[-300:]}"

    def runs(self) -> bool:
        """Whether it was not stopped."""
        return self._process.poll() is None

    def hang(self) -> None:
        """Make it answer nothing any more, with its connections open."""
        for process in processes(self._process.pid):
            os.kill(process, signal.SIGSTOP)

    def stop(self) -> None:
        """End it and all that runs in it, as when the cable is pulled."""
        self._process.kill()
        self._process.wait(timeout=30)


def processes(parent: int) -> list[int]:
    """Return the numbers of all processes below one."""
    below: list[int] = []
    waiting = [parent]
    while waiting:
        children = Path(f"/proc/{waiting[0]}/task/{waiting.pop(0)}/children").read_text().split()
        waiting += map(int, children)
        below += map(int, children)
    return below
