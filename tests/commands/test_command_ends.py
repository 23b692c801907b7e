"""A command that is told to end says how to go on, and its exit code is not that of success."""

import re
import signal
import subprocess
import sys
import time

import command_runs
import live_commands
import pytest
import quick_command

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGUSR1: 138}


def told(err):
    """What the one line says, after the signal's name."""
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("interrupted by ")]
    return line.partition(": ")[2]


@pytest.mark.parametrize("number", CODES)
def test_a_run_ends_with_the_signals_code_and_a_line(tmp_path, number):
    process = live_commands.start_quick("hydra.run.dir=here", cwd=tmp_path, gate="never")
    live_commands.wait_for(tmp_path / "here" / "begun", process)
    code, _, err = live_commands.interrupt(process, number)
    assert code == CODES[number] and told(err) == "run the same command again"
    assert f"interrupted by {signal.Signals(number).name}: " in err and not (tmp_path / "here" / "result.json").exists()


def test_with_a_checkpoint_the_line_is_the_command_that_resumes(tmp_path):
    folder = tmp_path / "a = b"
    process = live_commands.start_quick(f"hydra.run.dir='{folder}'", cwd=tmp_path, gate="never", CHECKPOINT="1")
    live_commands.wait_for(folder / "checkpoints" / "last.ckpt", process)
    code, _, err = live_commands.interrupt(process, signal.SIGTERM)
    (pasted,) = re.findall(r"go on with `(.*)`", told(err))
    arguments = subprocess.run(["sh", "-c", f'python() {{ printf "%s\\n" "$@"; }}; {pasted}'], capture_output=True, text=True)
    script, resume, where = arguments.stdout.splitlines()
    assert (code, script, resume) == (143, str(live_commands.QUICK), "resume=true")
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (override,) = OverridesParser.create().parse_overrides([where])
    assert override.key_or_group == "hydra.run.dir" and override.value() == str(folder)


def test_another_runs_checkpoint_is_not_gone_on_with(tmp_path):
    (tmp_path / "here" / "checkpoints").mkdir(parents=True)
    (tmp_path / "here" / "checkpoints" / "last.ckpt").touch()
    process = live_commands.start_quick("hydra.run.dir=here", cwd=tmp_path, gate="never")
    live_commands.wait_for(tmp_path / "here" / "begun", process)
    assert told(live_commands.interrupt(process, signal.SIGTERM)[2]) == "run the same command again"


def test_a_sweep_ends_and_starts_no_further_job(tmp_path):
    process = live_commands.start_quick("-m", "seed=0,1", "hydra.sweep.dir=here", cwd=tmp_path, gate="never")
    live_commands.wait_for(tmp_path / "here" / "0" / "begun", process)
    code, _, err = live_commands.interrupt(process, signal.SIGINT)
    assert code == 130 and not (tmp_path / "here" / "1").exists() and not list(tmp_path.rglob("error.json"))
    assert told(err) == f"run the same command again with `hydra.sweep.dir={tmp_path / 'here'}`: finished jobs are skipped"


def test_an_ignored_signal_stays_ignored(tmp_path):
    """As nohup ignores SIGHUP."""
    ignoring = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    arguments = [sys.executable, str(live_commands.QUICK), "hydra.run.dir=here"]
    process = live_commands.start("-c", ignoring, *arguments, cwd=tmp_path, GATE=str(tmp_path / "gate"))
    live_commands.wait_for(tmp_path / "here" / "begun", process)
    process.send_signal(signal.SIGHUP)
    (tmp_path / "gate").touch()
    assert live_commands.end(process)[0] == 0 and (tmp_path / "here" / "result.json").is_file()


def test_the_same_request_twice_is_one_and_a_later_one_ends_at_once(tmp_path):
    code = (
        "import time; from memunlearn.process import own_process\n"
        "with own_process():\n"
        "    try: print('begun', flush=True); time.sleep(60)\n"
        "    finally: print('closing', flush=True); time.sleep(60)\n"
    )
    process = live_commands.start("-c", code, cwd=tmp_path)
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == b"closing\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(1.2)
    assert process.poll() is None
    code, _, err = live_commands.interrupt(process, signal.SIGINT)
    assert code == 130 and told(err) == "run the same command again"


