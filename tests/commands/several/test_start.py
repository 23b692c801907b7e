"""Workers that do not come to their work, and errors of which one is the cause of the other."""

import signal
import sys

import pytest
import torch
from omegaconf import OmegaConf

from memunlearn.commands.several import start
from memunlearn.commands.several.job import FAULT, MISTAKE, Job
from memunlearn.commands.several.start import Worker, working_together
from memunlearn.errors import UserError


def job(folder, number=1):
    return Job(
        number=number,
        count=2,
        config={},
        directory=folder,
        resume_from=None,
        device="cpu",
        preparation=folder / "preparation.pt",
        folder=folder,
        meeting=folder / "meeting",
    )


@pytest.fixture
def ending(tmp_path, monkeypatch):
    """ending(code): a worker that does this instead of its work."""
    workers, popen = [], start.subprocess.Popen

    def ending(code):
        monkeypatch.setattr(start.subprocess, "Popen", lambda words, **given: popen([sys.executable, "-c", code], **given))
        workers.append(Worker.start(job(tmp_path)))
        return workers[-1]

    yield ending
    for worker in workers:
        worker.end()


def ended_by(code):
    return f"import sys, os; sys.stdin.buffer.read(1); print('a warning\\nwhat is wrong', file=sys.stderr); {code}"


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (f"sys.exit({MISTAKE})", UserError, "^what is wrong$"),
        (f"sys.exit({FAULT})", RuntimeError, "process 1 of 2 has failed:\na warning\nwhat is wrong"),
        (f"os.kill(os.getpid(), {int(signal.SIGKILL)})", UserError, "process 1 of 2 was ended by SIGKILL: where that was"),
    ],
)
def test_what_ends_a_worker_before_it_is_ready_is_said(ending, code, kind, said):
    worker = ending(ended_by(code))
    with pytest.raises(kind, match=said):
        worker.wait_until_ready()
    assert worker.failed


def test_a_worker_ends_with_the_first_process(ending):
    worker = ending("import os, sys; os.write(1, b'ready\\n'); sys.stdin.buffer.read()")
    worker.wait_until_ready()
    assert not worker.failed and worker.process.poll() is None
    worker.end()
    assert worker.process.returncode == 0


def test_one_that_does_not_end_is_ended(ending, monkeypatch):
    monkeypatch.setattr(start, "TO_END", 0.1)
    worker = ending("import os, time; os.write(1, b'ready\\n'); time.sleep(60)")
    worker.wait_until_ready()
    worker.end()
    assert worker.process.returncode == -signal.SIGKILL


def test_the_cause_is_what_the_other_process_says_unless_there_is_a_mistake_here(ending, monkeypatch):
    monkeypatch.setattr(start, "TO_END", 5.0)
    lost = RuntimeError("connection closed by peer")
    worker = ending(ended_by(f"sys.exit({MISTAKE})"))
    assert str(start._cause(lost, [worker])) == "what is wrong"
    mistake = UserError("a mistake of this one")
    assert start._cause(mistake, [worker]) is mistake
    faulty = ending(ended_by(f"sys.exit({FAULT})"))
    assert start._cause(lost, [faulty]) is lost and "what is wrong" in lost.__notes__[0]


def test_one_device_starts_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(start.subprocess, "Popen", lambda *given, **settings: pytest.fail("a process was started"))
    with working_together(OmegaConf.create({}), tmp_path, [torch.device("cpu")], None, None):
        assert not list(tmp_path.iterdir())
