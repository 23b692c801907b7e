"""Real commands that are told to end while they load, train, measure or write."""

import re
import shlex
import signal

import command_runs
import live_commands
import offline_records
import pytest
import tiny_demo

pytestmark = pytest.mark.slow

LONG = ("stop.max_steps=100000", "stop.forget_em=0", "stop.max_kl=1000")
# Seconds from where the process begins to heed signals; a tiny run takes about 6 on an idle core.
MOMENTS = [0.3, 1, 2, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 9]


def train(*overrides, cwd, **variables):
    script = command_runs.ROOT / "train.py"
    return live_commands.start(script, *overrides, "hydra.callbacks.watch_jobs.summary=false", cwd=cwd, **variables)


def line_of(err):
    assert "Traceback" not in err, err
    (line,) = [line for line in err.splitlines() if line.startswith("interrupted by ")]
    return line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_training_the_line_is_the_command_that_goes_on(tmp_path, number):
    process = train(*command_runs.training(*LONG), "hydra.run.dir=here", "logger=wandb", cwd=tmp_path, WANDB_MODE="offline")
    live_commands.wait_for(tmp_path / "here" / "checkpoints" / "last.ckpt", process, 120)
    code, _, err = live_commands.interrupt(process, number)
    assert code == 128 + number and not (tmp_path / "here" / "result.json").exists()
    (record,) = [offline_records.read(path) for path in tmp_path.rglob("*.wandb")]
    assert record.exit_code == 1  # finished, and told as failed
    (pasted,) = re.findall(r"go on with `python (.*)`", line_of(err))
    config = tmp_path / "here" / "checkpoints" / "config.yaml"
    config.write_text(config.read_text().replace("max_steps: 100000", "max_steps: 6"))
    script, *arguments = shlex.split(pasted)
    code, _, err = live_commands.end(live_commands.start(script, *arguments, cwd=tmp_path, WANDB_MODE="offline"))
    assert code == 0 and (tmp_path / "here" / "result.json").is_file(), err


def test_a_sweeps_job_in_training_ends_the_sweep(tmp_path):
    process = train("-m", *command_runs.training(*LONG), "seed=0,1", "hydra.sweep.dir=here", cwd=tmp_path)
    live_commands.wait_for(tmp_path / "here" / "0" / "checkpoints" / "last.ckpt", process, 120)
    code, _, err = live_commands.interrupt(process, signal.SIGTERM)
    assert code == 143 and f"hydra.sweep.dir={tmp_path / 'here'}" in line_of(err)
    assert not (tmp_path / "here" / "1").exists() and not list(tmp_path.rglob("error.json"))


def test_slurms_warning_leaves_no_checkpoint_for_another_run(tmp_path):
    slurm = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "2", "SLURM_LOCALID": "2", "SLURM_NODEID": "0"}
    slurm |= {"SLURM_JOB_NAME": "train", "SLURM_JOB_NODELIST": "localhost", "SLURM_NNODES": "1"}
    process = train(*command_runs.training(*LONG), "hydra.run.dir=here", cwd=tmp_path, **slurm)
    live_commands.wait_for(tmp_path / "here" / "checkpoints" / "last.ckpt", process, 120)
    code, _, err = live_commands.interrupt(process, signal.SIGUSR1)
    assert code == 138 and "resume=true" in line_of(err) and not list(tmp_path.glob("*.ckpt"))


@pytest.mark.parametrize("script", ["evaluate", "localize"])
def test_the_other_commands_end_in_their_work(tmp_path, script):
    """Between what says what was loaded, and the end."""
    more = ("analysis=[em_nll,weight_noise]",) if script == "localize" else ()
    options = (*tiny_demo.OVERRIDES, "accelerator=cpu", "cache=false", *more, "hydra.run.dir=here")
    process = live_commands.start("-u", command_runs.ROOT / f"{script}.py", *options, cwd=tmp_path)
    for line in process.stdout:
        if line.startswith(b"paragraphs: " if script == "evaluate" else b"[2/2]"):
            break
    code, _, err = live_commands.interrupt(process, signal.SIGINT)
    assert code == 130, err
    how = "run the same command again"
    if script == "localize":
        how += f" with `hydra.run.dir={tmp_path / 'here'}`: findings are kept"
    assert line_of(err).endswith(how) and not list(tmp_path.rglob("localization.json"))


@pytest.mark.parametrize("seconds", MOMENTS)
def test_at_any_moment(tmp_path, seconds):
    number = (signal.SIGINT, signal.SIGTERM)[MOMENTS.index(seconds) % 2]
    process = train(*command_runs.training(), "hydra.run.dir=here", cwd=tmp_path)
    live_commands.wait_until_heeding(process, number)
    try:
        code, _, err = live_commands.end(process, seconds)
    except live_commands.subprocess.TimeoutExpired:
        code, _, err = live_commands.interrupt(process, number)
    if code == 0:
        assert (tmp_path / "here" / "result.json").is_file()
    else:
        line = line_of(err)
        assert code == 128 + number
        assert ("the run is complete" in line) == (tmp_path / "here" / "result.json").is_file()
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name or "unfinished" in path.name]