def test_a_signal_while_python_takes_itself_down_changes_nothing(tmp_path):
    """torch takes a second for that; by default the signal would end a command that is over without a word."""
    code = (
        "import time; from memunlearn.process import own_process\n"
        "class Slow:\n"
        "    def __del__(self, say=print, sleep=time.sleep): say('down', flush=True); sleep(1)\n"
        "slow = Slow()\n"
        "with own_process(): pass\n"
    )
    process = live_commands.start("-c", code, cwd=tmp_path)
    assert process.stdout.readline() == b"down\n"
    process.send_signal(signal.SIGTERM)
    code, _, err = live_commands.end(process)
    assert code == 0 and not err


def test_a_signal_in_a_finalizer_ends_the_command_all_the_same(tmp_path):
    """Python drops what is raised there; the locks of modules that are imported have finalizers."""
    code = (
        "import signal, time; from memunlearn.process import own_process\n"
        "class Lost:\n"
        "    def __del__(self): signal.raise_signal(signal.SIGTERM)\n"
        "with own_process():\n"
        "    Lost()\n"
        "    time.sleep(60)\n"
    )
    code, out, err = live_commands.end(live_commands.start("-c", code, cwd=tmp_path), 30)
    assert code == 143 and told(err) == "run the same command again" and "ignored" not in err


@pytest.mark.parametrize(("told_to_end", "expected"), [(True, 143), (False, 1)])
def test_an_error_that_a_signal_has_caused_is_no_fault(tmp_path, told_to_end, expected):
    """A library that was interrupted in the middle of its import fails with an error of its own."""
    code = (
        "import signal; from memunlearn.process import own_process\n"
        "with own_process():\n"
        f"    try: {'signal.raise_signal(signal.SIGTERM)' if told_to_end else 'int()'}\n"
        "    except BaseException: pass\n"
        "    raise RecursionError('half imported')\n"
    )
    code, _, err = live_commands.end(live_commands.start("-c", code, cwd=tmp_path), 30)
    assert code == expected and ("half imported" in err) != told_to_end
    assert not told_to_end or told(err) == "run the same command again"


def test_what_else_is_dropped_in_a_finalizer_is_still_told(tmp_path):
    code = (
        "from memunlearn.process import own_process\n"
        "class Broken:\n"
        "    def __del__(self): raise ValueError('in a finalizer')\n"
        "with own_process(): Broken()\n"
    )
    code, _, err = live_commands.end(live_commands.start("-c", code, cwd=tmp_path), 30)
    assert code == 0 and "ValueError: in a finalizer" in err


def test_a_signal_that_was_lost_ends_a_sweep_before_its_next_job(tmp_path):
    """Some code lets no exception through."""
    losing = (
        "import os, signal, sys; sys.path.insert(0, os.path.dirname(sys.argv[1])); sys.argv = sys.argv[1:]\n"
        "import quick_command\n"
        "def write(line):\n"
        "    try: signal.raise_signal(signal.SIGTERM)\n"
        "    except BaseException: pass\n"
        "quick_command.write = write\n"
        "with quick_command.own_process():\n"
        "    from memunlearn.commands.hydra_app import run_app\n"
        "    run_app(quick_command.task, 'train', quick_command.CONF)\n"
    )
    arguments = (str(live_commands.QUICK), "-m", "seed=0,1", quick_command.WITHOUT_SUMMARY, "hydra.sweep.dir=here")
    code, _, err = live_commands.end(live_commands.start("-c", losing, *arguments, cwd=tmp_path))
    assert (
        code == 143 and (tmp_path / "here" / "0" / "result.json").is_file() and not (tmp_path / "here" / "1" / "begun").exists()
    )


@pytest.mark.parametrize(
    "command",
    [
        ["train.py"],
        ["evaluate.py"],
        ["localize.py"],
        ["-m", "memunlearn.models", "apply", "--base", "base", "--patch", "patch", "--out", "out"],
        ["-m", "memunlearn.reporting", "sweep"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_every_command_ends_alike_while_it_still_imports(tmp_path, command):
    script, *arguments = command if command[0] == "-m" else [str(command_runs.ROOT / command[0])]
    process = live_commands.start(script, *arguments, cwd=tmp_path)
    live_commands.wait_until_heeding(process, signal.SIGTERM)
    code, _, err = live_commands.interrupt(process, signal.SIGTERM)
    assert code == 143 and told(err) == "run the same command again" and not list(tmp_path.iterdir())
