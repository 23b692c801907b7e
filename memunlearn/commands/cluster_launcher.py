"""Hands the jobs of a sweep to Slurm, or to processes of their own on this machine, and waits for them.

Through submitit: it pickles a job, and sends and requeues it. A job that is preempted is run again from its start,
and goes on from its checkpoint by itself (see `interrupted_in_sweep`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import submitit
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher, LocalLauncher, SlurmLauncher
from submitit.core.core import Job as Sent
from submitit.core.utils import FailedSubmissionError, JobPaths, pickle_load

from memunlearn.commands.mistakes import mistake
from memunlearn.commands.preemption import requeue_when_preempted
from memunlearn.commands.slurm_queue import POLL as ASK_SLURM
from memunlearn.commands.slurm_queue import described, queued
from memunlearn.commands.sweep_folder import RESULT
from memunlearn.commands.sweep_launcher import Job, compose_job
from memunlearn.commands.sweep_watch import record_failure
from memunlearn.errors import UserError
from memunlearn.passwords import without_passwords
from memunlearn.process import AGAIN, end_if_told, go_on_by
from memunlearn.words import counted

LOOK = 1.0  # seconds between two looks for results
LATE = 15.0  # seconds that a result may come, through a file system, after its job has left the queue


class InSlurm(SlurmLauncher):  # type: ignore[misc]
    """`hydra/launcher=slurm`: all jobs are sent at once, as one array; when the sweep's own process ends, they go on."""

    def __call__(self, *arguments: Any, **named: Any) -> JobReturn:
        requeue_when_preempted()
        return _as_it_travels(super().__call__(*arguments, **named))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        ended, jobs = _begin(self, job_overrides, initial_job_idx)
        sent = _send(self, "slurm", jobs)
        names = sorted({str(one.job_id).partition("_")[0] for one in sent.values()})
        if sent:
            print(f"sent {counted(len(sent), 'job')} to Slurm, as {', '.join(names)}", flush=True)
            cancel = f"scancel {' '.join(names)}"
            where = f"hydra.sweep.dir={self.config.hydra.sweep.dir}"
            go_on_by(lambda: f"the jobs in Slurm go on (`{cancel}` ends them): when they are over, {AGAIN} with `{where}`")
        asked, gone, said = float("-inf"), dict[int, float](), ""
        while sent:
            end_if_told()
            if (now := time.monotonic()) - asked > ASK_SLURM:
                left, asked = queued(names), now
                if left is not None:
                    gone = {number: gone.get(number, now) for number, one in sent.items() if str(one.job_id) not in left}
                if left and described(left) != said:
                    said = described(left)
                    print(f"Slurm: {said}", flush=True)
            for number, one in list(sent.items()):
                lost = number in gone and now - gone[number] > LATE
                if lost or one.paths.result_pickle.exists():
                    ended[number] = _ended(jobs[number], sent.pop(number))
            time.sleep(LOOK if sent else 0)
        return [ended[number] for number in sorted(ended)]


class InProcesses(LocalLauncher):  # type: ignore[misc]
    """`hydra/launcher=slurm_local`: n_jobs at a time, which end with the sweep's own process."""

    def __init__(self, n_jobs: int = 1, **params: Any) -> None:
        super().__init__(**params)
        self.n_jobs = n_jobs

    def __call__(self, *arguments: Any, **named: Any) -> JobReturn:
        return _as_it_travels(super().__call__(*arguments, **named))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        ended, jobs = _begin(self, job_overrides, initial_job_idx)
        left, sent = list(jobs), dict[int, Any]()
        try:
            while left or sent:
                end_if_told()
                room = max(1, self.n_jobs) - len(sent)
                sent |= _send(self, "local", {number: jobs[number] for number in left[:room]})
                left = left[room:]
                for number, one in list(sent.items()):
                    if one.done():
                        ended[number] = _ended(jobs[number], sent.pop(number))
                time.sleep(LOOK if sent else 0)
        finally:
            for one in sent.values():
                one.cancel(check=False)
        return [ended[number] for number in sorted(ended)]


