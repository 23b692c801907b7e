"""Says of every job of a sweep why it failed: Hydra itself goes on, and tells only of the first, at the very end."""

from __future__ import annotations

import sys
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from memunlearn.commands.hydra_app import mistake


class TellFailures(Callback):
    """`job 3 failed: WHY`, on stderr, as soon as it has. A run by itself is left to `run_app`."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if job_return.status == JobStatus.FAILED and config.hydra.mode == RunMode.MULTIRUN:
            error = job_return._return_value
            print(f"job {config.hydra.job.num} failed: {mistake(error) or repr(error)}", file=sys.stderr, flush=True)
