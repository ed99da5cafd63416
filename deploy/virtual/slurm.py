"""A real Slurm over virtual hosts: its servers run on the first, slurmd on each other one."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.virtual.accounting import begin_database, start_accounting
from deploy.virtual.hosts import Host

PARTITION = "main"
SHORT_PARTITION = "short"
_UP_S = 30.0
_LOOK_S = 0.05


def configuration(folder: Path, hosts: Sequence[Host], *, cpus: int) -> str:
    """The text of ``slurm.conf``.

    Two partitions: ``main`` (the default, an hour at most) and ``short`` (a single node, for ten
    minutes at most). Every node has 4 GB, ``cpus`` CPUs whatever the machine has, and the feature
    ``fast``. Jobs need an account, and are held to its limits; root has one. A quality of service
    may displace jobs of another. It needs neither cgroups nor a service manager.

    Args:
        folder: for sockets, state and logs; its path must be short enough for a socket's.
        hosts: where slurmctld is to run, then the nodes.
        cpus: of each node.
    """
    login, *nodes = hosts
    names = ",".join(node.name for node in nodes)
    described = [
        f"NodeName={node.name} NodeAddr={node.address} CPUs={cpus} RealMemory=4000 Feature=fast"
        for node in nodes
    ]
    lines = [
        "ClusterName=virtual",
        f"SlurmctldHost={login.name}({login.address})",
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={folder}/munge/socket",
        "CredType=cred/munge",
        f"StateSaveLocation={folder}/state",
        f"SlurmdSpoolDir={folder}/spool-%n",
        # Nodes that share it collide: each virtual host has a /mnt of its own.
        "TmpFS=/mnt",
        f"SlurmctldPidFile={folder}/slurmctld.pid",
        f"SlurmdPidFile={folder}/slurmd-%n.pid",
        f"SlurmctldLogFile={folder}/slurmctld.log",
        f"SlurmdLogFile={folder}/slurmd-%n.log",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "JobAcctGatherType=jobacct_gather/none",
        "AccountingStorageType=accounting_storage/slurmdbd",
        f"AccountingStorageHost={login.address}",
        f"AccountingStoragePass={folder}/munge/socket",
        "AccountingStorageEnforce=associations,limits,qos",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "DefMemPerCPU=500",
        "SchedulerType=sched/backfill",
        "PreemptType=preempt/qos",
        "PreemptMode=REQUEUE",
        "SchedulerParameters=bf_interval=1,sched_min_interval=0,batch_sched_delay=0",
        "ReturnToService=2",
        "SlurmdTimeout=10",
        "KillWait=3",
        "MinJobAge=300",
        "SlurmdParameters=config_overrides",
        "PropagateResourceLimits=NONE",
        *described,
        f"PartitionName={PARTITION} Nodes={names} Default=YES MaxTime=60 DefaultTime=10",
        f"PartitionName={SHORT_PARTITION} Nodes={names} MaxNodes=1 MaxTime=10 DefaultTime=5",
    ]
    return "\n".join(lines) + "\n"


@contextmanager
def slurm_over(hosts: Sequence[Host], folder: Path, *, cpus: int) -> Iterator[dict[str, str]]:
    """Slurm on the hosts, all nodes idle; it ends with them.

    Yields:
        The environment that Slurm's commands need.

    Raises:
        TimeoutError: daemons or nodes that did not come up; with what their logs say.
    """
    login, *nodes = hosts
    database = begin_database(folder)
    (folder / "slurm.conf").write_text(configuration(folder, hosts, cpus=cpus))
    (folder / "state").mkdir(mode=0o700)
    (folder / "munge").mkdir()
    _write_key(folder / "munge.key")
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    login.start_daemon(_munged(folder), environment)
    start_accounting(login, folder, environment, database)
    login.start_daemon(["slurmctld", "-c"], environment)
    for node in nodes:
        node.start_daemon(["slurmd", "-N", node.name], environment)
    _await_idle(hosts, environment, folder)
    yield environment


def _munged(folder: Path) -> list[str]:
    return [
        "munged",
        f"--key-file={folder}/munge.key",
        f"--socket={folder}/munge/socket",
        f"--pid-file={folder}/munged.pid",
        f"--log-file={folder}/munged.log",
        f"--seed-file={folder}/munged.seed",
    ]


def _write_key(file: Path) -> None:
    file.touch(mode=0o600)
    file.write_bytes(secrets.token_bytes(1024))


def _await_idle(hosts: Sequence[Host], environment: dict[str, str], folder: Path) -> None:
    login, *nodes = hosts
    words = login.command(["sinfo", "--noheader", "--Node", "-p", PARTITION, "--format=%T"])
    deadline_s = time.monotonic() + _UP_S
    while True:
        shown = subprocess.run(
            words, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        if shown.stdout.split() == ["idle"] * len(nodes):
            return
        if time.monotonic() > deadline_s:
            ends = [f"{log}:\n{log.read_text()[-500:]}" for log in sorted(folder.glob("*.log"))]
            raise TimeoutError(
                f"{len(nodes)} nodes must be idle within {_UP_S:g} s, but sinfo says"
                f" {shown.stdout.split() or shown.stderr}.\n" + "\n".join(ends)
            )
        time.sleep(_LOOK_S)
