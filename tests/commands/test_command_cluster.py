"""Sweeps whose jobs run elsewhere: on a real Slurm, and in processes of their own; jobs that were cut short go on."""

import os
import re
import signal
import time

import command_runs
import live_commands
import pauses
import plain_transformers
import pytest
import slurm_cluster
import torch

JOBS = ("mask=gradient", "stop.max_steps=8", "stop.forget_em=0", pauses.OVERRIDE)
GOING_ON = "going on: this job was interrupted, in "
REQUIRED = os.environ.get("MEMUNLEARN_REQUIRE_SLURM", "0") not in ("", "0")
MISSING = slurm_cluster.missing()


def begin(*overrides, directory, **variables):
    """The sweep's own process."""
    path = os.pathsep.join([str(command_runs.ROOT), str(command_runs.ROOT / "tests" / "commands")])
    arguments = ["-m", *command_runs.training(*JOBS), *overrides, f"hydra.sweep.dir={directory}"]
    return live_commands.start(command_runs.ROOT / "train.py", *arguments, cwd=directory.parent, PYTHONPATH=path, **variables)


def figures(folder):
    """Everything in result.json but the times and the versions."""
    result = command_runs.read_result(folder)
    del result["seconds"], result["environment"]
    return result


def same(folder, other):
    """Whether two jobs ended with the same weights, to the bit, and the same figures, rows and curve."""
    one, another = (plain_transformers.read_patch(place / "patch.safetensors")[:2] for place in (folder, other))
    tensors = [(found[name], expected[name]) for found, expected in zip(one, another, strict=True) for name in found | expected]
    return (
        len(tensors) > 2
        and all(torch.equal(found.view(torch.uint8), expected.view(torch.uint8)) for found, expected in tensors)
        and figures(folder) == figures(other)
        and command_runs.read_rows(folder) == command_runs.read_rows(other)
        and (folder / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
    )


def log(sweep, job):
    """What all lives of this job of Slurm or of submitit printed."""
    return "".join(path.read_text() for path in sorted((sweep / ".submitit").glob(f"{job}/*.out")))


@pytest.fixture
def start():
    """`begin`, for as long as the test runs."""
    begun = []

    def start(*overrides, **settings):
        begun.append(begin(*overrides, **settings))
        return begun[-1]

    yield start
    for command in begun:
        if command.poll() is None:
            command.terminate()
            command.communicate()


@pytest.fixture
def basic(once, tiny_cache):
    """Two jobs by Hydra's basic launcher, undisturbed."""

    def make(folder):
        code, _, err = live_commands.end(begin("seed=0,1", directory=folder), 300)
        assert code == 0, err

    return once("basic_sweep", make)


@pytest.fixture
def cluster():
    if MISSING and not REQUIRED:
        pytest.skip(f"needs a Slurm: {MISSING}")
    assert MISSING is None
    with slurm_cluster.running() as environment:
        yield environment


def requeued(environment, task):
    """Waits until Slurm has this task in its queue again, and lets it begin: by itself Slurm waits two minutes.

    A task that did not answer in its GraceTime is requeued after it, which is right, too.
    """
    last = time.monotonic() + 3 * slurm_cluster.GRACE
    while "PENDING" not in (said := slurm_cluster.slurm("squeue", "-h", "-j", task, "-o", "%T", check=False, **environment)):
        assert time.monotonic() < last, f"{task} is not requeued: {said}"
        time.sleep(0.5)
    slurm_cluster.slurm("scontrol", "update", f"JobId={task}", "StartTime=now", **environment)


@pytest.mark.slow
def test_jobs_of_a_real_slurm_are_those_of_the_basic_launcher_preempted_or_not(tmp_path, start, basic, cluster):
    """Of two jobs one is left alone. The other is preempted in its training by an urgent job, asks to be run again, and is then
    requeued by Slurm, which kills it."""
    sweep, held = tmp_path / "sweep", tmp_path / "held"
    pauses.ask(held, "0")
    command = start("seed=0,1", "hydra/launcher=slurm", directory=sweep, PAUSES=str(held), **cluster)
    first = pauses.process_at(held, "0", command)
    pauses.ask(held, "0")
    live_commands.wait_for(sweep / "1" / "result.json", command, 240)
    while len(tasks := slurm_cluster.slurm("squeue", "-hro", "%i", **cluster).split()) > 1:
        time.sleep(0.5)
    (task,) = tasks
    assert task.endswith("_0")
    slurm_cluster.slurm("sbatch", "--partition=urgent", "--cpus-per-task=2", "--output=/dev/null", "--wrap=true", **cluster)
    requeued(cluster, task)
    assert pauses.process_at(held, "0", command) != first
    slurm_cluster.slurm("scontrol", "requeue", task, **cluster)
    requeued(cluster, task)
    code, out, err = live_commands.end(command, 300)
    assert code == 0, out + err
    assert f"sent 2 jobs to Slurm, as {task.partition('_')[0]}\n" in out and "Slurm: 2 running\n" in out
    assert [log(sweep, f"{task[:-1]}{job}").count(GOING_ON) for job in "01"] == [2, 0]
    for job in "01":
        assert f"done: job {job}, in {sweep / job}" in out
        assert same(sweep / job, basic / job), job
        assert {path.name for path in (sweep / job).iterdir()} == {path.name for path in (basic / job).iterdir()}
    assert (sweep / "sweep.html").is_file() and not list(sweep.rglob("*.pkl"))
    assert (sweep / ".submitit").stat().st_mode & 0o777 == 0o700
    again = command_runs.train(*JOBS, "seed=0,1", "hydra/launcher=slurm", directory=sweep, where="sweep")
    assert again.code == 0 and again.out.count("skipped: this job is complete, in ") == 2, again.err
    assert "sent" not in again.out


@pytest.mark.slow
def test_jobs_in_processes_of_their_own_go_on_when_warned_and_when_the_sweep_is_run_again(tmp_path, start, basic):
    """Of two jobs one is warned, as Slurm does it, and one killed."""
    sweep, held = tmp_path / "sweep", tmp_path / "held"
    pauses.ask(held, "0", "1")
    given = ("seed=0,1", "hydra/launcher=slurm_local")
    command = start(*given, directory=sweep, PAUSES=str(held))
    os.kill(pauses.process_at(held, "0", command), signal.SIGUSR2)
    os.kill(pauses.process_at(held, "1", command), signal.SIGKILL)
    code, out, err = live_commands.end(command, 240)
    assert code == 2 and "Traceback" not in err, out + err
    assert re.search(r"^job 1 failed: it ended without a result .*/\d+_0_log.err", err, re.MULTILINE), err
    assert "error: 1 job failed, see above and error.json in their folders; mend that and run the same command again" in err
    assert (sweep / "1" / "error.json").is_file() and same(sweep / "0", basic / "0")
    assert log(sweep, "*").count(GOING_ON) == 1
    code, out, err = live_commands.end(start(*given, directory=sweep), 240)
    assert code == 0 and out.count("skipped: this job is complete, in ") == 1, out + err
    assert log(sweep, "*").count(GOING_ON) == 2
    assert same(sweep / "1", basic / "1") and not list(sweep.glob("*/error.json"))


@pytest.mark.slow
def test_a_sweep_that_is_ended_takes_its_processes_with_it(tmp_path, start, tiny_cache):
    sweep, held = tmp_path / "sweep", tmp_path / "held"
    pauses.ask(held, "0")
    command = start("seed=0,1", "hydra/launcher=slurm_local", "hydra.launcher.n_jobs=1", directory=sweep, PAUSES=str(held))
    worker = pauses.process_at(held, "0", command)
    code, _, err = live_commands.interrupt(command, signal.SIGTERM)
    assert code == 143 and f"hydra.sweep.dir={sweep}" in err
    last = time.monotonic() + 20
    while os.path.exists(f"/proc/{worker}"):
        assert time.monotonic() < last
        time.sleep(0.2)
    assert not (sweep / "1" / "checkpoints").exists()
