"""Commands as processes of their own, that tests look at and send signals to while they run."""

import os
import subprocess
import sys
import time
from pathlib import Path

import command_runs
import quick_command

QUICK = Path(quick_command.__file__)


def start(script, *arguments, cwd, encoding="utf-8", **variables):
    """`python SCRIPT ARGUMENTS` in the folder `cwd`, begun."""
    return subprocess.Popen(
        command_runs.command(script, *arguments),
        env=command_runs.process_environment(PYTHONPATH=str(command_runs.ROOT), PYTHONIOENCODING=encoding, **variables),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def start_quick(*overrides, cwd, **variables):
    return start(QUICK, *overrides, quick_command.WITHOUT_SUMMARY, cwd=cwd, **variables)


def end(process, seconds=120):
    """(exit code, stdout, stderr) of a command that is left to end."""
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def wait_for(path, process, seconds=60):
    """Until this file is there; no longer than the process lives."""
    last = time.monotonic() + seconds
    while not path.exists() and process.poll() is None and time.monotonic() < last:
        time.sleep(0.02)
    assert path.exists(), end(process)


def wait_until_heeding(process, number, seconds=60):
    """Until the process has an answer of its own to this signal; no longer than it lives."""
    last, caught = time.monotonic() + seconds, 0
    while not caught >> (number - 1) & 1:
        assert process.poll() is None and time.monotonic() < last, end(process)
        time.sleep(0.005)
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1], 16)


def interrupt(process, number):
    process.send_signal(number)
    return end(process)


def journal(path):
    """[(process, "begun" or "ended", seed)] in the order in which it happened."""
    return [(int(pid), what, int(seed)) for pid, what, seed in (line.split() for line in path.read_text().splitlines())]


def holder(folder):
    """A process that is at work in this folder; ready when it is returned."""
    code = (
        "import sys, time; from pathlib import Path; from memunlearn.commands.claims import hold; "
        "print(hold(Path(sys.argv[1])), flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(command_runs.ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], env=environment, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"True\n"
    return process
