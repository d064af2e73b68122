"""A SLURM on this machine alone, with its own keys, ports and folders: for the tests, and to try the profile by hand.

    python tests/cluster.py FOLDER [--nodes 4] [--accounting]     runs until Ctrl-C

Debian's packages slurm-wlm and munge (slurmdbd and mariadb-server for accounting) and root are needed; nothing in /etc
is touched. Several slurmd on one machine are its nodes. The executor plugin drops SLURM_CONF before it calls srun, so
that clients find the configuration through /run/slurm/conf.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

CONF = Path("/run/slurm/conf")
PORTS = {"slurmctld": 16817, "slurmdbd": 16819, "mariadb": 16820, "slurmd": 16830}  # slurmd: the first of its nodes

SLURM_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={slurmctld}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
# a container has no cgroup controller: follow the process tree
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
AccountingStorageType=accounting_storage/{storage}
AccountingStorageHost=127.0.0.1
AccountingStoragePort={slurmdbd}
AccountingStoragePass={folder}/munge/socket
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# nodes share the machine: what they are said to have counts, not what slurmd finds
SlurmdParameters=config_overrides
# a partition of higher priority puts jobs back into the queue; a node that is silent this long is down
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdTimeout=10
KillWait=2
MinJobAge=300
ReturnToService=2
MpiDefault=none
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=600 State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=600 State=UP PriorityTier=2
"""

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={slurmdbd}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={mariadb}
StorageUser=slurm
StoragePass=local
StorageLoc=slurm_acct_db
"""


def missing(accounting: bool = False) -> str | None:
    """Why no SLURM can be started here; None if one can."""
    programs = ["munged", "slurmctld", "slurmd", "sbatch", "srun"]
    programs += ["slurmdbd", "mariadbd", "mariadb-install-db"] if accounting else []
    absent = [name for name in programs if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: slurm-wlm munge{' slurmdbd mariadb-server' * accounting})"
    if os.geteuid() != 0:
        return "starting a SLURM needs root"
    if Path("/etc/slurm/slurm.conf").exists() or CONF.is_symlink():
        return "this machine has a SLURM already"
    return None


def wait_for(done: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)


def said(*command: str) -> str:
    """What a command prints; nothing where it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


@contextlib.contextmanager
def slurm(folder: Path, nodes: int = 2, cpus: int = 2, accounting: bool = False) -> Iterator[list[str]]:
    """A running SLURM; gives the names of its nodes. Everything it started is ended at the end."""
    folder = folder.resolve()
    names = [f"n{k + 1}" for k in range(nodes)]
    for name in ("munge", "state", *(f"spool-{name}" for name in names)):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    facts = PORTS | {"folder": folder, "host": socket.gethostname().split(".")[0]}
    facts |= {"storage": "slurmdbd" if accounting else "none"}
    facts["nodes"] = "\n".join(
        f"NodeName={name} NodeHostname={facts['host']} NodeAddr=127.0.0.1 Port={PORTS['slurmd'] + k} CPUs={cpus} "
        "RealMemory=8000"
        for k, name in enumerate(names)
    )
    (folder / "slurm.conf").write_text(SLURM_CONF.format(**facts))
    (folder / "munge/key").write_bytes(os.urandom(128))
    (folder / "munge/key").chmod(0o400)
    CONF.parent.mkdir(exist_ok=True)
    CONF.symlink_to(folder)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        munge = [f"--{kind}-file={folder}/munge/{kind}" for kind in ("key", "pid", "seed", "log")]
        start("munged", "--force", f"--socket={folder}/munge/socket", *munge)
        if accounting:
            start_accounting(folder, facts)
        start("slurmctld", "-i")
        for name in names:
            start("slurmd", "-N", name)
        wait_for(lambda: said("sinfo", "-h", "-N", "-p", "main", "-o", "%T").split() == ["idle"] * nodes, 60, "nodes")
        yield names
    finally:
        said("scancel", "--user=root")
        for pid in (*names, "slurmctld", "slurmdbd", "mariadb", "munge/pid"):
            stop(folder / (pid if "/" in pid else f"{pid}.pid"))
        if CONF.is_symlink() and CONF.readlink() == folder:
            CONF.unlink()
        del os.environ["SLURM_CONF"]


def start(*command: str) -> None:
    """Start a daemon; it puts itself into the background."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    subprocess.run(command, check=True, env=os.environ | {"PATH": path}, stdout=subprocess.DEVNULL)


def stop(pid_file: Path, how: signal.Signals = signal.SIGTERM) -> None:
    """End the process of a pid file and wait until it is gone; one that does not end is killed."""
    if pid_file.exists() and pid_file.read_text().strip():
        pid = int(pid_file.read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)
            with contextlib.suppress(TimeoutError):
                return wait_for(lambda: not Path(f"/proc/{pid}").exists(), 30, f"end of {pid_file.stem}")
            os.kill(pid, signal.SIGKILL)


def start_accounting(folder: Path, facts: dict[str, object]) -> None:
    """slurmdbd and its MariaDB, in a folder of their own."""
    data, sock = folder / "mysql", folder / "mysql.sock"
    where = ["--no-defaults", f"--datadir={data}", "--user=root"]
    secure = ["--auth-root-authentication-method=socket", "--skip-test-db"]
    subprocess.run(["mariadb-install-db", *where, *secure], check=True, capture_output=True)
    net = ["--bind-address=127.0.0.1", f"--port={PORTS['mariadb']}", f"--socket={sock}"]
    files = [f"--pid-file={folder}/mariadb.pid", f"--log-error={folder}/mariadb.log"]
    size = ["--innodb-buffer-pool-size=128M", "--innodb-lock-wait-timeout=900"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(["mariadbd", *where, *net, *files, *size], start_new_session=True, **quiet)
    client = ["mariadb", "--no-defaults", f"--socket={sock}"]
    wait_for(lambda: said(*client, "-e", "select 1") != "", 60, "MariaDB")
    users = " ".join(
        f"create user 'slurm'@'{host}' identified by 'local'; grant all on slurm_acct_db.* to 'slurm'@'{host}';"
        for host in ("localhost", "127.0.0.1")
    )
    subprocess.run([*client, "-e", f"create database slurm_acct_db; {users}"], check=True)
    (folder / "slurmdbd.conf").touch(0o600)  # slurmdbd insists on it
    (folder / "slurmdbd.conf").write_text(SLURMDBD_CONF.format(**facts))
    start("slurmdbd")
    wait_for(lambda: said("sacctmgr", "-n", "-i", "add", "cluster", "test") != "", 60, "slurmdbd")
    said("sacctmgr", "-i", "add", "account", "default")
    said("sacctmgr", "-i", "add", "user", "root", "account=default")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--accounting", action="store_true")
    args = parser.parse_args()
    reason = missing(args.accounting)
    if reason:
        parser.exit(1, f"{reason}\n")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), slurm(args.folder, args.nodes, accounting=args.accounting) as names:
        print(f"SLURM with the nodes {', '.join(names)}; Ctrl-C ends it", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
