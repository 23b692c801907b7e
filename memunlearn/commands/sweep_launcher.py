"""Runs the jobs of a sweep one after the other; one that another process works on is left to it, and the next one taken."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from memunlearn.commands.claims import POLL, hold, let_go
from memunlearn.commands.sweep_folder import ERROR, EVALUATION, LOCALIZATION
from memunlearn.commands.sweep_watch import Marks, marks
from memunlearn.errors import UserError
from memunlearn.files.reading import read_json
from memunlearn.process import end_if_told

log = logging.getLogger(__name__)
SUBMITIT = "hydra_plugins.hydra_submitit_launcher.submitit_launcher"


@dataclass(frozen=True)
class Job:
    """One job of a sweep, composed; folder: the one that it has claimed, or that holds its result."""

    number: int
    overrides: Sequence[str]
    config: DictConfig
    folder: Path


class TakeTurns(BasicLauncher):
    """Hydra's own launcher, where several processes may run the same sweep: every job is run by one of them, once.

    Jobs that are in work elsewhere come again when the others are done: then they are complete or have failed there, or, where
    that process was killed, they are free.
    """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        assert self.hydra_context is not None and self.config is not None
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        sweep = Path(str(self.config.hydra.sweep.dir))
        sweep.mkdir(parents=True, exist_ok=True)
        log.info(f"Launching {len(job_overrides)} jobs locally")
        before = marks(sweep)
        ended: dict[int, JobReturn | None] = {}
        busy = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            end_if_told()
            job = compose_job(self.hydra_context, self.config, number, overrides)
            ended[number] = self._run(job, before)
            if ended[number] is None:
                busy.append(job)
        if busy:
            print(f"waiting: other processes are at work on {len(busy)} jobs of {sweep}", flush=True)
        while busy:
            for job in busy:
                end_if_told()
                ended[job.number] = self._run(job, before)
            left = [job for job in busy if ended[job.number] is None]
            if len(left) == len(busy):
                time.sleep(POLL)
            busy = left
        return [job_return for job_return in ended.values() if job_return is not None]

    def _run(self, job: Job, before: Marks) -> JobReturn | None:
        """How the job ended, here or, since this sweep began, elsewhere; None while another process is at work on it."""
        assert self.hydra_context is not None and self.task_function is not None and self.config is not None
        if not hold(job.folder):
            return None
        try:
            elsewhere = _ended_elsewhere(job, before)
            if elsewhere is not None:
                return elsewhere
            log.info(f"\t#{job.number} : {' '.join(filter_overrides(job.overrides))}")
            return run_job(
                hydra_context=self.hydra_context,
                task_function=self.task_function,
                config=job.config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        finally:
            let_go(job.folder)
            configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)


def compose_job(context: HydraContext, sweep_config: DictConfig, number: int, overrides: Sequence[str]) -> Job:
    """One job's config, and its folder, which is claimed by that."""
    config = context.config_loader.load_sweep_config(sweep_config, list(overrides))
    with open_dict(config):
        config.hydra.job.id = number
        config.hydra.job.num = number
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        folder = Path(str(config.hydra.sweep.dir)) / str(OmegaConf.select(config, "hydra.sweep.subdir"))
    finally:
        HydraConfig.instance().cfg = before
    return Job(number, overrides, config, folder)


def register() -> None:
    """Puts this launcher in the place of Hydra's basic one, which is the default, and those for a cluster in the place of the
    plugin's, where that is installed."""
    launchers = Plugins.instance().class_name_to_class
    launchers[f"{BasicLauncher.__module__}.{BasicLauncher.__name__}"] = TakeTurns
    if f"{SUBMITIT}.SlurmLauncher" in launchers:
        from memunlearn.commands.cluster_launcher import InProcesses, InSlurm

        launchers[f"{SUBMITIT}.SlurmLauncher"] = InSlurm
        launchers[f"{SUBMITIT}.LocalLauncher"] = InProcesses


def _ended_elsewhere(job: Job, before: Marks) -> JobReturn | None:
    """Of a job that another process has ended since this sweep began; None if it is to be run.

    train.py finds out by itself that a job is complete, and has its result to give.
    """
    new = {path.name for path, mark in marks(job.folder.parent, job.folder.name).items() if before.get(path) != mark}
    ended = JobReturn(overrides=job.overrides)
    if ERROR in new:
        ended.status = JobStatus.FAILED
        try:
            said = read_json(job.folder / ERROR, "see what the job has printed")
            kind = UserError if said.get("mistake") else RuntimeError
            ended._return_value = kind(str(said.get("error")))
        except UserError as error:  # the job has failed, whatever has become of what it said
            ended._return_value = error
    elif new & {EVALUATION, LOCALIZATION}:
        ended.status = JobStatus.COMPLETED
    else:
        return None
    print(f"{'failed' if ERROR in new else 'done'} by another process: job {job.number}, in {job.folder}", flush=True)
    return ended
