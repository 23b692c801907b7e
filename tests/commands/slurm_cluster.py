"""A Slurm of one node on this machine alone: started and ended by whoever asks for it, everything of it in one folder."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
SBIN = "/usr/sbin"  # where Debian has the daemons, and not every user's PATH
GRACE = 60  # seconds that a preempted job is given
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
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
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,sched_min_interval=0,defer
KillWait=2
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=all Nodes={host} Default=YES State=UP PriorityTier=1 GraceTime={grace}
PartitionName=urgent Nodes={host} State=UP PriorityTier=10
"""


def missing() -> str | None:
    """Why there can be no Slurm here; None if there can."""
    absent = [program for program in PROGRAMS if _program(program) is None]
    if absent:
        return f"no {', '.join(absent)} here: apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "only root can start Slurm's daemons"


@contextlib.contextmanager
def running() -> Iterator[dict[str, str]]:
    """The environment variables under which Slurm's commands find this cluster, while it runs."""
    # Sockets have short names, and pytest's folders long ones.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        conf = CONF.format(grace=GRACE, folder=folder, host=_host(), controller_port=_free_port(), node_port=_free_port())
        (folder / "slurm.conf").write_text(conf)
        key = folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        places = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        _start(stack, folder, "munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *places)
        _wait_for(lambda: (folder / "munge.socket").exists(), folder, "munge's socket")
        _start(stack, folder, "slurmctld", "-D", "-i", **environment)
        _start(stack, folder, "slurmd", "-D", **environment)
        _wait_for(lambda: "idle" in slurm("sinfo", "-h", "-o", "%T", check=False, **environment), folder, "an idle node")
        stack.callback(_cancel_all, environment)  # jobs outlive the daemons
        yield environment


def slurm(*command: str, check: bool = True, **environment: str) -> str:
    """What one of Slurm's commands prints."""
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), SBIN]))


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(stack: contextlib.ExitStack, folder: Path, name: str, *arguments: str, **environment: str) -> None:
    """A daemon in the foreground, ended with the stack."""
    program = _program(name)
    assert program is not None
    output = stack.enter_context((folder / f"{name}.out").open("w"))
    process = subprocess.Popen([program, *arguments], env={**os.environ, **environment}, stdout=output, stderr=output)
    stack.callback(_end, process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _cancel_all(environment: dict[str, str], seconds: float = 30) -> None:
    last = time.monotonic() + seconds
    while (left := slurm("squeue", "-hro", "%i", check=False, **environment).split()) and time.monotonic() < last:
        slurm("scancel", *left, check=False, **environment)
        time.sleep(1)


def _wait_for(there, folder: Path, what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not there():
        logs = {path.name: path.read_text(errors="replace")[-2000:] for path in folder.glob("*.[ol][uo][tg]")}
        assert time.monotonic() < end, f"{what} did not come in {seconds} seconds: {logs}"
        time.sleep(0.2)
