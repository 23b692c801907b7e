"""What squeue says of a sweep's jobs, and what a preempted job does with it. Slurm's programs are scripts here."""

import os
import signal
import sys

import pytest

from memunlearn.commands.preemption import requeue_when_preempted
from memunlearn.commands.slurm_queue import described, queued

pytest.importorskip("submitit")


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """squeue(code, out, err): from now on squeue answers so, and keeps what it was asked in the file that is returned."""

    def squeue(code=0, out="", err=""):
        asked, program = tmp_path / "asked", tmp_path / "squeue"
        said = f"open({str(asked)!r}, 'w').write(' '.join(sys.argv[1:])); print({out!r}); print({err!r}, file=sys.stderr)"
        program.write_text(f"#!{sys.executable}\nimport sys\n{said}\nsys.exit({code})\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        return asked

    return squeue


def test_what_slurm_still_has_is_told_by_name_with_its_reason(squeue):
    lines = ["17_0 RUNNING None", "17_3 PENDING (PartitionTimeLimit)", "17_4 PENDING Priority", "18 COMPLETING None"]
    asked = squeue(out="\n".join([*lines, "17_5 PENDING Priority"]))
    states = queued(["17", "18"])
    assert states == {
        "17_0": "running",
        "17_3": "pending (PartitionTimeLimit)",
        "17_4": "pending (Priority)",
        "18": "completing",
        "17_5": "pending (Priority)",
    }
    assert asked.read_text() == "--noheader --array --format=%i %T %r --jobs=17,18"
    assert described(states) == "1 running, 2 pending (Priority), 1 pending (PartitionTimeLimit), 1 completing"


def test_jobs_that_are_over_are_gone_and_no_answer_is_no_such_news(squeue, monkeypatch):
    squeue(1, err="slurm_load_jobs error: Invalid job id specified")
    assert queued(["17"]) == {}
    squeue(0)
    assert queued(["17"]) == {}
    squeue(1, err="slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    assert queued(["17"]) is None
    monkeypatch.setenv("PATH", "")
    assert queued(["17"]) is None


@pytest.mark.parametrize(
    ("answer", "asks"), [("17_3 RUNNING None", True), ("17_3 COMPLETING None", False), ("", False), (None, False)]
)
def test_a_job_asks_to_be_run_again_where_slurm_has_not_ended_it(squeue, monkeypatch, answer, asks):
    asked = []
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    squeue(0 if answer is not None else 1, out=answer or "")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    try:
        signal.signal(signal.SIGUSR2, lambda number, frame: asked.append(number))  # as submitit does it
        requeue_when_preempted()
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert asked == [signal.SIGTERM] * asks
