"""Starting the other processes of a run, and ending them with it, whatever ends it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from omegaconf import DictConfig, OmegaConf

from memunlearn.commands.mistakes import mistake
from memunlearn.commands.resuming import CHECKPOINTS
from memunlearn.commands.several.handing import hand_over
from memunlearn.commands.several.job import FAULT, MISTAKE, READY, Job
from memunlearn.errors import UserError
from memunlearn.files.writing import temporary_folder
from memunlearn.several_processes import joined
from memunlearn.unlearning.preparation import Preparation

TO_END = 10.0  # seconds that a process is given to end, or to say why another has
STUCK = 60.0  # seconds after which a GPU that waits for a process that has ended is not waited for any more


@dataclass(frozen=True)
class Worker:
    """job: what the process does. errors: its stderr."""

    job: Job
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    @staticmethod
    def start(job: Job) -> Worker:
        errors = tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, "-m", "memunlearn.commands.several.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
        )
        worker = Worker(job, process, errors)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already: `wait_until_ready` says why
            process.stdin.write(pickle.dumps(job))
            process.stdin.flush()
        return worker

    def wait_until_ready(self) -> None:
        """Raises what ended it before it was."""
        assert self.process.stdout is not None
        if self.process.stdout.readline() != READY:
            self.process.wait()
            raise self.failure()

    @property
    def failed(self) -> bool:
        return self.process.poll() not in (None, 0)

    def failure(self) -> Exception:
        """Why it has ended: a UserError where the user can mend it."""
        self.errors.seek(0)
        said, code, name = self.errors.read().decode(errors="replace"), self.process.returncode, f"process {self.job.number}"
        if code == MISTAKE:
            return UserError(said.strip().rpartition("\n")[2])
        if code < 0:
            return UserError(
                f"{name} of {self.job.count} was ended by {signal.Signals(-code).name}: where that was for want of memory, "
                "take fewer devices or a smaller batch_size"
            )
        return RuntimeError(f"{name} of {self.job.count} has failed:\n{said}")

    def end(self) -> None:
        """It ends when its stdin does."""
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        try:
            self.process.wait(TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def working_together(
    cfg: DictConfig, directory: Path, devices: Sequence[torch.device], preparation: Preparation, resume_from: Path | None
) -> Iterator[None]:
    """What is done in here, the protocol of this run, is done by one process a device, of which this is the first.

    Raises what ended any of them; the others end then, too.
    """
    if len(devices) == 1:
        yield
        return
    with contextlib.ExitStack() as held:
        folder = held.enter_context(temporary_folder(directory / CHECKPOINTS / "processes"))
        # Not in the run's folder, which may lie on a disk without locks.
        meeting = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="memunlearn-"))) / "meeting"
        handed_over = folder / "preparation.pt"
        hand_over(preparation, handed_over)
        workers: list[Worker] = []
        for number in range(1, len(devices)):
            own_folder = folder / str(number)
            own_folder.mkdir()
            job = Job(
                number=number,
                count=len(devices),
                config=OmegaConf.to_container(cfg, resolve=True),  # type: ignore[arg-type]
                directory=directory,
                resume_from=resume_from,
                device=str(devices[number]),
                preparation=handed_over,
                folder=own_folder,
                meeting=meeting,
            )
            workers.append(Worker.start(job))
            held.callback(workers[-1].end)
        for worker in workers:
            worker.wait_until_ready()
        held.enter_context(_watched(workers, stuck=devices[0].type == "cuda"))
        held.enter_context(joined(0, len(devices), meeting, devices[0]))
        held.enter_context(_ending_together(workers))
        yield


@contextlib.contextmanager
def _ending_together(workers: Sequence[Worker]) -> Iterator[None]:
    """Where this process fails or is told to end, the others end before it leaves their group, which may wait for them."""
    try:
        yield
    except BaseException as error:
        cause = _cause(error, workers) if isinstance(error, Exception) else error
        for worker in workers:
            worker.end()
        if cause is error:
            raise
        raise cause from error


def _cause(error: Exception, workers: Sequence[Worker]) -> Exception:
    """The error of the worker that ended first, where this process failed only because that one did not answer any more."""
    if mistake(error) is not None:
        return error
    end = time.monotonic() + TO_END
    while not any(worker.failed for worker in workers) and time.monotonic() < end:
        time.sleep(0.05)
    failures = [worker.failure() for worker in workers if worker.failed]
    for failure in failures:
        if isinstance(failure, UserError):
            return failure
    for failure in failures:
        error.add_note(str(failure))
    return error


@contextlib.contextmanager
def _watched(workers: Sequence[Worker], stuck: bool) -> Iterator[None]:
    """Ends this process where it waits forever for one that has failed; stuck: it may, for on a GPU nothing tells it."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            failed = next((worker for worker in workers if worker.failed), None)
            if failed is not None and not over.wait(STUCK):
                failure = failed.failure()
                print(f"error: {failure}", file=sys.stderr, flush=True)
                os._exit(MISTAKE if isinstance(failure, UserError) else FAULT)

    if stuck:
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()
