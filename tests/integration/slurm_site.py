"""A SLURM of one node, started for a test and ended with it."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol")
STARTS_IN_S = 30

CONF = """\
ClusterName=test
SlurmctldHost={host}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=5
JobCompType=jobcomp/none
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} CPUs=64 RealMemory=500000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def why_not():
    """Why SLURM cannot be started here; empty if it can."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [name for name in PROGRAMS if not shutil.which(name, path=path)]
    if missing:
        return f"SLURM is not installed ({', '.join(missing)} missing): make test-packages"
    return "" if os.geteuid() == 0 else "SLURM's daemons are started by root alone"


def free_port():
    with socket.socket() as listener:
        listener.bind(("", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(folder, gpus=2):
    """SLURM's environment while its daemons run; their files are in the folder.

    The node pretends to be a GPU server; its GPUs are empty files.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    devices = [folder / f"gpu{k}" for k in range(gpus)]
    for device in devices:
        device.touch()
    (folder / "gres.conf").write_text("".join(f"Name=gpu File={d}\n" for d in devices))
    conf = CONF.format(
        host=socket.gethostname(),
        user=getpass.getuser(),
        folder=folder,
        controller_port=free_port(),
        node_port=free_port(),
        gpus=gpus,
    )
    (folder / "slurm.conf").write_text(conf)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    environment = os.environ | {
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
    }
    munge = {
        "key-file": key,
        "socket": folder / "munge.socket",
        "pid-file": folder / "munged.pid",
        "log-file": folder / "munged.log",
        "seed-file": folder / "munge.seed",
    }
    daemons = (
        ["munged", "--foreground", "--force", *(f"--{k}={v}" for k, v in munge.items())],
        ["slurmctld", "-D", "-i"],
        ["slurmd", "-D"],
    )
    with contextlib.ExitStack() as stack:
        for daemon in daemons:
            with (folder / f"{daemon[0]}.out").open("w") as out:
                process = subprocess.Popen(daemon, env=environment, stdout=out, stderr=out)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            if daemon[0] == "munged":
                wait_for(munge["socket"].exists, folder)
        wait_for(lambda: "idle" in ask(environment, "sinfo", "-h", "-o", "%T"), folder)
        yield environment
        ask(environment, "scancel", "--user", getpass.getuser())
        wait_for(lambda: not ask(environment, "squeue", "-h"), folder)


def ask(environment, *command):
    """What one of SLURM's programs prints."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def states(environment):
    """What became of every job and task that SLURM remembers, by id."""
    lines = ask(environment, "squeue", "--states=all", "--array", "-h", "-o", "%i %T").splitlines()
    return dict(line.split() for line in lines)


def wait_for(condition, folder):
    deadline = time.monotonic() + STARTS_IN_S
    while not condition():
        logs = [path.read_text()[-2000:] for path in sorted(Path(folder).glob("*.log"))]
        assert time.monotonic() < deadline, "\n".join(logs)
        time.sleep(0.1)


def working_in(folder):
    """Processes that have a file of the folder open."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if file.readlink().is_relative_to(folder):
                found.add(int(file.parts[2]))
    return found