def _begin(
    launcher: BaseSubmititLauncher, job_overrides: Sequence[Sequence[str]], first: int
) -> tuple[dict[int, JobReturn], dict[int, Job]]:
    """By number: how the jobs whose result is there ended, which are looked at here, and the others, each with its folder."""
    setup_globals()
    configure_log(launcher.config.hydra.hydra_logging, launcher.config.hydra.verbose)
    Path(str(launcher.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    ended, jobs = {}, {}
    for number, overrides in enumerate(job_overrides, start=first):
        job = compose_job(launcher.hydra_context, launcher.config, number, overrides)
        if (job.folder / RESULT).is_file() and not job.config.get("overwrite"):
            ended[number] = run_job(
                hydra_context=launcher.hydra_context,
                task_function=launcher.task_function,
                config=job.config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            configure_log(launcher.config.hydra.hydra_logging, launcher.config.hydra.verbose)
        else:
            jobs[number] = job
    return ended, jobs


def _send(launcher: BaseSubmititLauncher, cluster: str, jobs: dict[int, Job]) -> dict[int, Sent[JobReturn]]:
    """Raises UserError where the cluster does not take them."""
    if not jobs:
        return {}
    params = {name: value for name, value in launcher.params.items() if value is not None}
    folder = params.pop("submitit_folder")
    # What is pickled there is the config, with the passwords that it may hold.
    JobPaths.get_first_id_independent_folder(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    started = {f"{cluster}_{name}": params.pop(name) for name in ("max_num_timeout",) if name in params}
    common = {field.name for field in fields(BaseQueueConf)}
    arguments = [
        (list(job.overrides), "hydra.sweep.dir", job.number, f"job_id_for_{job.number}", Singleton.get_state())
        for job in jobs.values()
    ]
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster, **started)
        executor.update_parameters(**{name if name in common else f"{cluster}_{name}": params[name] for name in params})
        sent = executor.map_array(launcher, *zip(*arguments, strict=True))
    except (FailedSubmissionError, RuntimeError, ValueError, TypeError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"hydra/launcher: the jobs could not be sent ({said}): see docs/slurm.md for what to set") from error
    return dict(zip(jobs, sent, strict=True))


def _as_it_travels(ended: JobReturn) -> JobReturn:
    """A job's return as the sweep's own process can read it: an exception may be of a kind that does not unpickle."""
    if ended.status == JobStatus.FAILED:
        line = mistake(ended._return_value)
        error = RuntimeError(repr(ended._return_value)) if line is None else UserError(line)
        ended._return_value = type(error)(without_passwords(str(error)))
    return ended


def _ended(job: Job, sent: Sent[JobReturn]) -> JobReturn:
    """How a job ended; why it failed is said, and where it could not say so itself, kept in its folder."""
    paths = sent.paths
    try:
        outcome, value = pickle_load(paths.result_pickle)
    except OSError:
        outcome, value = "none", None
    # They hold the config as it is, passwords too. The logs stay.
    for path in (paths.submitted_pickle, paths.result_pickle):
        path.unlink(missing_ok=True)
    if outcome == "success" and isinstance(value, JobReturn):
        if value.status == JobStatus.FAILED:
            told = str(mistake(value._return_value) or value._return_value)
            print(f"job {job.number} failed: {told} (its log: {paths.stderr})", file=sys.stderr, flush=True)
        else:
            print(f"done: job {job.number}, in {job.folder}", flush=True)
        return value
    if outcome == "error":
        error: Exception = RuntimeError(str(value).strip().splitlines()[-1])
    else:
        error = UserError(
            f"it ended without a result (its time limit, its memory, or it was cancelled; its log: {paths.stderr}): run "
            "again, it goes on from its last checkpoint"
        )
    record_failure(job.folder, job.config, error)
    ended = JobReturn(overrides=job.overrides, status=JobStatus.FAILED)
    ended._return_value = error
    return ended
