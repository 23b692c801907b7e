"""A job of Slurm's that is preempted asks to be run again, and ends."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

import submitit

from memunlearn.commands.slurm_queue import queued


def requeue_when_preempted() -> None:
    """In a job of submitit's: SIGTERM is answered like the warning that submitit knows, where Slurm has not ended the job.

    Slurm sends it at the beginning of a preemption's GraceTime, and a job that ends by itself in that time, as Lightning's
    training does at the end of its step, has failed and is not run again. After `scancel`, or where Slurm itself has requeued
    the job, it is not running any more: then nothing is asked for.
    """
    job = submitit.JobEnvironment()
    ask = signal.getsignal(getattr(signal, f"SIG{job.USR_SIG}"))
    signal.signal(signal.SIGTERM, _answer(str(job.job_id), ask))


def _answer(job: str, ask: object) -> Callable[[int, FrameType | None], None]:
    def answer(number: int, frame: FrameType | None) -> None:
        if callable(ask) and (queued([job]) or {}).get(job, "").startswith("running"):
            ask(number, frame)

    return answer
