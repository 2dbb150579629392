"""A real Slurm of one node for tests: munged, slurmctld and slurmd of Debian's packages, on loopback, in one folder.

Nothing is written outside that folder. Snakemake's jobs call `srun` without SLURM_CONF (its plugin for job steps drops
the variable), which a real node answers by /etc/slurm/slurm.conf; here an `srun` first in PATH sets it again. So no
file is left in /etc, where one without a living Slurm would slow every start of Snakemake by ten seconds.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "setpriv")
SYSTEM_CONFIGURATION = Path("/etc/slurm/slurm.conf")
CPUS = 32
"""Of the node, whatever the machine has: several jobs ask for four."""
MEMORY = 64_000
"""Of the node, in MB, whatever the machine has."""

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/finished.txt
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
KillWait=15
MinJobAge=3600
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=node Default=YES MaxTime=24:00:00 State=UP
"""


def impossible() -> str | None:
    """Return why no Slurm can be started here; None where one can."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if missing:
        return f"{', '.join(missing)} not installed (Debian: munge, slurmctld, slurmd, slurm-client)"
    if os.geteuid() != 0:
        return "slurmd must be started by root"
    if os.path.lexists(SYSTEM_CONFIGURATION):
        return f"this machine belongs to a cluster: {SYSTEM_CONFIGURATION} is there"
    return None


@dataclass(frozen=True)
class Slurm:
    """A cluster that runs.

    Attributes:
        folder: all that it writes.
        environment: variables with which Slurm's programs, and Snakemake, find it.
    """

    folder: Path
    environment: dict[str, str]

    def ask(self, *command: str) -> str:
        """Return what one of Slurm's programs prints."""
        return subprocess.run(
            command, env=os.environ | self.environment, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def jobs(self) -> dict[str, str]:
        """Return the state of every job, by its number."""
        return dict(
            line.split() for line in self.ask("squeue", "--noheader", "--states=all", "-o", "%i %T").splitlines()
        )

    def finished(self) -> list[dict[str, str]]:
        """Return what Slurm noted of each job that has ended, in that order."""
        lines = (self.folder / "finished.txt").read_text().splitlines()
        return [dict(pair.split("=", 1) for pair in line.split() if "=" in pair) for line in lines]


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """Start a cluster that works in `folder`; end it, and its jobs, afterwards."""
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            host=socket.gethostname().split(".")[0], folder=folder, ports=_free_ports(2), cpus=CPUS, memory=MEMORY
        )
    )
    srun = folder / "bin/srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    environment = {
        "SLURM_CONF": str(configuration),
        "PATH": f"{srun.parent}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{_path()}",
    }
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    munged = (
        "munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={key}",
        f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed",
    )  # fmt: skip
    started: list[subprocess.Popen[bytes]] = []
    cluster = Slurm(folder, environment)
    try:
        for command in (munged, ("slurmctld", "-D", "-c"), ("slurmd", "-D", "-N", "node")):
            started.append(_start(command, cluster))
        _wait_until_idle(cluster, started)
        yield cluster
    finally:
        _end(cluster, started)


def _path() -> str:
    return f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin"


def _free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _start(command: tuple[str, ...], cluster: Slurm) -> "subprocess.Popen[bytes]":
    """Start a daemon as a child that gets SIGTERM when this process ends, however that comes about."""
    with (cluster.folder / f"{command[0]}.out").open("wb") as out:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command], cwd=cluster.folder, env=os.environ | cluster.environment,
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def _wait_until_idle(cluster: Slurm, started: "list[subprocess.Popen[bytes]]") -> None:
    deadline = time.monotonic() + 60
    state = ""
    while state != "idle":
        ended = [process for process in started if process.poll() is not None]
        if ended or time.monotonic() > deadline:
            logs = "".join(path.read_text()[-3000:] for path in cluster.folder.glob("*.log"))
            raise RuntimeError(f"Slurm did not start (ended: {[process.args for process in ended]}):\n{logs}")
        time.sleep(0.1)
        if (cluster.folder / "slurmctld.pid").exists():
            try:
                state = cluster.ask("sinfo", "--noheader", "-o", "%t").strip()
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                state = ""


def _end(cluster: Slurm, started: "list[subprocess.Popen[bytes]]") -> None:
    """Cancel what runs, then end the daemons, the last first."""
    try:
        if len(started) == 3 and all(process.poll() is None for process in started):
            cluster.ask("scancel", "--user", "root")
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and {"RUNNING", "COMPLETING"} & set(cluster.jobs().values()):
                time.sleep(0.2)
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
