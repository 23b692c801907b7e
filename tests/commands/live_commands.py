"""Commands as processes of their own, that tests look at and send signals to while they run."""

import subprocess
import time
from pathlib import Path

import command_runs
import quick_command

QUICK = Path(quick_command.__file__)


def start(script, *arguments, cwd, encoding="utf-8", **variables):
    """`python SCRIPT ARGUMENTS` in the folder `cwd`, begun."""
    variables = {"PYTHONPATH": str(command_runs.ROOT), "PYTHONIOENCODING": encoding, **variables}
    return subprocess.Popen(
        command_runs.command(script, *arguments),
        env=command_runs.process_environment(**variables),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def start_quick(*overrides, cwd, gate="open", **variables):
    """The quick command; it waits until there is a file `gate` in cwd (from the start, if it is "open")."""
    (cwd / ".gates").mkdir(exist_ok=True)
    (cwd / ".gates" / "open").touch()
    variables |= {"JOURNAL": str(cwd / ".gates" / "journal"), "GATE": str(cwd / ".gates" / gate)}
    return start(QUICK, *overrides, quick_command.WITHOUT_SUMMARY, cwd=cwd, **variables)


def open_gate(cwd, gate="gate"):
    (cwd / ".gates" / gate).touch()


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


def journal(cwd):
    """[(process, "begun" or "ended", seed)] of quick commands, in the order in which it happened."""
    path = cwd / ".gates" / "journal"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [(int(pid), what, int(seed)) for pid, what, seed in (line.split() for line in lines)]
